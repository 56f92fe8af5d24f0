package arena

import "github.com/vcpualloc/vcpualloc/rseqcs"

// class describes one size class. Sizes and their choice: docs/size-classes.md.
type class struct {
	size     uint32 // of an object, in bytes
	pages    uint32 // of a span
	perSpan  uint32 // objects in a span
	batch    uint32 // objects that move between a magazine and the transfer cache
	magazine uint32 // objects that one vCPU keeps at the most
}

const (
	pageShift = rseqcs.PageShift
	PageSize  = 1 << pageShift  // bytes
	MaxSmall  = rseqcs.MaxSmall // bytes, the largest class

	// ClassCount is the number of classes, class 0 among them.
	ClassCount = classCount
)

// ClassOf returns the class for n bytes. For n outside of [1, MaxSmall] it is
// class 0, of which no heap has any object.
func ClassOf(n int) uint8 { return classTable.Of(n) }

// ClassSize returns the size of the objects of a class in bytes.
func ClassSize(class uint8) int { return int(classTable.Sizes[class]) }

// PagesFor returns how many pages hold n bytes.
func PagesFor(n int) int { return int((uint(n) + PageSize - 1) >> pageShift) }
