package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"
)

// command serves COMMAND: redis-cli asks for DOCS to complete and explain what
// is typed, cluster clients ask for the positions of keys.
func (s *server) command(c *client, args resp.Args) {
	if args.Len() == 1 {
		describeCommands(c, commandNames())
		return
	}
	switch subcommand := args.At(1); {
	case is(subcommand, "COUNT") && args.Len() == 2:
		c.writeInt(int64(len(byName)))
	case is(subcommand, "LIST") && args.Len() == 2:
		writeStrings(c, commandNames())
	case is(subcommand, "INFO") && args.Len() == 2:
		describeCommands(c, commandNames())
	case is(subcommand, "INFO"):
		c.writeArray(args.Len() - 2)
		for i := 2; i < args.Len() && !c.ended(); i++ {
			describeCommand(c, findCommand(args.At(i)))
		}
	case is(subcommand, "DOCS"):
		documentCommands(c, args.From(2))
	case is(subcommand, "COUNT"), is(subcommand, "LIST"):
		c.writeError(wrongArity("command|" + strings.ToLower(string(subcommand))))
	default:
		c.writeError(unknownSubcommand(args.At(0), subcommand))
	}
}

func commandNames() []string { return slices.Sorted(maps.Keys(byName)) }

func writeStrings(c *client, texts []string) {
	c.writeArray(len(texts))
	for _, text := range texts {
		c.writeText(text)
	}
}

func describeCommands(c *client, names []string) {
	c.writeArray(len(names))
	for _, name := range names {
		describeCommand(c, byName[name])
	}
}

// describeCommand writes the ten fields of COMMAND in Redis 7, the last four
// empty, or null if there is no such command.
func describeCommand(c *client, described *command) {
	if described == nil {
		c.writeNull()
		return
	}
	c.writeArray(10)
	c.writeText(described.name)
	c.writeInt(int64(described.arity))
	flags := strings.Fields(described.flags)
	c.writeArray(len(flags))
	for _, flag := range flags {
		c.writeString(flag)
	}
	for _, position := range described.keys {
		c.writeInt(int64(position))
	}
	for range 4 { // ACL categories, tips, key specifications, subcommands
		c.writeArray(0)
	}
}

// documentCommands writes pairs of a name and its documentation: for all
// commands if no names are given, else for those that exist.
func documentCommands(c *client, names resp.Args) {
	if names.Len() == 0 {
		all := commandNames()
		c.writeArray(2 * len(all))
		for _, name := range all {
			documentCommand(c, byName[name])
		}
		return
	}
	existing := 0
	for i := range names.Len() {
		if findCommand(names.At(i)) != nil {
			existing++
		}
	}
	c.writeArray(2 * existing)
	for i := 0; i < names.Len() && !c.ended(); i++ {
		if found := findCommand(names.At(i)); found != nil {
			documentCommand(c, found)
		}
	}
}

func documentCommand(c *client, documented *command) {
	c.writeText(documented.name)
	writeStrings(c, []string{"summary", documented.summary, "since", documented.since, "group", documented.group})
}
