package main

import (
	"math"
	"time"

	"github.com/tidwall/redcon"

	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
)

var stringCommands = []command{
	{"get", 2, "readonly fast", oneKey, "string", "1.0.0", "The value of a key.", (*server).get},
	{"set", -3, "write denyoom", oneKey, "string", "1.0.0", "Stores a value; NX and XX make it conditional, EX, PX, EXAT and PXAT give it an end, GET asks for the value before.", (*server).set},
	{"setnx", 3, "write denyoom fast", oneKey, "string", "1.0.0", "Stores a value if the key is absent.", (*server).setNX},
	{"setex", 4, "write denyoom", oneKey, "string", "2.0.0", "Stores a value for some seconds.", (*server).setEX},
	{"psetex", 4, "write denyoom", oneKey, "string", "2.6.0", "Stores a value for some milliseconds.", (*server).setEX},
	{"getset", 3, "write denyoom fast", oneKey, "string", "1.0.0", "Stores a value and replies with the one before.", (*server).getSet},
	{"mget", -2, "readonly fast", manyKeys, "string", "1.0.0", "The values of some keys.", (*server).mget},
	{"mset", -3, "write denyoom", keyValuePairs, "string", "1.0.1", "Stores some values, one after the other.", (*server).mset},
	{"incr", 2, "write denyoom fast", oneKey, "string", "1.0.0", "Adds one to an integer.", (*server).incr},
	{"decr", 2, "write denyoom fast", oneKey, "string", "1.0.0", "Takes one from an integer.", (*server).decr},
	{"incrby", 3, "write denyoom fast", oneKey, "string", "1.0.0", "Adds to an integer.", (*server).incrBy},
	{"decrby", 3, "write denyoom fast", oneKey, "string", "1.0.0", "Takes from an integer.", (*server).decrBy},
	{"append", 3, "write denyoom fast", oneKey, "string", "2.0.0", "Adds bytes at the end of a value.", (*server).append},
	{"strlen", 2, "readonly fast", oneKey, "string", "2.2.0", "The length of a value in bytes.", (*server).strlen},
}

func (s *server) get(conn redcon.Conn, args [][]byte) {
	if !s.table.Get(args[1], conn.WriteBulk) {
		conn.WriteNull()
	}
}

func (s *server) mget(conn redcon.Conn, args [][]byte) {
	conn.WriteArray(len(args) - 1)
	for _, key := range args[1:] {
		if !s.table.Get(key, conn.WriteBulk) {
			conn.WriteNull()
		}
	}
}

func (s *server) strlen(conn redcon.Conn, args [][]byte) {
	length := 0
	s.table.Get(args[1], func(value []byte) { length = len(value) })
	conn.WriteInt(length)
}

// setRequest is what the options of SET ask for.
type setRequest struct {
	table.SetOptions
	wantsPrevious bool
}

func (s *server) set(conn redcon.Conn, args [][]byte) {
	request, problem := parseSet(args)
	if problem != "" {
		conn.WriteError(problem)
		return
	}
	if request.wantsPrevious {
		s.setAndGet(conn, args[1], args[2], request.SetOptions)
		return
	}
	stored, err := s.table.Set(args[1], args[2], request.SetOptions)
	switch {
	case err != nil:
		writeTableError(conn, err)
	case stored:
		conn.WriteString("OK")
	default:
		conn.WriteNull()
	}
}

// setAndGet sets and replies with the value before, whether or not the
// condition let the new one in.
func (s *server) setAndGet(conn redcon.Conn, key, value []byte, o table.SetOptions) {
	existed := false
	o.Previous = func(previous []byte) {
		existed = true
		conn.WriteBulk(previous)
	}
	_, err := s.table.Set(key, value, o)
	switch {
	case err != nil:
		writeTableError(conn, err)
	case !existed:
		conn.WriteNull()
	}
}

// parseSet reads the options of SET: a condition, GET, and one way to give an
// expiry time.
func parseSet(args [][]byte) (r setRequest, problem string) {
	var unit expiryUnit
	var expiry []byte
	for i := 3; i < len(args); i++ {
		option := args[i]
		setsExpiry := unit != unitNone || r.KeepExpiry
		switch {
		case is(option, "NX") && r.Condition != table.IfPresent:
			r.Condition = table.IfAbsent
		case is(option, "XX") && r.Condition != table.IfAbsent:
			r.Condition = table.IfPresent
		case is(option, "GET"):
			r.wantsPrevious = true
		case is(option, "KEEPTTL") && unit == unitNone:
			r.KeepExpiry = true
		case unitOf(option) != unitNone && !setsExpiry && i+1 < len(args):
			unit, expiry = unitOf(option), args[i+1]
			i++
		default:
			return r, errSyntax
		}
	}
	if unit != unitNone {
		r.ExpiryMillis, problem = parseExpiry(expiry, unit, time.Now().UnixMilli(), "set")
	}
	return r, problem
}

