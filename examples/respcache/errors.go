package main

import (
	"errors"
	"strings"

	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"

	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
)

// Error replies, word for word those of Redis 7: clients compare them.
const (
	errSyntax       = "ERR syntax error"
	errNotInteger   = "ERR value is not an integer or out of range"
	errOverflow     = "ERR increment or decrement would overflow"
	errDecrement    = "ERR decrement would overflow"
	errTooLong      = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
	errOutOfMemory  = "OOM command not allowed when used memory > 'maxmemory'."
	errMaxClients   = "ERR max number of clients reached"
	errDatabase     = "ERR DB index is out of range"
	errProtocol     = "NOPROTO unsupported protocol version"
	errExpireNX     = "ERR NX and XX, GT or LT options at the same time are not compatible"
	errExpireGTLT   = "ERR GT and LT options at the same time are not compatible"
	unsupportedText = "ERR Unsupported option " // the option follows
	maxEchoedBytes  = 128                       // of what a client sent, in an error
)

func unknownCommand(args resp.Args) string {
	var text strings.Builder
	for i := 1; i < args.Len(); i++ {
		room := maxEchoedBytes - text.Len()
		if room <= 0 {
			break
		}
		argument := args.At(i)
		text.WriteString("'" + string(argument[:min(len(argument), room)]) + "' ")
	}
	return "ERR unknown command '" + echo(args.At(0)) + "', with args beginning with: " + text.String()
}

// echo returns the start of an argument, for an error.
func echo(argument []byte) string { return string(argument[:min(len(argument), maxEchoedBytes)]) }

func unknownSubcommand(name, subcommand []byte) string {
	return "ERR unknown subcommand '" + echo(subcommand) +
		"'. Try " + strings.ToUpper(string(name)) + " HELP."
}

func immutableSetting(name string) string {
	return "ERR CONFIG SET failed (possibly related to argument '" + name + "') - can't set immutable config"
}

func wrongArity(name string) string {
	return "ERR wrong number of arguments for '" + name + "' command"
}

func invalidExpiry(name string) string {
	return "ERR invalid expire time in '" + name + "' command"
}

// writeTableError replies with what Redis says for an error of the table.
func writeTableError(c *client, err error) {
	switch {
	case errors.Is(err, table.ErrOutOfMemory):
		c.writeError(errOutOfMemory)
	case errors.Is(err, table.ErrTooLong):
		c.writeError(errTooLong)
	case errors.Is(err, table.ErrNotInteger):
		c.writeError(errNotInteger)
	case errors.Is(err, table.ErrOverflow):
		c.writeError(errOverflow)
	default:
		c.writeError("ERR " + err.Error())
	}
}
