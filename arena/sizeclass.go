package arena

// class describes one size class. Sizes and their choice: docs/size-classes.md.
type class struct {
	size     uint32 // of an object, in bytes
	pages    uint32 // of a span
	perSpan  uint32 // objects in a span
	batch    uint32 // objects that move between a magazine and the transfer cache
	magazine uint32 // objects that one vCPU keeps at the most
}

// ClassOf returns the class for n bytes. For n outside of [1, MaxSmall] it is
// class 0, of which no heap has any object.
func ClassOf(n int) uint8 {
	if uint(n) <= fineUpTo {
		return fineClass[(uint(n)+1<<fineShift-1)>>fineShift]
	}
	if uint(n) <= MaxSmall {
		return coarseClass[(uint(n)+1<<coarseShift-1)>>coarseShift]
	}
	return 0
}

// ClassSize returns the size of the objects of a class in bytes.
func ClassSize(class uint8) int { return int(classSize[class]) }

// ClassCount is the number of classes, class 0 among them.
const ClassCount = classCount

// PagesFor returns how many pages hold n bytes.
func PagesFor(n int) int { return int((uint(n) + PageSize - 1) >> pageShift) }