// expiryUnit is how a number tells an expiry time.
type expiryUnit int

const (
	unitNone         expiryUnit = iota
	unitSeconds                 // from now
	unitMillis                  // from now
	unitUnixSeconds             // since 1970
	unitUnixMillis              // since 1970
	millisPerSecond  = 1000
	earliestUnixTime = 1 // expiry times are positive: 0 stands for never
)

func unitOf(option []byte) expiryUnit {
	switch {
	case is(option, "EX"):
		return unitSeconds
	case is(option, "PX"):
		return unitMillis
	case is(option, "EXAT"):
		return unitUnixSeconds
	case is(option, "PXAT"):
		return unitUnixMillis
	}
	return unitNone
}

// parseExpiry returns the Unix time in milliseconds that text means; only
// positive numbers count. name is the command, for the error.
func parseExpiry(text []byte, unit expiryUnit, nowMillis int64, name string) (unixMillis int64, problem string) {
	n, ok := table.ParseInteger(text)
	if !ok {
		return 0, errNotInteger
	}
	if n <= 0 {
		return 0, invalidExpiry(name)
	}
	return absoluteMillis(n, unit, nowMillis, name)
}

// absoluteMillis turns a number in unit into Unix milliseconds, and refuses
// what overflows.
func absoluteMillis(n int64, unit expiryUnit, nowMillis int64, name string) (unixMillis int64, problem string) {
	if unit == unitSeconds || unit == unitUnixSeconds {
		if n > math.MaxInt64/millisPerSecond || n < math.MinInt64/millisPerSecond {
			return 0, invalidExpiry(name)
		}
		n *= millisPerSecond
	}
	if unit == unitSeconds || unit == unitMillis {
		if n > math.MaxInt64-nowMillis {
			return 0, invalidExpiry(name)
		}
		n += nowMillis
	}
	return max(n, earliestUnixTime), ""
}

func (s *server) setNX(conn redcon.Conn, args [][]byte) {
	stored, err := s.table.Set(args[1], args[2], table.SetOptions{Condition: table.IfAbsent})
	switch {
	case err != nil:
		writeTableError(conn, err)
	case stored:
		conn.WriteInt(1)
	default:
		conn.WriteInt(0)
	}
}

// setEX serves SETEX and PSETEX.
func (s *server) setEX(conn redcon.Conn, args [][]byte) {
	unit, name := unitSeconds, "setex"
	if is(args[0], "PSETEX") {
		unit, name = unitMillis, "psetex"
	}
	expiry, problem := parseExpiry(args[2], unit, time.Now().UnixMilli(), name)
	if problem != "" {
		conn.WriteError(problem)
		return
	}
	s.store(conn, args[1], args[3], table.SetOptions{ExpiryMillis: expiry})
}

// store sets unconditionally and replies with OK or the error.
func (s *server) store(conn redcon.Conn, key, value []byte, o table.SetOptions) {
	if _, err := s.table.Set(key, value, o); err != nil {
		writeTableError(conn, err)
		return
	}
	conn.WriteString("OK")
}

func (s *server) getSet(conn redcon.Conn, args [][]byte) {
	s.setAndGet(conn, args[1], args[2], table.SetOptions{})
}

// mset stores pair after pair: if memory runs out, the pairs before stay.
func (s *server) mset(conn redcon.Conn, args [][]byte) {
	if len(args)%2 == 0 {
		conn.WriteError(wrongArity("mset"))
		return
	}
	for i := 1; i < len(args); i += 2 {
		if _, err := s.table.Set(args[i], args[i+1], table.SetOptions{}); err != nil {
			writeTableError(conn, err)
			return
		}
	}
	conn.WriteString("OK")
}

func (s *server) incr(conn redcon.Conn, args [][]byte) { s.add(conn, args[1], 1) }
func (s *server) decr(conn redcon.Conn, args [][]byte) { s.add(conn, args[1], -1) }

func (s *server) incrBy(conn redcon.Conn, args [][]byte) {
	delta, ok := table.ParseInteger(args[2])
	if !ok {
		conn.WriteError(errNotInteger)
		return
	}
	s.add(conn, args[1], delta)
}

func (s *server) decrBy(conn redcon.Conn, args [][]byte) {
	delta, ok := table.ParseInteger(args[2])
	switch {
	case !ok:
		conn.WriteError(errNotInteger)
	case delta == math.MinInt64: // has no negative
		conn.WriteError(errDecrement)
	default:
		s.add(conn, args[1], -delta)
	}
}

func (s *server) add(conn redcon.Conn, key []byte, delta int64) {
	sum, err := s.table.Increment(key, delta)
	if err != nil {
		writeTableError(conn, err)
		return
	}
	conn.WriteInt64(sum)
}

func (s *server) append(conn redcon.Conn, args [][]byte) {
	length, err := s.table.Append(args[1], args[2])
	if err != nil {
		writeTableError(conn, err)
		return
	}
	conn.WriteInt(length)
}
