package table

import "unsafe"

// MaxStringBytes is the longest key or value, as in Redis (proto-max-bulk-len).
const MaxStringBytes = 512 << 20

const (
	// minChains is the length of a new shard's index.
	minChains = 16
	// chainsMovedPerOperation bounds what one operation adds to its own work
	// while the index is being resized. Above 1, so that moving always ends
	// before the entries have doubled again.
	chainsMovedPerOperation = 4
	// Maintain moves len/movedShare chains, at least minChainsMoved, so that a
	// resize ends soon when nothing is inserted any more.
	minChainsMoved = 256
	movedShare     = 16

	// shardsPerVCPU makes it unlikely that two running goroutines want the same
	// lock.
	shardsPerVCPU = 8
	minShards     = 16
	maxShards     = 1024

	// DefaultSamples is how many entries an eviction compares.
	DefaultSamples = 5
	// maxProbes is how many empty chains in a row a sample passes by before it
	// gives up on its shard.
	maxProbes = 64

	// An LRU batch evicts until the bytes asked for are free, but so many
	// entries, or windowBytes, at least, and so many at most; after so many batches in vain the size
	// classes are taken to be the problem, and windows are emptied instead.
	minBatchEntries = 4
	maxBatchEntries = 32
	maxBatches      = 8

	// windowBytes is the unit of the second step of eviction: a whole number of
	// the allocator's spans of small objects.
	windowBytes = 64 << 10
	// A round of windows frees what is lacking, and the part windowShare of the
	// limit at least; every further round twice as much.
	windowShare     = 64
	maxWindowRounds = 10

	// One operation evicts at most evictionFactor times the bytes that it needs
	// and the part evictionShare of the limit, or minEvictionBound. Each of the
	// two steps of eviction ends soon after it has evicted so much.
	evictionFactor   = 2
	evictionShare    = 8
	minEvictionBound = 1 << 20

	// Maintain sweeps len/sweepShare chains of a shard, at least
	// minSweepChains, and again, up to maxSweeps times, while more than one in
	// sweepAgainShare entries with an expiry time was past it.
	minSweepChains  = 64
	sweepShare      = 128
	sweepAgainShare = 10
	maxSweeps       = 16

	// An index with shrinkShare chains per entry is replaced by a shorter one.
	shrinkShare = 8

	chainBytes = int(unsafe.Sizeof(uintptr(0)))
)

// Lengths and capacities in an entry are 32 bits wide.
const _ = uint32(uint64(headerBytes) + 2*MaxStringBytes + windowBytes)

const headerBytes = unsafe.Sizeof(entry{})
