package workload

const (
	// maxBlock is the largest block of any shape, and of the pools of size
	// classes, in bytes.
	maxBlock = 256 << 10

	// stride is how many operations are done between two looks at the stop
	// flag.
	stride = 64

	ringSlots = 1024
	// ringSpins is how often a full or empty slot is looked at before the
	// processor is offered to others.
	ringSpins = 200
)

// The pools look classes up by granules.
const _ = -uint(maxBlock % granule)
