package main

import (
	"strconv"
	"strings"
	"testing"
)

// scripts hold requests and their replies, a pair per line, each script for a
// fresh server. "" is an empty argument. Replies are written +status, -error,
// :integer, "bulk string", nil, [array].
var scripts = map[string]string{
	"connection": `
		PING => +PONG
		ping hello => "hello"
		PING a b => -ERR wrong number of arguments for 'ping' command
		ECHO hello => "hello"
		ECHO "" => ""
		ECHO => -ERR wrong number of arguments for 'echo' command
		SELECT 0 => +OK
		SELECT 1 => -ERR DB index is out of range
		SELECT -1 => -ERR DB index is out of range
		SELECT zero => -ERR value is not an integer or out of range
		HELLO 3 => -NOPROTO unsupported protocol version
		HELLO two => -ERR Protocol version is not an integer or out of range
		HELLO 2 => ["server" "redis" "version" "7.0.0" "proto" :2 "mode" "standalone" "role" "master" "modules" []]
		QUIT => +OK`,
	"unknown": `
		NOSUCH => -ERR unknown command 'NOSUCH', with args beginning with:
		nosuch a b => -ERR unknown command 'nosuch', with args beginning with: 'a' 'b'
		A-NAME-LONGER-THAN-ANY-COMMAND => -ERR unknown command 'A-NAME-LONGER-THAN-ANY-COMMAND', with args beginning with:
		"" => -ERR unknown command '', with args beginning with:`,
	"get and set": `
		GET k => nil
		SET k v => +OK
		get k => "v"
		Get K => nil
		SET k "" => +OK
		GET k => ""
		SET "" empty => +OK
		GET "" => "empty"
		GET => -ERR wrong number of arguments for 'get' command
		GET a b => -ERR wrong number of arguments for 'get' command
		SET k => -ERR wrong number of arguments for 'set' command`,
	"conditions": `
		SET k 1 XX => nil
		EXISTS k => :0
		SET k 1 NX => +OK
		SET k 2 NX => nil
		SET k 3 xx => +OK
		GET k => "3"
		SET k 4 GET => "3"
		SET k 5 NX GET => "4"
		SET k 6 XX GET => "4"
		SET n 1 GET => nil
		SET m 1 XX GET => nil
		GET k => "6"
		GET n => "1"
		EXISTS m => :0
		SET k 7 NX XX => -ERR syntax error
		SET k 7 XX NX => -ERR syntax error
		SET k 7 what => -ERR syntax error
		SETNX k 7 => :0
		SETNX new 7 => :1
		GET new => "7"`,
	"set with expiry": `
		SET k v EX 100 => +OK
		TTL k => :100
		SET k v => +OK
		TTL k => :-1
		SET k v PX 100000 => +OK
		TTL k => :100
		SET k w KEEPTTL => +OK
		TTL k => :100
		SET k v ex 100 nx => nil
		SET new v KEEPTTL => +OK
		TTL new => :-1
		SET k v EX 0 => -ERR invalid expire time in 'set' command
		SET k v EX -1 => -ERR invalid expire time in 'set' command
		SET k v PX 0 => -ERR invalid expire time in 'set' command
		SET k v EX 9223372036854775807 => -ERR invalid expire time in 'set' command
		SET k v EX 9223372036854775 => -ERR invalid expire time in 'set' command
		SET k v PX 9223372036854775807 => -ERR invalid expire time in 'set' command
		SET k v EX ten => -ERR value is not an integer or out of range
		SET k v EX 1.5 => -ERR value is not an integer or out of range
		SET k v EX => -ERR syntax error
		SET k v EX 10 PX 10000 => -ERR syntax error
		SET k v EX 10 KEEPTTL => -ERR syntax error
		SET k v KEEPTTL EX 10 => -ERR syntax error
		GET k => "w"
		SET k v EXAT 4102444800 => +OK
		GET k => "v"
		SET k v PXAT 4102444800000 => +OK
		GET k => "v"
		SET k v EXAT 1 => +OK
		GET k => nil`,
	"setex": `
		SETEX k 100 v => +OK
		TTL k => :100
		GET k => "v"
		SETEX k 0 v => -ERR invalid expire time in 'setex' command
		SETEX k -5 v => -ERR invalid expire time in 'setex' command
		SETEX k x v => -ERR value is not an integer or out of range
		SETEX k 10 => -ERR wrong number of arguments for 'setex' command
		PSETEX k 50000 w => +OK
		TTL k => :50
		PSETEX k 0 v => -ERR invalid expire time in 'psetex' command`,
	"getset": `
		GETSET k a => nil
		GETSET k b => "a"
		EXPIRE k 100 => :1
		GETSET k c => "b"
		TTL k => :-1
		GETSET k => -ERR wrong number of arguments for 'getset' command`,
	"many": `
		MSET a 1 b 2 a 3 => +OK
		MGET a b c a => ["3" "2" nil "3"]
		MSET a => -ERR wrong number of arguments for 'mset' command
		MSET a 1 b => -ERR wrong number of arguments for 'mset' command
		MGET => -ERR wrong number of arguments for 'mget' command
		EXPIRE a 100 => :1
		MSET a 4 => +OK
		TTL a => :-1
		EXISTS a b c a => :3
		DEL a b c => :2
		DEL a => :0
		DEL => -ERR wrong number of arguments for 'del' command
		EXISTS => -ERR wrong number of arguments for 'exists' command
		SET u 1 => +OK
		UNLINK u u => :1`,
	"integers": `
		INCR n => :1
		INCR n => :2
		INCRBY n 40 => :42
		DECR n => :41
		DECRBY n 50 => :-9
		DECRBY n -9 => :0
		DECR absent => :-1
		SET n 9223372036854775806 => +OK
		INCR n => :9223372036854775807
		INCR n => -ERR increment or decrement would overflow
		GET n => "9223372036854775807"
		SET n -9223372036854775808 => +OK
		DECR n => -ERR increment or decrement would overflow
		INCRBY n 9223372036854775807 => :-1
		DECRBY n -9223372036854775808 => -ERR decrement would overflow
		INCRBY n 9223372036854775808 => -ERR value is not an integer or out of range
		INCRBY n 1.0 => -ERR value is not an integer or out of range
		INCRBY n => -ERR wrong number of arguments for 'incrby' command
		SET n abc => +OK
		INCR n => -ERR value is not an integer or out of range
		SET n +1 => +OK
		INCR n => -ERR value is not an integer or out of range
		SET n 01 => +OK
		INCR n => -ERR value is not an integer or out of range
		SET n "" => +OK
		INCR n => -ERR value is not an integer or out of range
		SET n 99 EX 100 => +OK
		INCR n => :100
		TTL n => :100`,
	"append": `
		APPEND k hello => :5
		APPEND k "" => :5
		APPEND k -world => :11
		GET k => "hello-world"
		STRLEN k => :11
		STRLEN absent => :0
		EXPIRE k 100 => :1
		APPEND k ! => :12
		TTL k => :100
		APPEND k => -ERR wrong number of arguments for 'append' command
		STRLEN => -ERR wrong number of arguments for 'strlen' command`,
	"expiry": `
		EXPIRE k 100 => :0
		TTL k => :-2
		PTTL k => :-2
		PERSIST k => :0
		SET k v => +OK
		TTL k => :-1
		PTTL k => :-1
		PERSIST k => :0
		EXPIRE k 100 => :1
		TTL k => :100
		PERSIST k => :1
		TTL k => :-1
		PEXPIRE k 1500000 => :1
		TTL k => :1500
		EXPIRE k 10 NX => :0
		EXPIRE k 2000 LT => :0
		EXPIRE k 1000 GT => :0
		EXPIRE k 1000 LT => :1
		EXPIRE k 2000 XX GT => :1
		TTL k => :2000
		EXPIRE k 10 NX XX => -ERR NX and XX, GT or LT options at the same time are not compatible
		EXPIRE k 10 GT LT => -ERR GT and LT options at the same time are not compatible
		EXPIRE k 10 what => -ERR Unsupported option what
		EXPIRE k x => -ERR value is not an integer or out of range
		EXPIRE k 9223372036854775807 => -ERR invalid expire time in 'expire' command
		EXPIRE k -9223372036854775807 => -ERR invalid expire time in 'expire' command
		PEXPIRE k 9223372036854775807 => -ERR invalid expire time in 'pexpire' command
		EXPIRE k => -ERR wrong number of arguments for 'expire' command
		EXPIREAT k 4102444800 => :1
		PEXPIREAT k 4102444800000 => :1
		EXISTS k => :1
		EXPIRE k -1 => :1
		EXISTS k => :0
		SET k v => +OK
		EXPIRE k 0 => :1
		GET k => nil
		SET k v => +OK
		PEXPIRE k -9223372036854775808 => :1
		GET k => nil
		SET k v => +OK
		EXPIREAT k 1 => :1
		GET k => nil`,
	"server": `
		DBSIZE => :0
		MSET a 1 b 2 c 3 => +OK
		DBSIZE => :3
		FLUSHALL => +OK
		DBSIZE => :0
		FLUSHALL ASYNC => +OK
		FLUSHALL sync => +OK
		FLUSHALL NOW => -ERR syntax error
		FLUSHDB => +OK
		DBSIZE x => -ERR wrong number of arguments for 'dbsize' command
		CONFIG => -ERR wrong number of arguments for 'config' command
		CONFIG GET => -ERR wrong number of arguments for 'config|get' command
		CONFIG GET maxmemory => ["maxmemory" "0"]
		CONFIG GET MAXMEMORY-P* => ["maxmemory-policy" "allkeys-lru"]
		CONFIG GET save appendonly => ["appendonly" "no" "save" ""]
		CONFIG GET nosuch => []
		CONFIG SET maxmemory 1mb => -ERR CONFIG SET failed (possibly related to argument 'maxmemory') - can't set immutable config
		CONFIG SET nosuch 1 => -ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'
		CONFIG SET maxmemory => -ERR wrong number of arguments for 'config|set' command
		CONFIG NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP.
		CONFIG RESETSTAT => +OK
		COMMAND INFO get nosuch => [["get" :2 [+readonly +fast] :1 :1 :1 [] [] [] []] nil]
		COMMAND DOCS nosuch echo => ["echo" ["summary" "Replies with the argument." "since" "1.0.0" "group" "connection"]]
		COMMAND NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try COMMAND HELP.
		COMMAND COUNT x => -ERR wrong number of arguments for 'command|count' command`,
}

