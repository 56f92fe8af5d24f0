//go:build vcpualloc_faults && !vcpualloc_gomem

package alloc

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/fault"
	"github.com/vcpualloc/vcpualloc/internal/steady"
	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// soak is how long TestSoak runs.
var soak = flag.Duration("soak", 3*time.Second, "how long TestSoak runs")

// A player does random operations and knows what each of its blocks must hold.
type player struct {
	t      testing.TB
	a      *Allocator
	random *rand.Rand
	blocks [][]byte // each filled with the low byte of its length
	live   int      // bytes of them
	faults bool     // calls may fail
	rare   int      // one in how many operations is of each rare kind
}

// mostHeld bounds the blocks of a player.
const mostHeld = 200

// failed checks an error that a call may have, and says which call of the system
// it was.
func (p *player) failed(op string, err error) {
	p.t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrLimit), errors.Is(err, context.DeadlineExceeded):
	case !p.faults:
		p.t.Errorf("%s without a fault: %v", op, err)
	case !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.EAGAIN):
		p.t.Errorf("%s: %v: the system's error is not in it", op, err)
	case !strings.Contains(err.Error(), "osmem: ") && !strings.Contains(err.Error(), "rseq"):
		p.t.Errorf("%s: %v: does not say what failed", op, err)
	}
}

func (p *player) keep(b []byte) {
	fill(b, byte(len(b)))
	p.blocks = append(p.blocks, b)
	p.live += p.a.UsableSize(b)
}

// pick takes a random block out and checks what it holds.
func (p *player) pick() []byte {
	i := p.random.IntN(len(p.blocks))
	b := p.blocks[i]
	p.blocks[i] = p.blocks[len(p.blocks)-1]
	p.blocks = p.blocks[:len(p.blocks)-1]
	p.live -= p.a.UsableSize(b)
	if at := firstOther(b, byte(len(b))); at >= 0 {
		p.t.Errorf("block of %d bytes at %#x: byte %d is %d", len(b), addressOf(b), at, b[at])
	}
	return b
}

func (p *player) size() int { return 1 + p.random.IntN(1<<p.random.IntN(20)) }

// step does one operation.
func (p *player) step() {
	if len(p.blocks) == mostHeld || len(p.blocks) > 0 && p.random.IntN(5) < 2 {
		p.a.Free(p.pick())
		return
	}
	switch p.random.IntN(p.rare) {
	case 0:
		_, err := p.a.Trim(context.Background())
		p.failed("Trim", err)
	case 1:
		p.session()
	case 2:
		p.child()
	case 3, 4, 5, 6:
		p.batch()
	case 7, 8, 9, 10:
		b, err := p.a.AllocAligned(p.size(), 1<<p.random.IntN(17))
		if p.failed("AllocAligned", err); err == nil {
			p.keep(b)
		}
	case 11, 12, 13, 14, 15, 16, 17, 18:
		if len(p.blocks) > 0 {
			p.realloc()
		}
	case 19:
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		b, err := p.a.AllocWait(ctx, p.size())
		cancel()
		if p.failed("AllocWait", err); err == nil {
			p.keep(b)
		}
	default:
		b, err := p.a.Alloc(p.size())
		if p.failed("Alloc", err); err == nil {
			if at := firstOther(b[:cap(b)], 0); at >= 0 {
				p.t.Errorf("Alloc of %d bytes: byte %d is not zero", len(b), at)
			}
			p.keep(b)
		}
	}
}

func (p *player) realloc() {
	b := p.pick()
	old := len(b)
	resized, err := p.a.Realloc(b, p.size())
	if p.failed("Realloc", err); err != nil {
		p.keep(b) // refills it, as it was
		return
	}
	if at := firstOther(resized[:min(old, len(resized))], byte(old)); at >= 0 {
		p.t.Errorf("Realloc of %d to %d bytes: byte %d is lost", old, len(resized), at)
	}
	p.keep(resized)
}

func (p *player) batch() {
	batch := make([][]byte, 1+p.random.IntN(30))
	n, err := p.a.AllocBatch(batch, 1+p.random.IntN(2000))
	if p.failed("AllocBatch", err); err == nil && n < len(batch) {
		p.t.Errorf("AllocBatch: %d of %d blocks and no error", n, len(batch))
	}
	if len(p.blocks)+n <= mostHeld {
		for _, b := range batch[:n] {
			p.keep(b)
		}
		return
	}
	p.a.FreeBatch(batch[:n])
}

