package workload

const (
	// maxBlock is the largest block of the pools of size classes, in bytes.
	maxBlock = 256 << 10

	// largestBlock is the largest block of any shape, one of mstress: 64 words,
	// ten thousand times.
	largestBlock = 64 * 10000 * 8

	// stride is how many operations are done between two looks at the stop
	// flag.
	stride = 64

	// crowdPairs is how many pairs a goroutine of a crowd does before it lets
	// another run, which costs some 100 ns.
	crowdPairs = 1024

	dropSize = 64 // bytes of a block that is dropped with others

	ringSlots = 1024
	ringSize  = 64 // bytes of a block
	// ringSpins is how often a full or empty slot is looked at before the
	// processor is offered to others.
	ringSpins = 200
)

// The pools look classes up by granules.
const _ = -uint(maxBlock % granule)

// A room of the empty heap holds every block of the pools.
const _ = -uint(maxBlock ^ 1<<roomShift)
