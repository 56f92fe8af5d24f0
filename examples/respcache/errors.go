package main

import (
	"errors"
	"strings"

	"github.com/tidwall/redcon"

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
	errDatabase     = "ERR DB index is out of range"
	errProtocol     = "NOPROTO unsupported protocol version"
	errExpireNX     = "ERR NX and XX, GT or LT options at the same time are not compatible"
	errExpireGTLT   = "ERR GT and LT options at the same time are not compatible"
	unsupportedText = "ERR Unsupported option " // the option follows
	maxEchoedBytes  = 128                       // of the name and of the arguments of an unknown command
)

func unknownCommand(args [][]byte) string {
	var text strings.Builder
	for _, argument := range args[1:] {
		room := maxEchoedBytes - text.Len()
		if room <= 0 {
			break
		}
		text.WriteString("'" + string(argument[:min(len(argument), room)]) + "' ")
	}
	name := args[0][:min(len(args[0]), maxEchoedBytes)]
	return "ERR unknown command '" + string(name) + "', with args beginning with: " + text.String()
}

func unknownSubcommand(name, subcommand []byte) string {
	return "ERR unknown subcommand '" + string(subcommand[:min(len(subcommand), maxEchoedBytes)]) +
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
func writeTableError(conn redcon.Conn, err error) {
	switch {
	case errors.Is(err, table.ErrOutOfMemory):
		conn.WriteError(errOutOfMemory)
	case errors.Is(err, table.ErrTooLong):
		conn.WriteError(errTooLong)
	case errors.Is(err, table.ErrNotInteger):
		conn.WriteError(errNotInteger)
	case errors.Is(err, table.ErrOverflow):
		conn.WriteError(errOverflow)
	default:
		conn.WriteError("ERR " + err.Error())
	}
}
