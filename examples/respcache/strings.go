package main

import (
	"errors"
	"math"
	"time"

	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"

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

func (s *server) get(c *client, args resp.Args) {
	c.writeValue(args.At(1))
}

func (s *server) mget(c *client, args resp.Args) {
	c.writeArray(args.Len() - 1)
	for i := 1; i < args.Len() && !c.ended(); i++ {
		c.writeValue(args.At(i))
	}
}

func (s *server) strlen(c *client, args resp.Args) {
	length := 0
	s.table.Get(args.At(1), func(value []byte) { length = len(value) })
	c.writeInt(int64(length))
}

// setRequest is what the options of SET ask for.
type setRequest struct {
	table.SetOptions
	wantsPrevious bool
}

func (s *server) set(c *client, args resp.Args) {
	request, problem := parseSet(args)
	if problem != "" {
		c.writeError(problem)
		return
	}
	if request.wantsPrevious {
		s.setAndGet(c, args.At(1), args.At(2), request.SetOptions)
		return
	}
	stored, err := s.table.Set(args.At(1), args.At(2), request.SetOptions)
	switch {
	case err != nil:
		writeTableError(c, err)
	case stored:
		c.writeString("OK")
	default:
		c.writeNull()
	}
}

// setAndGet sets and replies with the value before, whether or not the
// condition let the new one in.
//
// The value before is copied under a shard's lock, so the space is made before.
// A client whose reply grows too long in between is closed: the value is set, and
// nothing else could tell it so.
func (s *server) setAndGet(c *client, key, value []byte, o table.SetOptions) {
	length := 0
	s.table.TryGet(key, func(previous []byte) bool {
		length = len(previous)
		return false
	})
	if !c.makeSpaceFor(length) {
		return
	}
	existed, fits := false, true
	o.Previous = func(previous []byte) {
		existed = true
		if fits = resp.BulkBytes(len(previous)) <= cap(c.replies.block)-len(c.replies.block); fits {
			c.replies.block = resp.AppendBulk(c.replies.block, previous)
		}
	}
	_, err := s.table.Set(key, value, o)
	switch {
	case err != nil:
		writeTableError(c, err)
	case !fits:
		c.replies.fail(errReplyGrew)
	case !existed:
		c.writeNull()
	}
}

var errReplyGrew = errors.New("the value before grew while its reply was prepared")

// parseSet reads the options of SET: a condition, GET, and one way to give an
// expiry time.
func parseSet(args resp.Args) (r setRequest, problem string) {
	var unit expiryUnit
	var expiry []byte
	for i := 3; i < args.Len(); i++ {
		option := args.At(i)
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
		case unitOf(option) != unitNone && !setsExpiry && i+1 < args.Len():
			unit, expiry = unitOf(option), args.At(i+1)
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

func (s *server) setNX(c *client, args resp.Args) {
	stored, err := s.table.Set(args.At(1), args.At(2), table.SetOptions{Condition: table.IfAbsent})
	switch {
	case err != nil:
		writeTableError(c, err)
	case stored:
		c.writeInt(1)
	default:
		c.writeInt(0)
	}
}

// setEX serves SETEX and PSETEX.
func (s *server) setEX(c *client, args resp.Args) {
	unit, name := unitSeconds, "setex"
	if is(args.At(0), "PSETEX") {
		unit, name = unitMillis, "psetex"
	}
	expiry, problem := parseExpiry(args.At(2), unit, time.Now().UnixMilli(), name)
	if problem != "" {
		c.writeError(problem)
		return
	}
	s.store(c, args.At(1), args.At(3), table.SetOptions{ExpiryMillis: expiry})
}

// store sets unconditionally and replies with OK or the error.
func (s *server) store(c *client, key, value []byte, o table.SetOptions) {
	if _, err := s.table.Set(key, value, o); err != nil {
		writeTableError(c, err)
		return
	}
	c.writeString("OK")
}

func (s *server) getSet(c *client, args resp.Args) {
	s.setAndGet(c, args.At(1), args.At(2), table.SetOptions{})
}

// mset stores pair after pair: if memory runs out, the pairs before stay.
func (s *server) mset(c *client, args resp.Args) {
	if args.Len()%2 == 0 {
		c.writeError(wrongArity("mset"))
		return
	}
	for i := 1; i < args.Len() && !c.ended(); i += 2 {
		if _, err := s.table.Set(args.At(i), args.At(i+1), table.SetOptions{}); err != nil {
			writeTableError(c, err)
			return
		}
	}
	c.writeString("OK")
}

func (s *server) incr(c *client, args resp.Args) { s.add(c, args.At(1), 1) }
func (s *server) decr(c *client, args resp.Args) { s.add(c, args.At(1), -1) }

func (s *server) incrBy(c *client, args resp.Args) {
	delta, ok := table.ParseInteger(args.At(2))
	if !ok {
		c.writeError(errNotInteger)
		return
	}
	s.add(c, args.At(1), delta)
}

func (s *server) decrBy(c *client, args resp.Args) {
	delta, ok := table.ParseInteger(args.At(2))
	switch {
	case !ok:
		c.writeError(errNotInteger)
	case delta == math.MinInt64: // has no negative
		c.writeError(errDecrement)
	default:
		s.add(c, args.At(1), -delta)
	}
}

func (s *server) add(c *client, key []byte, delta int64) {
	sum, err := s.table.Increment(key, delta)
	if err != nil {
		writeTableError(c, err)
		return
	}
	c.writeInt(sum)
}

func (s *server) append(c *client, args resp.Args) {
	length, err := s.table.Append(args.At(1), args.At(2))
	if err != nil {
		writeTableError(c, err)
		return
	}
	c.writeInt(int64(length))
}
