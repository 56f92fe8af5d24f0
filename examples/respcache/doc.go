// Command respcache is a cache server that speaks the Redis protocol and keeps
// its data in vcpualloc: keys, values and index lie outside the Go heap, so the
// garbage collector has next to nothing to scan, and the memory limit is the
// allocator's own.
//
//	respcache -port 0 -maxmemory 64mb
//	respcache: listening on 127.0.0.1:43121
//
// # How a request is served
//
// The library redcon reads requests and calls server.handle, one goroutine per
// connection; all requests of a pipeline are handled before their replies are
// written. handle finds the command in a map (commands.go), checks the number
// of arguments and calls its function, which parses the arguments, calls the
// table (package table) and writes the reply. A reply is copied out of the
// table under the lock of one shard, into the connection's own buffer.
//
// # What is like Redis and what is not
//
// Replies and error texts are those of Redis 7 in protocol version 2, for
// strings in one database. Not like Redis: MSET, MGET and DEL of several keys
// are atomic for each key, not for all of them; the limit given at the start
// stays; there is no persistence, no replication and no authentication, so
// the default address is the loopback one.
//
// # The memory limit
//
// -maxmemory is the Limit of the allocator: it covers values, keys, index and
// what the allocator keeps at hand. A request that it refuses evicts approximately
// least recently used keys and tries again; one that can never fit gets Redis's
// OOM error. Free memory returns to the system by itself; INFO memory tells where
// the rest is. The buffers of connections are ordinary Go memory and come on top.
// In a cgroup with a limit, or with GOMEMLIMIT, Go gets what the allocator leaves of
// that (alloc.BalanceMemoryLimit); -maxmemory should leave it enough.
package main
