package main

import (
	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"

	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
)

var connectionCommands = []command{
	{"ping", -1, "fast", [3]int{}, "connection", "1.0.0", "Replies with PONG or the argument.", (*server).ping},
	{"echo", 2, "fast", [3]int{}, "connection", "1.0.0", "Replies with the argument.", (*server).echo},
	{"select", 2, "fast", [3]int{}, "connection", "1.0.0", "Chooses database 0, the only one.", (*server).selectDatabase},
	{"hello", -1, "fast", [3]int{}, "connection", "6.0.0", "Agrees on protocol version 2.", (*server).hello},
	{"quit", -1, "fast", [3]int{}, "connection", "1.0.0", "Closes the connection.", (*server).quit},
}

func (s *server) ping(c *client, args resp.Args) {
	switch args.Len() {
	case 1:
		c.writeString("PONG")
	case 2:
		c.writeBulk(args.At(1))
	default:
		c.writeError(wrongArity("ping"))
	}
}

func (s *server) echo(c *client, args resp.Args) { c.writeBulk(args.At(1)) }

func (s *server) selectDatabase(c *client, args resp.Args) {
	number, ok := table.ParseInteger(args.At(1))
	switch {
	case !ok:
		c.writeError(errNotInteger)
	case number != 0:
		c.writeError(errDatabase)
	default:
		c.writeString("OK")
	}
}

// hello lets clients that ask for protocol version 3 fall back to 2.
func (s *server) hello(c *client, args resp.Args) {
	if args.Len() > 1 {
		version, ok := table.ParseInteger(args.At(1))
		switch {
		case !ok:
			c.writeError("ERR Protocol version is not an integer or out of range")
			return
		case version != 2:
			c.writeError(errProtocol)
			return
		case args.Len() > 2: // AUTH and SETNAME
			c.writeError(errSyntax)
			return
		}
	}
	c.writeArray(12)
	for _, text := range []string{"server", "redis", "version", compatibleVersion, "proto"} {
		c.writeText(text)
	}
	c.writeInt(2)
	for _, text := range []string{"mode", "standalone", "role", "master", "modules"} {
		c.writeText(text)
	}
	c.writeArray(0)
}

// quit replies; the requests that follow in the pipeline are dropped.
func (s *server) quit(c *client, _ resp.Args) {
	c.writeString("OK")
	c.quits = true
}
