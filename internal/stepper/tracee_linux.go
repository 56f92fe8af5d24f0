//go:build amd64 || arm64

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tracee is the traced program, and its one traced thread, the victim. All
// methods are called from the thread that started it, which is locked: the
// kernel lets no other one trace.
//
// The victim is stopped whenever a method is called or returns, except by start.
type tracee struct {
	command *exec.Cmd
	line    *line
	hello   reply
	thread  int
	memory  *os.File
	planted map[uint64][]byte // traps in the code, and what they replace
	late    *time.Timer
}

// patience bounds the life of a traced program. A thread that waits for ever
// would otherwise keep the tracer waiting.
const patience = 5 * time.Minute

// errRefused says that nothing can be traced here.
var errRefused = errors.New("ptrace is refused")

// start starts this program again, as the traced one, in a mode. Its threads
// may use one CPU only: so one id goes from thread to thread.
func start(mode string) (*tracee, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	v := &tracee{command: exec.Command(executable, tracedArgument), planted: make(map[uint64][]byte)}
	// Nothing but this test is to signal or stop the threads: no preemption by
	// the runtime, no collection. A stopped thread keeps its P, the others need more.
	v.command.Env = append(os.Environ(), "VCPUALLOC_MODE="+mode, "GODEBUG=asyncpreemptoff=1", "GOGC=off", "GOMAXPROCS=8")
	v.command.Stderr = os.Stderr
	v.command.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	in, err := v.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := v.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := onOneCPU(v.command.Start); err != nil {
		return nil, err
	}
	v.late = time.AfterFunc(patience, func() { v.command.Process.Kill() })
	v.line = newLine(in, out)
	if v.hello, err = v.line.hear(); err != nil {
		return v, err
	}
	v.thread = v.hello.Victim
	return v, nil
}

// attach begins to trace the victim and returns when it has stopped for its
// first job.
func (v *tracee) attach() error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(v.thread), 0, unix.PTRACE_O_EXITKILL, 0, 0)
	if errno != 0 {
		return fmt.Errorf("%w: %w", errRefused, errno)
	}
	var err error
	// The traced thread's own file: some kernels let nobody but its tracer write
	// code (proc_mem.force_override=ptrace).
	if v.memory, err = os.OpenFile(fmt.Sprintf("/proc/%d/task/%d/mem", v.command.Process.Pid, v.thread), os.O_RDWR, 0); err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	if _, err := v.line.ask(askBegin, 0); err != nil {
		return err
	}
	if _, own, err := v.wait(); err != nil || !own {
		return fmt.Errorf("the victim has not stopped for its first job: %w", err)
	}
	return nil
}

// stop ends the traced program.
func (v *tracee) stop() {
	v.late.Stop()
	v.command.Process.Kill()
	if v.memory != nil {
		v.memory.Close()
		// A dead thread's tracer must take note of it before the program can end.
		for v.waitForTrap() == nil {
		}
	}
	v.command.Wait() // it was killed, so this is no news
}

// onOneCPU calls body, and the programs that it starts may use one CPU only.
func onOneCPU(body func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	for id := 0; one.Count() == 0; id++ {
		if before.IsSet(id) {
			one.Set(id)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	return errors.Join(body(), unix.SchedSetaffinity(0, &before))
}

// read fills bytes from the memory of the traced program.
func (v *tracee) read(address uint64, bytes []byte) error {
	_, err := v.memory.ReadAt(bytes, int64(address))
	return err
}

func (v *tracee) readWord(address uint64) (uint64, error) {
	var word [8]byte
	err := v.read(address, word[:])
	return binary.LittleEndian.Uint64(word[:]), err
}

func (v *tracee) writeWord(address, word uint64) error {
	_, err := v.memory.WriteAt(binary.LittleEndian.AppendUint64(nil, word), int64(address))
	return err
}

// plant puts a trap in the place of an instruction. All threads of the program
// have the same code, so none but the victim may come there.
func (v *tracee) plant(address uint64) (err error) {
	v.planted[address], err = v.patch(address, trap)
	return err
}

// patch replaces code and returns what was there.
func (v *tracee) patch(address uint64, code []byte) (original []byte, err error) {
	original = make([]byte, len(code))
	if err := v.read(address, original); err != nil {
		return nil, err
	}
	_, err = v.memory.WriteAt(code, int64(address))
	return original, err
}

func (v *tracee) remove(address uint64) error {
	_, err := v.memory.WriteAt(v.planted[address], int64(address))
	delete(v.planted, address)
	return err
}

func (v *tracee) removeAll() (err error) {
	for address := range v.planted {
		err = errors.Join(err, v.remove(address))
	}
	return err
}

// run lets the victim run up to the next trap. own says that it is the
// program's: the job is done. Otherwise the thread stands at the instruction
// that the trap was planted for, as if it had never been there.
func (v *tracee) run() (address uint64, own bool, err error) {
	if err := v.resume(unix.PTRACE_CONT, 0); err != nil {
		return 0, false, err
	}
	return v.wait()
}

// step runs one instruction and returns where the thread is then. With a signal
// it runs none, but enters the signal's handler.
func (v *tracee) step(signal unix.Signal) (r registers, err error) {
	if err := v.resume(unix.PTRACE_SINGLESTEP, signal); err != nil {
		return r, err
	}
	if err := v.waitForTrap(); err != nil {
		return r, err
	}
	return r, readRegisters(v.thread, &r)
}

func (v *tracee) resume(request uintptr, signal unix.Signal) error {
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, request, uintptr(v.thread), 0, uintptr(signal), 0, 0); errno != 0 {
		return fmt.Errorf("resuming the victim: %w", errno)
	}
	return nil
}

func (v *tracee) waitForTrap() error {
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(v.thread, &status, unix.WALL, nil); err == nil {
			return judge(status)
		} else if err != unix.EINTR {
			return fmt.Errorf("waiting for the victim: %w", err)
		}
	}
}

