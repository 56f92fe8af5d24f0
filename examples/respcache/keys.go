package main

import (
	"time"

	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"

	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
)

var keyCommands = []command{
	{"del", -2, "write", manyKeys, "generic", "1.0.0", "Removes keys.", (*server).del},
	{"unlink", -2, "write fast", manyKeys, "generic", "4.0.0", "Removes keys, as DEL.", (*server).del},
	{"exists", -2, "readonly fast", manyKeys, "generic", "1.0.0", "How many of the keys named are there.", (*server).exists},
	{"expire", -3, "write fast", oneKey, "generic", "1.0.0", "Ends a key in some seconds.", (*server).expire},
	{"pexpire", -3, "write fast", oneKey, "generic", "2.6.0", "Ends a key in some milliseconds.", (*server).expire},
	{"expireat", -3, "write fast", oneKey, "generic", "1.2.0", "Ends a key at a Unix time in seconds.", (*server).expire},
	{"pexpireat", -3, "write fast", oneKey, "generic", "2.6.0", "Ends a key at a Unix time in milliseconds.", (*server).expire},
	{"ttl", 2, "readonly fast", oneKey, "generic", "1.0.0", "How many seconds a key has left.", (*server).ttl},
	{"pttl", 2, "readonly fast", oneKey, "generic", "2.6.0", "How many milliseconds a key has left.", (*server).pttl},
	{"persist", 2, "write fast", oneKey, "generic", "2.2.0", "Takes the end from a key.", (*server).persist},
}

func (s *server) del(c *client, args resp.Args) {
	removed := 0
	for i := 1; i < args.Len() && !c.ended(); i++ {
		if s.table.Delete(args.At(i)) {
			removed++
		}
	}
	c.writeInt(int64(removed))
}

// exists counts a key as often as it is named.
func (s *server) exists(c *client, args resp.Args) {
	found := 0
	for i := 1; i < args.Len() && !c.ended(); i++ {
		if s.table.Exists(args.At(i)) {
			found++
		}
	}
	c.writeInt(int64(found))
}

// Replies of TTL and PTTL in place of a time.
const (
	ttlNever   = -1
	ttlMissing = -2
)

func (s *server) ttlMillis(key []byte) int64 {
	expiry, found := s.table.Expiry(key)
	switch {
	case !found:
		return ttlMissing
	case expiry == 0:
		return ttlNever
	}
	return max(expiry-time.Now().UnixMilli(), 0)
}

// ttl rounds to the nearest second, as Redis does.
func (s *server) ttl(c *client, args resp.Args) {
	millis := s.ttlMillis(args.At(1))
	if millis > 0 {
		millis = millis/millisPerSecond + millis%millisPerSecond/(millisPerSecond/2)
	}
	c.writeInt(millis)
}

func (s *server) pttl(c *client, args resp.Args) {
	c.writeInt(s.ttlMillis(args.At(1)))
}

func (s *server) persist(c *client, args resp.Args) {
	changed := s.table.SetExpiry(args.At(1), 0, func(before int64) bool { return before != 0 })
	c.writeBool(changed)
}

// expireUnits tells what the number of each command means.
var expireUnits = map[string]expiryUnit{
	"expire":    unitSeconds,
	"pexpire":   unitMillis,
	"expireat":  unitUnixSeconds,
	"pexpireat": unitUnixMillis,
}

// expire serves EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT. Unlike SET's, its
// times may lie in the past; the key is deleted then.
func (s *server) expire(c *client, args resp.Args) {
	name := findCommand(args.At(0)).name
	conditions, problem := parseExpireConditions(args.From(3))
	if problem != "" {
		c.writeError(problem)
		return
	}
	n, ok := table.ParseInteger(args.At(2))
	if !ok {
		c.writeError(errNotInteger)
		return
	}
	at, problem := absoluteMillis(n, expireUnits[name], time.Now().UnixMilli(), name)
	if problem != "" {
		c.writeError(problem)
		return
	}
	changed := s.table.SetExpiry(args.At(1), at, func(before int64) bool { return conditions.allow(before, at) })
	c.writeBool(changed)
}

// expireConditions are the options of EXPIRE.
type expireConditions struct{ ifNone, ifSome, ifLater, ifEarlier bool }

func parseExpireConditions(options resp.Args) (c expireConditions, problem string) {
	for i := range options.Len() {
		option := options.At(i)
		switch {
		case is(option, "NX"):
			c.ifNone = true
		case is(option, "XX"):
			c.ifSome = true
		case is(option, "GT"):
			c.ifLater = true
		case is(option, "LT"):
			c.ifEarlier = true
		default:
			return c, unsupportedText + echo(option)
		}
	}
	switch {
	case c.ifNone && (c.ifSome || c.ifLater || c.ifEarlier):
		return c, errExpireNX
	case c.ifLater && c.ifEarlier:
		return c, errExpireGTLT
	}
	return c, ""
}

// allow reports whether the expiry time may change from before to after. No
// expiry time, 0, counts as later than any.
func (c expireConditions) allow(before, after int64) bool {
	switch {
	case c.ifNone && before != 0,
		c.ifSome && before == 0,
		c.ifLater && (before == 0 || after <= before),
		c.ifEarlier && before != 0 && after >= before:
		return false
	}
	return true
}
