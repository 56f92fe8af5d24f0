package resp

import "github.com/vcpualloc/vcpualloc/examples/respcache/table"

// Limits bound a request. Zero fields stand for the defaults.
type Limits struct {
	BulkBytes int // of one argument. Default and maximum: MaxBulkBytes.
	Elements  int // of one request, the command's name included. Default and maximum: MaxElements.
}

// The largest requests of Redis.
const (
	MaxBulkBytes   = table.MaxStringBytes // proto-max-bulk-len
	MaxElements    = 1 << 20
	MaxInlineBytes = 64 << 10 // of an inline request, without the end of the line; PROTO_INLINE_MAX_SIZE
)

const (
	// maxHeaderBytes bounds the lines that start with * or $, without that byte:
	// the longest int64 has 20 bytes, the end of the line two.
	maxHeaderBytes = 22

	// The first bytes and ends of arguments are stored in the Parser itself:
	// most requests need no more.
	ownBytes = 512
	ownEnds  = 16

	// firstBlockBytes is the smallest block that a Parser asks for.
	firstBlockBytes = 1 << 10
	// directBytes is how long the rest of an argument must be for Direct, and
	// the least space that Direct makes.
	directBytes = 32 << 10

	endBytes = 4
	// maxRequestBytes is what an end can say.
	maxRequestBytes = 1<<32 - 1
)

// A single argument is always within what an end can say.
const _ = uint(maxRequestBytes - MaxBulkBytes)

// withDefaults returns the limits with zero, negative and too large fields replaced.
func (l Limits) withDefaults() Limits {
	if l.BulkBytes <= 0 || l.BulkBytes > MaxBulkBytes {
		l.BulkBytes = MaxBulkBytes
	}
	if l.Elements <= 0 || l.Elements > MaxElements {
		l.Elements = MaxElements
	}
	return l
}
