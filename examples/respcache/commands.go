package main

import (
	"log"
	"strings"
	"time"

	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"
)

// command is one entry of the command table: how a request is recognised,
// checked and served, and what COMMAND tells about it.
type command struct {
	name    string
	arity   int // arguments with the name; a negative number means at least so many
	flags   string
	keys    [3]int // first key, last key, step, as COMMAND tells them
	group   string
	since   string
	summary string
	run     func(s *server, c *client, args resp.Args)
}

// maxNameBytes bounds the names that are looked up; no command is longer.
const maxNameBytes = 16

// byName finds a command by its name in lower case.
var byName = map[string]*command{}

// init fills byName: a plain initializer would be a cycle, since the functions
// of COMMAND read the table that they are part of.
func init() {
	for _, group := range [][]command{connectionCommands, stringCommands, keyCommands, serverCommands} {
		for i := range group {
			byName[group[i].name] = &group[i]
		}
	}
}

var oneKey = [3]int{1, 1, 1}
var manyKeys = [3]int{1, -1, 1}
var keyValuePairs = [3]int{1, -1, 2}

// findCommand looks name up in any case, without allocating.
func findCommand(name []byte) *command {
	if len(name) > maxNameBytes {
		return nil
	}
	var lower [maxNameBytes]byte
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return byName[string(lower[:len(name)])]
}

// accepts reports whether a request may have n arguments, the name included.
func (c *command) accepts(n int) bool {
	if c.arity < 0 {
		return n >= -c.arity
	}
	return n == c.arity
}

// handle serves one request and writes its reply.
func (s *server) handle(c *client, args resp.Args, refused error) {
	s.commands.Add(1)
	if refused != nil {
		c.writeError(errOutOfMemory)
		return
	}
	found := findCommand(args.At(0))
	switch {
	case isHTTP(args.At(0)):
		s.refuseHTTP(c)
	case found == nil:
		c.writeError(unknownCommand(args))
	case !found.accepts(args.Len()):
		c.writeError(wrongArity(found.name))
	default:
		found.run(s, c, args)
	}
}

// isHTTP reports whether name is what the lines of an HTTP request begin with. A
// web page can have a browser send one here, with commands in its body: the
// connection is closed before they are read, as Redis does.
func isHTTP(name []byte) bool { return is(name, "POST") || is(name, "HOST:") }

// refuseHTTP closes the connection without a reply to this request, and logs it,
// at most once in attackLogInterval.
func (s *server) refuseHTTP(c *client) {
	c.quits = true
	now := time.Now().UnixNano()
	if last := s.attackLogged.Load(); (last == 0 || now-last >= int64(attackLogInterval)) && s.attackLogged.CompareAndSwap(last, now) {
		log.Printf("respcache: Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to respcache. "+
			"This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your instance. Connection from %s aborted.",
			c.connection.RemoteAddr())
	}
}

// is reports whether argument is word, in any case. word is in upper case.
func is(argument []byte, word string) bool {
	return len(argument) == len(word) && strings.EqualFold(string(argument), word)
}
