package main

import (
	"github.com/tidwall/redcon"

	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
)

var connectionCommands = []command{
	{"ping", -1, "fast", [3]int{}, "connection", "1.0.0", "Replies with PONG or the argument.", (*server).ping},
	{"echo", 2, "fast", [3]int{}, "connection", "1.0.0", "Replies with the argument.", (*server).echo},
	{"select", 2, "fast", [3]int{}, "connection", "1.0.0", "Chooses database 0, the only one.", (*server).selectDatabase},
	{"hello", -1, "fast", [3]int{}, "connection", "6.0.0", "Agrees on protocol version 2.", (*server).hello},
	{"quit", -1, "fast", [3]int{}, "connection", "1.0.0", "Closes the connection.", (*server).quit},
}

func (s *server) ping(conn redcon.Conn, args [][]byte) {
	switch len(args) {
	case 1:
		conn.WriteString("PONG")
	case 2:
		conn.WriteBulk(args[1])
	default:
		conn.WriteError(wrongArity("ping"))
	}
}

func (s *server) echo(conn redcon.Conn, args [][]byte) { conn.WriteBulk(args[1]) }

func (s *server) selectDatabase(conn redcon.Conn, args [][]byte) {
	number, ok := table.ParseInteger(args[1])
	switch {
	case !ok:
		conn.WriteError(errNotInteger)
	case number != 0:
		conn.WriteError(errDatabase)
	default:
		conn.WriteString("OK")
	}
}

// hello lets clients that ask for protocol version 3 fall back to 2.
func (s *server) hello(conn redcon.Conn, args [][]byte) {
	if len(args) > 1 {
		version, ok := table.ParseInteger(args[1])
		switch {
		case !ok:
			conn.WriteError("ERR Protocol version is not an integer or out of range")
			return
		case version != 2:
			conn.WriteError(errProtocol)
			return
		case len(args) > 2: // AUTH and SETNAME
			conn.WriteError(errSyntax)
			return
		}
	}
	conn.WriteAny([]any{
		"server", "redis", "version", compatibleVersion, "proto", redcon.SimpleInt(2),
		"mode", "standalone", "role", "master", "modules", []any{},
	})
}

// quit replies, closes, and drops the requests that follow in the pipeline.
func (s *server) quit(conn redcon.Conn, _ [][]byte) {
	conn.WriteString("OK")
	conn.ReadPipeline()
	conn.Close()
}