// session uses a region and a cache from their beginning to their end.
func (p *player) session() {
	r := NewRegion(p.a, RegionOptions{})
	for range 20 {
		b, err := r.Bytes(p.size() / 8)
		p.failed("Region.Bytes", err)
		fill(b, 1)
	}
	r.Release()
	c, err := NewCache(p.a, CacheOptions[[100]byte]{})
	if p.failed("NewCache", err); err != nil {
		return
	}
	var objects []*[100]byte
	for range 50 {
		object, err := c.Get()
		if p.failed("Cache.Get", err); err == nil {
			fill(object[:], 1)
			objects = append(objects, object)
		}
	}
	for _, object := range objects {
		c.Put(object)
	}
	p.failed("Cache.Close", c.Close())
}

// child uses a child for a while and closes it, with some blocks in use.
func (p *player) child() {
	c, err := p.a.Child(Options{Reserve: 16 << 20, Limit: 1 << 20})
	if p.failed("Child", err); err != nil {
		return
	}
	for range 20 {
		b, err := c.Alloc(p.size())
		p.failed("Alloc of a child", err)
		fill(b, 1)
		if p.random.IntN(2) == 0 {
			c.Free(b)
		}
	}
	p.close(c)
}

// close closes an allocator, if need be twice.
func (p *player) close(a *Allocator) {
	for try := 0; ; try++ {
		err := a.Close()
		if p.failed("Close", err); err == nil {
			return
		}
		if try == 1000 {
			p.t.Fatalf("Close: %v", err)
		}
	}
}

// counted makes the calls of the system fail that which says, by their number.
func counted(which func(n int64) bool) (calls *atomic.Int64) {
	calls = new(atomic.Int64)
	fault.Set(func(call string) error {
		switch {
		case !which(calls.Add(1)):
			return nil
		case call == "madvise":
			return unix.EAGAIN
		default:
			return unix.ENOMEM
		}
	})
	return calls
}

// play does the same operations each time, and returns how many calls of the
// system these made. What is left must be exact, and work without faults.
func play(t *testing.T, seed uint64, which func(n int64) bool) int64 {
	calls := counted(which)
	defer fault.Set(nil)
	p := &player{t: t, random: rand.New(rand.NewPCG(seed, 1)), faults: true, rare: 64}
	o := Options{Reserve: testReserve, Limit: 16 << 20, ReleaseDelay: -1}
	a, err := New(o)
	if p.failed("New", err); err != nil {
		fault.Set(nil)
		if a, err = New(o); err != nil {
			t.Fatalf("New again: %v", err)
		}
		which = func(int64) bool { return false }
	}
	for p.a = a; len(p.blocks) < mostHeld/2; {
		before := calls.Load()
		if p.step(); calls.Load() > before+1000 || calls.Load() > 5000 {
			break // everything fails: there will not be more blocks
		}
	}
	for range 300 {
		p.step()
	}
	used := calls.Load()
	fault.Set(nil)
	p.faults = false
	checkQuiet(t, a, p.live)
	for range 100 {
		p.step()
	}
	checkQuiet(t, a, p.live)
	for len(p.blocks) > 0 {
		a.Free(p.pick())
	}
	if _, err := a.Trim(context.Background()); err != nil {
		t.Error(err)
	}
	checkQuiet(t, a, 0)
	if s := a.Stats(); s.Backed != 0 {
		t.Errorf("%d bytes stay backed after Trim", s.Backed)
	}
	p.close(a)
	return used
}

// TestFaultAtEachCall lets each call of the system fail in turn, and each one from
// then on or every few.
func TestFaultAtEachCall(t *testing.T) {
	seed := steady.Random(t).Uint64()
	count := play(t, seed, func(int64) bool { return false })
	if count < 50 {
		t.Fatalf("only %d calls of the system", count)
	}
	for at := int64(1); at <= count && !t.Failed(); at += 1 + count/400 {
		play(t, seed, func(n int64) bool { return n == at })
		if at%4 == 0 {
			play(t, seed, func(n int64) bool { return n >= at && n < at+20 })
		}
		if at > 1 && at < 20 {
			play(t, seed, func(n int64) bool { return n%at == 0 })
		}
		if t.Failed() {
			t.Logf("call %d of %d", at, count)
		}
	}
}