// judge says what is wrong with a stop that no trap has caused.
func judge(status unix.WaitStatus) error {
	switch {
	case !status.Stopped():
		return fmt.Errorf("the traced program has ended: exited %v, status %d, by signal %v", status.Exited(), status.ExitStatus(), status.Signal())
	case status.StopSignal() != unix.SIGTRAP:
		return fmt.Errorf("the victim got an unexpected signal: %v", status.StopSignal())
	}
	return nil
}

func (v *tracee) wait() (address uint64, own bool, err error) {
	if err := v.waitForTrap(); err != nil {
		return 0, false, err
	}
	return v.settle()
}

// settle moves a thread that has run into a trap to where it is to go on.
func (v *tracee) settle() (address uint64, own bool, err error) {
	var r registers
	if err := readRegisters(v.thread, &r); err != nil {
		return 0, false, err
	}
	address = r.PC() - trapped
	if _, ok := v.planted[address]; ok {
		r.SetPC(address)
		return address, false, errors.Join(v.remove(address), writeRegisters(v.thread, &r))
	}
	r.SetPC(r.PC() + skipTrap)
	return address, true, writeRegisters(v.thread, &r)
}

// trapsWithin waits for a trap for some time and reports whether one came.
func (v *tracee) trapsWithin(limit time.Duration) (bool, error) {
	for end := time.Now().Add(limit); ; time.Sleep(limit / 20) {
		var status unix.WaitStatus
		thread, err := unix.Wait4(v.thread, &status, unix.WALL|unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return false, fmt.Errorf("waiting for the victim: %w", err)
		case thread != 0:
			return true, judge(status)
		case time.Now().After(end):
			return false, nil
		}
	}
}

// halt stops the victim where it runs, and returns where that is.
func (v *tracee) halt() (address uint64, err error) {
	if err := unix.PtraceInterrupt(v.thread); err != nil {
		return 0, fmt.Errorf("stopping the victim: %w", err)
	}
	if err := v.waitForTrap(); err != nil {
		return 0, err
	}
	var r registers
	err = readRegisters(v.thread, &r)
	return r.PC(), err
}

// cpuTime returns for how long the victim has had a CPU, up to its newest stop or
// tick of the clock.
func (v *tracee) cpuTime() (time.Duration, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", v.command.Process.Pid, v.thread))
	if err != nil {
		return 0, err
	}
	nanoseconds, _, _ := strings.Cut(string(status), " ")
	n, err := strconv.ParseInt(nanoseconds, 10, 64)
	return time.Duration(n), err
}

// involuntarySwitches returns how often the kernel took the CPU from the victim
// while it could have run on. A stop is not among them.
func (v *tracee) involuntarySwitches() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", v.command.Process.Pid, v.thread))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if count, ok := strings.CutPrefix(line, "nonvoluntary_ctxt_switches:"); ok {
			return strconv.Atoi(strings.TrimSpace(count))
		}
	}
	return 0, errors.New("the kernel does not count involuntary switches")
}
