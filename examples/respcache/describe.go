package main

import (
	"slices"
	"strings"

	"github.com/tidwall/redcon"
)

// command serves COMMAND: redis-cli asks for DOCS to complete and explain what
// is typed, cluster clients ask for the positions of keys.
func (s *server) command(conn redcon.Conn, args [][]byte) {
	if len(args) == 1 {
		describeCommands(conn, commandNames())
		return
	}
	switch subcommand := args[1]; {
	case is(subcommand, "COUNT") && len(args) == 2:
		conn.WriteInt(len(byName))
	case is(subcommand, "LIST") && len(args) == 2:
		writeStrings(conn, commandNames())
	case is(subcommand, "INFO") && len(args) == 2:
		describeCommands(conn, commandNames())
	case is(subcommand, "INFO"):
		describeCommands(conn, asStrings(args[2:]))
	case is(subcommand, "DOCS"):
		documentCommands(conn, asStrings(args[2:]))
	case is(subcommand, "COUNT"), is(subcommand, "LIST"):
		conn.WriteError(wrongArity("command|" + strings.ToLower(string(subcommand))))
	default:
		conn.WriteError(unknownSubcommand(args[0], subcommand))
	}
}

func commandNames() []string {
	names := make([]string, 0, len(byName))
	for name := range byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func asStrings(args [][]byte) []string {
	texts := make([]string, len(args))
	for i, argument := range args {
		texts[i] = string(argument)
	}
	return texts
}

func writeStrings(conn redcon.Conn, texts []string) {
	conn.WriteArray(len(texts))
	for _, text := range texts {
		conn.WriteBulkString(text)
	}
}

// describeCommands writes, for each name, the ten fields of COMMAND in Redis 7,
// the last four empty, or null if there is no such command.
func describeCommands(conn redcon.Conn, names []string) {
	conn.WriteArray(len(names))
	for _, name := range names {
		c := findCommand([]byte(name))
		if c == nil {
			conn.WriteNull()
			continue
		}
		conn.WriteArray(10)
		conn.WriteBulkString(c.name)
		conn.WriteInt(c.arity)
		flags := strings.Fields(c.flags)
		conn.WriteArray(len(flags))
		for _, flag := range flags {
			conn.WriteString(flag)
		}
		for _, position := range c.keys {
			conn.WriteInt(position)
		}
		for range 4 { // ACL categories, tips, key specifications, subcommands
			conn.WriteArray(0)
		}
	}
}

// documentCommands writes pairs of a name and its documentation: for all
// commands if no names are given, else for those that exist.
func documentCommands(conn redcon.Conn, names []string) {
	if len(names) == 0 {
		names = commandNames()
	}
	var documented []*command
	for _, name := range names {
		if c := findCommand([]byte(name)); c != nil {
			documented = append(documented, c)
		}
	}
	conn.WriteArray(2 * len(documented))
	for _, c := range documented {
		conn.WriteBulkString(c.name)
		writeStrings(conn, []string{"summary", c.summary, "since", c.since, "group", c.group})
	}
}