// TestFaultWithClosedCaches: where there are no addresses for a cache, those of a
// closed one are.
func TestFaultWithClosedCaches(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	a := open(t, Options{})
	closed, err := NewCache(a, CacheOptions[[64]byte]{})
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	closed = nil
	defer fault.Set(nil)
	for _, shutBefore := range []bool{true, false} {
		counted(func(n int64) bool { return n == 1 })
		c, err := NewCache(a, CacheOptions[[64]byte]{})
		fault.Set(nil)
		if shutBefore != (err == nil) {
			t.Errorf("with a closed cache, that is %t: %v", shutBefore, err)
		}
		if err == nil {
			defer c.Close()
		}
		stress.Until(t, func() error {
			if runtime.GC(); retired.Load() > 0 {
				return errors.New("a closed cache keeps its addresses")
			}
			return nil
		})
	}
}

// TestSoak has goroutines, some of which take their threads with them, do random
// operations while calls of the system fail at random. Between the rounds all is
// exact.
func TestSoak(t *testing.T) {
	const players = 16
	random := steady.Random(t)
	a := open(t, Options{Reserve: 1 << 30, Limit: 96 << 20, ReleaseDelay: minReleaseDelay})
	team := make([]*player, players)
	for i := range team {
		team[i] = &player{t: t, a: a, random: rand.New(rand.NewPCG(random.Uint64(), 1)), rare: 1024}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	defer fault.Set(nil)
	var quarters [4][]int64 // bytes resident at quiet points
	begin := time.Now()
	for round := 0; time.Since(begin) < *soak && !t.Failed(); round++ {
		oneIn := []uint64{0, 100, 10, 2}[round%4]
		seed := random.Uint64()
		counted(func(n int64) bool {
			return oneIn > 0 && (uint64(n)^seed)*0x9e3779b97f4a7c15>>32%oneIn == 0
		})
		if round%16 == 0 {
			runtime.GOMAXPROCS(1 + random.IntN(8))
		}
		var all sync.WaitGroup
		for i, p := range team {
			p.faults = oneIn > 0
			all.Go(func() {
				if i%4 == round%4 {
					runtime.LockOSThread() // and the thread ends with the goroutine
				}
				for range 500 {
					p.step()
				}
			})
		}
		all.Wait()
		fault.Set(nil)
		live := 0
		for _, p := range team {
			live += p.live
		}
		checkExact(t, a, live)
		quarter := min(3, int(4*time.Since(begin)/(*soak)))
		quarters[quarter] = append(quarters[quarter], residentOf(t, a))
	}
	for i, q := range quarters {
		t.Logf("quarter %d: %d rounds, %d bytes resident", i+1, len(q), mean(q))
	}
	if second, last := mean(quarters[1]), mean(quarters[3]); *soak >= time.Minute && float64(last) > 1.05*float64(second) {
		t.Errorf("%d bytes resident in the last quarter, %d in the second", last, second)
	}
	for _, p := range team {
		for len(p.blocks) > 0 {
			a.Free(p.pick())
		}
	}
	checkExact(t, a, 0)
}

// checkExact checks the equation of Stats while only upkeep works.
func checkExact(t *testing.T, a *Allocator, live int) {
	t.Helper()
	stress.Until(t, func() error {
		s := a.Stats()
		sum := s.Live + s.CachedVCPU + s.CachedTransfer + s.CachedCentral + s.Tails + s.PageHeapFree
		if s.Live == int64(live) && s.Backed+s.Gone == sum {
			return nil
		}
		return fmt.Errorf("%d bytes live, want %d; %d backed and gone, the parts make %d", s.Live, live, s.Backed+s.Gone, sum)
	})
}

func mean(list []int64) (sum int64) {
	for _, n := range list {
		sum += n
	}
	return sum / int64(max(1, len(list)))
}

// residentOf returns how much memory the kernel says that the blocks take, which
// is no more than Stats says.
func residentOf(t *testing.T, a *Allocator) int64 {
	t.Helper()
	backed := a.Stats().Backed // upkeep only takes away from it
	resident, err := a.heap.Resident()
	if err != nil || resident == 0 || resident > backed {
		t.Errorf("%d bytes resident, %d backed: %v", resident, backed, err)
	}
	return resident
}
