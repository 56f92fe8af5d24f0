// Package resp parses requests of the Redis protocol (RESP 2 arrays of bulk
// strings, and inline requests), in pieces as they arrive from a connection.
//
// Nothing that a client announces takes memory: a bulk's length and an array's
// count are compared with the limits, and memory is taken for the bytes and
// elements that have arrived, at most half as much again in advance. Arguments
// are stored one behind the other without the protocol's own bytes, with one
// 32-bit number for each that says where it ends. What outgrows the Parser's own
// few bytes is in blocks of a Memory, which may refuse them.
//
// A refusal that wraps ErrNoRoom costs the client its request, not its connection:
// the Parser drops what it holds, passes over the rest of the request as it
// arrives, and the caller replies with an error. Any other error ends the stream.
package resp
