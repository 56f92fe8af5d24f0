// Package table is a hash table from byte strings to byte strings that lives
// outside the Go heap: keys, values, headers and the index itself are blocks of
// an alloc.Allocator. The garbage collector sees one small struct per shard,
// however many keys there are.
//
// # Layout
//
// The table is cut in shards, several per virtual CPU, each under a lock of its
// own; the high bits of a key's hash choose the shard. A shard's index is an
// array of chains, a power of two long, and the low bits of the hash choose the
// chain. Every key is one block:
//
//	header (entry) | key bytes | value bytes | unused, up to the block's capacity
//
// Chains link blocks by address. An address is a uintptr, not a Go pointer: the
// collector must not follow it, and the allocator, which never moves a block,
// keeps it valid until the block is freed. One function, entryAt, turns an
// address back into a pointer.
//
// A block belongs to its shard. It is read, changed and freed under the shard's
// lock only, so nobody ever holds a value that is being freed: Get hands the
// value to a callback that runs under the lock and copies what it needs.
//
// # Growing and shrinking the index
//
// A shard whose entries outnumber its chains allocates an array twice as long
// and moves a few chains with each operation; a lookup searches both arrays
// meanwhile. If the allocator refuses the longer array, the old one stays, its
// chains grow longer, and the shard asks again when it holds an eighth more.
// Maintain shortens arrays that became mostly empty, so that an index built for
// many small entries makes room for few large ones.
//
// # When memory runs out
//
// The limit is the allocator's. An operation that the allocator refuses gives
// up its lock, evicts, and starts again; it never evicts while it holds a lock,
// and never holds two locks. Eviction has two steps.
//
//  1. Approximate LRU: look at a handful of random entries, evict the one that
//     was used longest ago. A freed block serves the next allocation of its
//     size class, so while sizes stay as they are this step is enough.
//  2. Coldest windows: when sizes change, freeing scattered small blocks does
//     not help, for a page can be used for another size only when its last
//     object is gone. So the allocator first gives back what is free, the pages
//     inside spans too; what is lacking then is evicted. All entries are summed
//     up by the window of addresses that they lie in, and the windows that are
//     used least are emptied completely. That takes two walks through the whole
//     index and therefore frees a sizeable part of the limit at least.
//
// An operation evicts at most about twice the bytes that it needs and an eighth
// of the limit (1 MiB if that is more). One that does not fit after that fails
// with ErrOutOfMemory and the other entries stay; one that lacks more than all
// entries hold fails after the first step.
//
// # Expiry
//
// An entry past its expiry time is removed by the operation that meets it, and
// by Maintain, which sweeps a part of each shard's index at every call and goes
// on while it finds much to remove.
package table
