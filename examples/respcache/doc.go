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
// Each connection has a goroutine (client.go). It reads bytes, feeds them to a
// parser (package resp), and passes each complete request to server.handle,
// which finds the command in a map (commands.go), checks the number of arguments
// and calls its function; that parses the arguments, calls the table (package
// table) and writes the reply. A reply is copied out of the table under the lock
// of one shard into a block of the client; the block is sent when it is full, and
// before the goroutine waits for more bytes (replies.go).
//
// # What a client may take
//
// Requests and replies are blocks of the allocator, so -maxmemory covers them,
// and keys are evicted to make room for them. A request takes what has arrived of
// it, and half as much again, whatever lengths it announces; an idle client has
// no block.
//
//   - A request has -proto-max-multibulk-len arguments of -proto-max-bulk-len
//     bytes at the most, an inline request 64 KiB. What exceeds that, or is no
//     request, gets an error, and the connection is closed.
//   - Replies that the client does not read wait in a backlog, at most 16 MiB and
//     an eighth of either limit below. While it is full, no more of the client's
//     requests are served.
//   - A client whose request and replies exceed -client-limit is closed.
//   - When the buffers of all clients exceed -maxmemory-clients, the client that
//     holds most is closed, as Redis does. If that is the one that needs more,
//     its request is passed over as it arrives and answered with an OOM error;
//     the connection goes on.
//   - A client is closed that is idle for -timeout, whose request has not arrived
//     whole in a minute and a second more for every 16 KiB, or that does not read
//     16 KiB of replies in a minute; in -timeout, if that is shorter.
//   - Beyond -maxclients, connections are refused. Each takes about 8 KiB of Go
//     memory for its goroutine, which no limit counts.
//
// A request and the value that it stores are in memory at the same time, and a
// request that grows may have to move, so a value can have about a third of
// -maxmemory while no other client holds buffers, and half of it at best. The
// buffers of other clients take from that, for they share -maxmemory-clients and
// -maxmemory. A value that has no room gets an OOM error.
//
// Without -maxmemory a percentage as -maxmemory-clients, the default one too, is
// no bound: each client is then within -client-limit, and all together within
// -maxclients times that. A server that others reach needs -maxmemory, or
// -maxmemory-clients as a size.
//
// A connection whose client sends the command POST or Host: is closed without a
// reply, as Redis does: it is a web page that has a browser send commands. A line
// in the log tells of it, at most one in a minute.
//
// On SIGTERM or SIGINT all connections are closed at once. Commands of many keys
// look between two keys whether theirs is; the table is not freed, the allocator
// is closed as a whole.
//
// No input causes a panic; FuzzProtocol looks for one. A panic would be a fault of
// the server, with a lock held and an entry half changed, so it is not recovered:
// Go prints it, and the process ends.
//
// # What is like Redis and what is not
//
// Replies and error texts are those of Redis 7 in protocol version 2, for
// strings in one database. Bytes that are no request get the errors of Redis,
// sooner where it is clear sooner, and what follows a bulk string must be the end
// of a line. The commands are
//
//	PING ECHO SELECT HELLO QUIT
//	GET SET SETNX SETEX PSETEX GETSET MGET MSET APPEND STRLEN
//	INCR DECR INCRBY DECRBY
//	DEL UNLINK EXISTS EXPIRE PEXPIRE EXPIREAT PEXPIREAT TTL PTTL PERSIST
//	DBSIZE FLUSHALL FLUSHDB INFO CONFIG COMMAND
//
// and others get the error for unknown commands: there is no AUTH, CLIENT, SCAN,
// KEYS, TYPE or MULTI, and no type but strings. A NUL byte is a byte like any
// other: Redis waits for the rest of an inline request that has one, and ends a
// command's name, and what its errors repeat, in front of it.
// Not like Redis: MSET, MGET and DEL of several keys
// are atomic for each key, not for all of them; the limit given at the start
// stays; there is no persistence, no replication and no authentication, so
// the default address is the loopback one.
//
// # The memory limit
//
// -maxmemory is the Limit of the allocator: it covers values, keys, index, the
// buffers of clients and what the allocator keeps at hand. A request that it refuses evicts approximately
// least recently used keys and tries again. It evicts what is lacking once all
// free memory was given back, and at most about twice what the request needs and
// an eighth of -maxmemory (1 MiB if that is more); a request that does not fit
// after that gets Redis's OOM error, and the other keys stay. Free memory returns to the system by itself; INFO memory tells where
// the rest is.
// In a cgroup with a limit, or with GOMEMLIMIT, Go gets what the allocator leaves of
// that (alloc.BalanceMemoryLimit); -maxmemory should leave it enough.
package main
