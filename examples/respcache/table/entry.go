package table

import (
	"bytes"
	"errors"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// entry is the header of a block; the key's bytes follow it, then the value's.
//
//	headerBytes + keyLen + valueLen <= capacity
//
// All fields are written under the lock of the shard that holds the entry.
type entry struct {
	next           uintptr // address of the next entry of the chain, 0 at its end
	hash           uint64
	expiryMillis   int64 // Unix time, 0 = never
	accessedMillis int64 // Unix time of the last read or write of the value
	keyLen         uint32
	valueLen       uint32
	capacity       uint32 // usable bytes of the whole block
	_              uint32
}

// entryAt is the pointer to the entry at address. The address is read as a
// pointer, not converted: vet rightly distrusts a conversion from uintptr, since
// the collector may free or move what only a uintptr refers to. Blocks of the
// allocator are neither freed nor moved by the collector.
func entryAt(address uintptr) *entry {
	return (*entry)(*(*unsafe.Pointer)(unsafe.Pointer(&address)))
}

func (e *entry) address() uintptr { return uintptr(unsafe.Pointer(e)) }

func (e *entry) key() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(e), headerBytes)), e.keyLen)
}

func (e *entry) value() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(e), headerBytes+uintptr(e.keyLen))), e.valueLen)
}

// block is the whole block as the allocator gave it out.
func (e *entry) block() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(e)), e.capacity)
}

// used is the bytes of the block that hold something.
func (e *entry) used() int {
	return blockBytes(int(e.keyLen), int(e.valueLen))
}

func (e *entry) is(hash uint64, key []byte) bool {
	return e.hash == hash && bytes.Equal(e.key(), key)
}

func (e *entry) expired(nowMillis int64) bool {
	return e.expiryMillis != 0 && e.expiryMillis <= nowMillis
}

// setValue replaces the value. It fits: see fits.
func (e *entry) setValue(value []byte) {
	e.valueLen = uint32(len(value))
	copy(e.value(), value)
}

// fits reports whether need bytes of header, key and value may stay in this
// block: there is space for them, and they do not waste half of it.
func (e *entry) fits(need int) bool {
	return need <= int(e.capacity) && (2*need > int(e.capacity) || alloc.GoodSize(need) == int(e.capacity))
}

// blockBytes is the size of the block for a key and a value of these lengths.
func blockBytes(keyLen, valueLen int) int {
	return int(headerBytes) + keyLen + valueLen
}

// newEntry allocates a block of at least size bytes and puts key in it, with an
// empty value. The caller owns it until it is inserted.
func newEntry(memory *alloc.Allocator, size int, hash uint64, key []byte) (*entry, error) {
	block, err := memory.AllocUninit(size)
	if err != nil {
		return nil, err
	}
	e := (*entry)(unsafe.Pointer(unsafe.SliceData(block)))
	*e = entry{hash: hash, keyLen: uint32(len(key)), capacity: uint32(cap(block))}
	copy(e.key(), key)
	return e, nil
}

// lacksMemory tells the allocator's refusals, after which evicting helps, from
// other errors.
func lacksMemory(err error) bool {
	return errors.Is(err, alloc.ErrLimit) || errors.Is(err, alloc.ErrNoMemory)
}

// relink notes that the block of the entry that link refers to is now block.
func (s *shard) relink(link *uintptr, block []byte) *entry {
	e := (*entry)(unsafe.Pointer(unsafe.SliceData(block)))
	e.capacity = uint32(cap(block))
	*link = e.address()
	return e
}