func TestCommands(t *testing.T) {
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			c := dial(t, startInProcess(t))
			for line := range strings.SplitSeq(strings.Trim(script, "\n"), "\n") {
				request, want, ok := strings.Cut(strings.TrimLeft(line, "\t"), " => ")
				if !ok {
					t.Fatalf("no => in %q", line)
				}
				args := strings.Fields(request)
				for i := range args {
					if args[i] == `""` {
						args[i] = ""
					}
				}
				// The text for an unknown command ends in a space.
				if got := strings.TrimSpace(c.do(t, args...).String()); got != want {
					t.Errorf("%s\ngot  %s\nwant %s", request, got, want)
				}
			}
		})
	}
}

// TestUnknownCommand pins the one text that depends on what was sent: spaces,
// and where it is cut.
func TestUnknownCommand(t *testing.T) {
	c := dial(t, startInProcess(t))
	long := strings.Repeat("x", 200)
	for _, test := range []struct {
		request []string
		want    string
	}{
		{[]string{"foo"}, "-ERR unknown command 'foo', with args beginning with: "},
		{[]string{"foo", "a", "b c"}, "-ERR unknown command 'foo', with args beginning with: 'a' 'b c' "},
		{[]string{long, long, "a"}, "-ERR unknown command '" + long[:128] + "', with args beginning with: '" + long[:128] + "' "},
		{[]string{"foo", "two\r\nlines"}, "-ERR unknown command 'foo', with args beginning with: 'two  lines' "},
	} {
		if got := c.do(t, test.request...).String(); got != test.want {
			t.Errorf("%q\ngot  %s\nwant %s", test.request, got, test.want)
		}
	}
}

