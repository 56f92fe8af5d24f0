//go:build amd64 || arm64

package main

import (
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
	"github.com/vcpualloc/vcpualloc/rseqcs"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// inspect is rseqcs.inspect. The sections are nobody's business but this
// program's, so they are reached past the exported names.
//
//go:linkname inspect github.com/vcpualloc/vcpualloc/rseqcs.inspect
func inspect(show func(entry unsafe.Pointer, descriptor *rseq.Descriptor))

// traced is the program whose thread, the victim, is traced.
type traced struct {
	job     atomic.Pointer[job]
	begin   chan struct{}
	intrude chan *job
	done    chan struct{}
}

// job is one run of a scenario.
type job struct {
	scenario *scenario
	world    *world
	victim   operation
	intruder operation
}

// operation is what a thread saw of its operation.
type operation struct {
	result string
	ids    []int // before and after
}

// run runs one operation. The first look at the id registers the thread.
func (o *operation) run(w *world, body func(*world) string) {
	before := vcpu.Current()
	o.result = body(w)
	o.ids = []int{before, vcpu.Current()}
}

// serve is the traced program. It ends when the tracer closes the pipe.
func serve(in io.Reader, out io.Writer) error {
	t := &traced{begin: make(chan struct{}), intrude: make(chan *job), done: make(chan struct{})}
	thread := make(chan int)
	go t.runVictim(thread)
	go t.runIntruder()
	encoder, decoder := json.NewEncoder(out), json.NewDecoder(in)
	if err := encoder.Encode(hello(<-thread)); err != nil {
		return err
	}
	for {
		var r request
		if err := decoder.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := encoder.Encode(t.answer(r)); err != nil {
			return err
		}
	}
}

// hello tells what is to be traced.
func hello(victim int) reply {
	features := vcpu.Probe()
	r := reply{Mode: features.Mode.String(), Owner: features.Owner, Reason: features.Reason, Victim: victim, Field: rseq.OffsetMMCID}
	if features.Mode == vcpu.CPUID {
		r.Field = rseq.OffsetCPUID
	}
	r.DebugCall = findDebugCall()
	inspect(func(entry unsafe.Pointer, descriptor *rseq.Descriptor) {
		if descriptor.Start == 0 {
			return
		}
		name := runtime.FuncForPC(uintptr(entry)).Name()
		name = name[strings.LastIndex(name, ".")+1:]
		s := section{
			Name: name, Function: name, Entry: uint64(uintptr(entry)), Descriptor: uint64(uintptr(unsafe.Pointer(descriptor))),
			Start: descriptor.Start, End: descriptor.Start + descriptor.PostCommitOffset, Abort: descriptor.Abort,
		}
		for _, variant := range []string{"SelfMMCID", "SelfCPUID", "LibcMMCID", "LibcCPUID"} {
			s.Name = strings.TrimSuffix(s.Name, variant)
		}
		r.Sections = append(r.Sections, s)
	})
	return r
}

// runVictim stops before each run of a job, for the tracer.
func (t *traced) runVictim(thread chan<- int) {
	runtime.LockOSThread()
	thread <- unix.Gettid()
	<-t.begin
	for {
		runtime.Breakpoint()
		j := t.job.Load()
		j.victim.run(j.world, j.scenario.victim)
	}
}

// runIntruder runs on a thread of its own.
func (t *traced) runIntruder() {
	runtime.LockOSThread()
	for j := range t.intrude {
		j.intruder.run(j.world, j.scenario.intruder)
		t.done <- struct{}{}
	}
}

func (t *traced) answer(r request) (a reply) {
	j := t.job.Load()
	switch r.Do {
	case askBegin:
		close(t.begin)
		return reply{}
	case askPrepare:
		j = &job{scenario: &scenarios[r.Scenario], world: new(world)}
		j.scenario.start(j.world)
		t.job.Store(j)
	case askIntrude:
		t.intrude <- j
		<-t.done
		a.Result, a.IDs = j.intruder.result, j.intruder.ids
	case askFinish:
		a = reply{Result: j.victim.result, IDs: j.victim.ids, Aborts: rseqcs.ReadStats().Aborts}
		a.Left = j.world.end() // runs sections, so it comes behind the count
		return a
	case askLook:
	default:
		return reply{Error: "what is " + r.Do + "?"}
	}
	a.Effects, a.Aborts = j.world.look(), rseqcs.ReadStats().Aborts
	return a
}
