package main

import (
	"path"
	"strconv"
	"strings"

	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"
)

var serverCommands = []command{
	{"dbsize", 1, "readonly fast", [3]int{}, "server", "1.0.0", "How many keys there are.", (*server).dbSize},
	{"flushall", -1, "write", [3]int{}, "server", "1.0.0", "Removes all keys.", (*server).flush},
	{"flushdb", -1, "write", [3]int{}, "server", "1.0.0", "Removes all keys.", (*server).flush},
	{"info", -1, "loading stale", [3]int{}, "server", "1.0.0", "Figures of the server, its memory and its keys.", (*server).info},
	{"config", -2, "admin loading stale", [3]int{}, "server", "2.0.0", "Reads settings.", (*server).config},
	{"command", -1, "loading stale", [3]int{}, "server", "2.8.13", "Describes the commands.", (*server).command},
}

func (s *server) dbSize(c *client, _ resp.Args) { c.writeInt(int64(s.table.Len())) }

// flush accepts ASYNC and SYNC and does the same for both: it frees one shard
// after another.
func (s *server) flush(c *client, args resp.Args) {
	if args.Len() > 2 || (args.Len() == 2 && !is(args.At(1), "ASYNC") && !is(args.At(1), "SYNC")) {
		c.writeError(errSyntax)
		return
	}
	s.table.Flush()
	c.writeString("OK")
}

// configuration lists what CONFIG GET can tell, as name and value. The empty
// ones are what redis-benchmark and monitoring programs ask for.
func (s *server) configuration() [][2]string {
	return [][2]string{
		{"appendonly", "no"},
		{"databases", "1"},
		{"client-limit", strconv.FormatInt(s.buffers.each, 10)},
		{"maxclients", strconv.Itoa(s.maxClients)},
		{"maxmemory", strconv.FormatInt(s.limit, 10)},
		{"maxmemory-clients", strconv.FormatInt(s.buffers.total, 10)},
		{"maxmemory-policy", evictionPolicy},
		{"maxmemory-samples", strconv.Itoa(s.samples)},
		{"port", strconv.Itoa(s.port)},
		{"proto-max-bulk-len", strconv.Itoa(s.limits.BulkBytes)},
		{"proto-max-multibulk-len", strconv.Itoa(s.limits.Elements)},
		{"save", ""},
		{"timeout", strconv.FormatInt(int64(s.timeout.Seconds()), 10)},
	}
}

func (s *server) config(c *client, args resp.Args) {
	switch subcommand := args.At(1); {
	case is(subcommand, "GET") && args.Len() >= 3:
		s.configGet(c, args.From(2))
	case is(subcommand, "SET") && args.Len() >= 4 && args.Len()%2 == 0:
		s.configSet(c, args.From(2))
	case is(subcommand, "RESETSTAT") && args.Len() == 2:
		s.table.ResetStats()
		s.commands.Add(-s.commands.Value())
		s.accepted.Store(0)
		s.rejected.Store(0)
		s.evictedClients.Store(0)
		c.writeString("OK")
	case is(subcommand, "GET"), is(subcommand, "SET"), is(subcommand, "RESETSTAT"):
		c.writeError(wrongArity("config|" + strings.ToLower(string(subcommand))))
	default:
		c.writeError(unknownSubcommand(args.At(0), subcommand))
	}
}

// maxPatternBytes bounds the patterns that are compared with the names of
// settings; a longer one matches none.
const maxPatternBytes = 256

// configGet replies with the names that match any of the patterns.
func (s *server) configGet(c *client, patterns resp.Args) {
	var found []string
	for _, setting := range s.configuration() {
		for i := 0; i < patterns.Len() && !c.ended(); i++ {
			pattern := patterns.At(i)
			if len(pattern) > maxPatternBytes {
				continue
			}
			if ok, _ := path.Match(strings.ToLower(string(pattern)), setting[0]); ok {
				found = append(found, setting[0], setting[1])
				break
			}
		}
	}
	c.writeArray(len(found))
	for _, text := range found {
		c.writeText(text)
	}
}

// configSet refuses everything: the allocator's limit is given when it is made,
// and the rest is given on the command line.
func (s *server) configSet(c *client, pairs resp.Args) {
	for _, setting := range s.configuration() {
		if is(pairs.At(0), strings.ToUpper(setting[0])) {
			c.writeError(immutableSetting(setting[0]))
			return
		}
	}
	c.writeError("ERR Unknown option or number of arguments for CONFIG SET - '" + echo(pairs.At(0)) + "'")
}