func TestCommandListsAgree(t *testing.T) {
	c := dial(t, startInProcess(t))
	count := c.do(t, "COMMAND", "COUNT").String()
	for _, request := range [][]string{{"COMMAND"}, {"COMMAND", "INFO"}, {"COMMAND", "LIST"}} {
		if n := len(c.do(t, request...).items); ":"+strconv.Itoa(n) != count {
			t.Errorf("%v tells of %d commands, COMMAND COUNT of %s", request, n, count)
		}
	}
	if n := len(c.do(t, "COMMAND", "DOCS").items); ":"+strconv.Itoa(n/2) != count {
		t.Errorf("COMMAND DOCS tells of %d commands, COMMAND COUNT of %s", n/2, count)
	}
	for _, name := range strings.Fields(`ping echo get set setex getset mget mset del exists incr decr incrby append
		strlen expire pexpire ttl pttl persist dbsize flushall info config command select quit`) {
		if c.do(t, "COMMAND", "INFO", name).items[0].null {
			t.Errorf("there is no command %s", name)
		}
	}
}

// TestExpiryHappens uses real time: keys go at their time, by themselves and
// when asked for, and not before.
func TestExpiryHappens(t *testing.T) {
	c := dial(t, startInProcess(t))
	const millis = 600_000 // long enough for the slowest client to see the key
	c.do(t, "SET", "short", "v", "PX", strconv.Itoa(millis))
	c.do(t, "SET", "long", "v", "PX", strconv.Itoa(millis))
	if left, err := strconv.Atoi(c.do(t, "PTTL", "short").text); err != nil || left < 1 || left > millis {
		t.Errorf("PTTL right after SET PX %d: got %d, %v", millis, left, err)
	}
	if got := c.do(t, "GET", "short").String(); got != `"v"` {
		t.Errorf("GET right after SET PX %d: got %s", millis, got)
	}
	c.do(t, "SET", "unasked", "v", "PX", "1")
	c.do(t, "SET", "short", "v", "PX", "1")
	eventually(t, "MGET sees one of two keys expired", func() bool {
		return c.do(t, "MGET", "short", "long").String() == `[nil "v"]`
	})
	eventually(t, "a key that is not asked for goes", func() bool { return c.do(t, "DBSIZE").String() == ":1" })
	if stats := c.info(t, "stats"); infoNumber(t, stats, "expired_keys") != 2 {
		t.Errorf("expired_keys is %s, want 2", stats["expired_keys"])
	}
}

