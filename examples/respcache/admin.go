package main

import (
	"path"
	"strconv"
	"strings"

	"github.com/tidwall/redcon"
)

var serverCommands = []command{
	{"dbsize", 1, "readonly fast", [3]int{}, "server", "1.0.0", "How many keys there are.", (*server).dbSize},
	{"flushall", -1, "write", [3]int{}, "server", "1.0.0", "Removes all keys.", (*server).flush},
	{"flushdb", -1, "write", [3]int{}, "server", "1.0.0", "Removes all keys.", (*server).flush},
	{"info", -1, "loading stale", [3]int{}, "server", "1.0.0", "Figures of the server, its memory and its keys.", (*server).info},
	{"config", -2, "admin loading stale", [3]int{}, "server", "2.0.0", "Reads settings.", (*server).config},
	{"command", -1, "loading stale", [3]int{}, "server", "2.8.13", "Describes the commands.", (*server).command},
}

func (s *server) dbSize(conn redcon.Conn, _ [][]byte) { conn.WriteInt(s.table.Len()) }

// flush accepts ASYNC and SYNC and does the same for both: it frees one shard
// after another.
func (s *server) flush(conn redcon.Conn, args [][]byte) {
	if len(args) > 2 || (len(args) == 2 && !is(args[1], "ASYNC") && !is(args[1], "SYNC")) {
		conn.WriteError(errSyntax)
		return
	}
	s.table.Flush()
	conn.WriteString("OK")
}

// configuration lists what CONFIG GET can tell, as name and value. The empty
// ones are what redis-benchmark and monitoring programs ask for.
func (s *server) configuration() [][2]string {
	return [][2]string{
		{"appendonly", "no"},
		{"databases", "1"},
		{"maxmemory", strconv.FormatInt(s.limit, 10)},
		{"maxmemory-policy", evictionPolicy},
		{"maxmemory-samples", strconv.Itoa(s.samples)},
		{"port", strconv.Itoa(s.port)},
		{"save", ""},
	}
}

func (s *server) config(conn redcon.Conn, args [][]byte) {
	switch subcommand := args[1]; {
	case is(subcommand, "GET") && len(args) >= 3:
		s.configGet(conn, args[2:])
	case is(subcommand, "SET") && len(args) >= 4 && len(args)%2 == 0:
		s.configSet(conn, args[2:])
	case is(subcommand, "RESETSTAT") && len(args) == 2:
		s.table.ResetStats()
		s.commands.Add(-s.commands.Value())
		s.accepted.Store(0)
		conn.WriteString("OK")
	case is(subcommand, "GET"), is(subcommand, "SET"), is(subcommand, "RESETSTAT"):
		conn.WriteError(wrongArity("config|" + strings.ToLower(string(subcommand))))
	default:
		conn.WriteError(unknownSubcommand(args[0], subcommand))
	}
}

// configGet replies with the names that match any of the patterns.
func (s *server) configGet(conn redcon.Conn, patterns [][]byte) {
	var found []string
	for _, setting := range s.configuration() {
		for _, pattern := range patterns {
			if ok, _ := path.Match(strings.ToLower(string(pattern)), setting[0]); ok {
				found = append(found, setting[0], setting[1])
				break
			}
		}
	}
	conn.WriteArray(len(found))
	for _, text := range found {
		conn.WriteBulkString(text)
	}
}

// configSet refuses everything: the allocator's limit is given when it is made,
// and the rest is given on the command line.
func (s *server) configSet(conn redcon.Conn, pairs [][]byte) {
	for _, setting := range s.configuration() {
		if is(pairs[0], strings.ToUpper(setting[0])) {
			conn.WriteError(immutableSetting(setting[0]))
			return
		}
	}
	conn.WriteError("ERR Unknown option or number of arguments for CONFIG SET - '" + string(pairs[0]) + "'")
}