// TestLargeValues moves values of many sizes through one connection, and
// refuses what is longer than a string may be.
func TestLargeValues(t *testing.T) {
	c := dial(t, startInProcess(t))
	for _, size := range []int{0, 1, 4095, 4096, 65536, 1<<20 + 1, 20 << 20} {
		value := string(valueOf(uint64(size), size))
		if got := c.do(t, "SET", "k", value).String(); got != "+OK" {
			t.Fatalf("SET of %d bytes: got %s", size, got)
		}
		if got := c.do(t, "GET", "k"); got.text != value {
			t.Fatalf("GET of %d bytes: got %d other bytes", size, len(got.text))
		}
		if got := c.do(t, "STRLEN", "k").String(); got != ":"+strconv.Itoa(size) {
			t.Fatalf("STRLEN of %d bytes: got %s", size, got)
		}
	}
}

func TestOutOfMemory(t *testing.T) {
	c := dial(t, startInProcess(t, "-maxmemory", "2mb"))
	const want = "-OOM command not allowed when used memory > 'maxmemory'."
	large := strings.Repeat("x", 3<<20)
	c.do(t, "SET", "k", "v")
	for _, request := range [][]string{
		{"SET", "large", large}, {"SET", "k", large, "GET"}, {"SETEX", "large", "10", large}, {"GETSET", "k", large},
		{"MSET", "large", large}, {"APPEND", "k", large}, {"SETNX", "large", large},
	} {
		if got := c.do(t, request...).String(); got != want {
			t.Errorf("%s of 3 MiB under 2 MiB: got %.80s", request[0], got)
		}
	}
	if got := c.do(t, "GET", "k").String(); got != `"v"` {
		t.Errorf("the key before: got %s", got)
	}
	if got := c.do(t, "SET", "k", "w").String(); got != "+OK" {
		t.Errorf("a small value after the large ones: got %s", got)
	}
}

func TestInfo(t *testing.T) {
	c := dial(t, startInProcess(t, "-maxmemory", "32mb"))
	c.do(t, "MSET", "a", "1", "b", "2")
	c.do(t, "EXPIRE", "a", "100")
	c.do(t, "MGET", "a", "b", "absent")
	all := c.info(t)
	for name, want := range map[string]string{
		"redis_version": "7.0.0", "connected_clients": "1", "maxmemory": "33554432", "maxmemory_human": "32.00M",
		"maxmemory_policy": "allkeys-lru", "mem_allocator": "vcpualloc", "keyspace_hits": "2", "keyspace_misses": "1",
		"evicted_keys": "0", "total_commands_processed": "4", "db0": "keys=2,expires=1,avg_ttl=0",
	} {
		if all[name] != want {
			t.Errorf("INFO: %s is %q, want %q", name, all[name], want)
		}
	}
	for _, name := range strings.Fields("process_id tcp_port used_memory used_memory_rss used_memory_peak used_memory_dataset vcpualloc_backed vcpualloc_live") {
		if infoNumber(t, all, name) <= 0 {
			t.Errorf("INFO: %s is %s, want a positive number", name, all[name])
		}
	}
	for _, name := range strings.Fields("cached_vcpu cached_transfer cached_central tails page_heap_free retained gone released metadata reserved") {
		infoNumber(t, all, "vcpualloc_"+name)
	}
	if mode := all["vcpualloc_mode"]; mode != "mm_cid" && mode != "cpu_id" && mode != "assigned" {
		t.Errorf("INFO: vcpualloc_mode is %q", mode)
	}
	memory := c.info(t, "memory")
	if memory["used_memory"] == "" || memory["redis_version"] != "" {
		t.Errorf("INFO memory has other sections or not its own: %v", memory)
	}
	if nothing := c.info(t, "nosuch"); len(nothing) != 0 {
		t.Errorf("INFO nosuch: got %v", nothing)
	}
}
