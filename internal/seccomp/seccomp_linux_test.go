package seccomp

import (
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// filtered are the attempts to install a filter that answers to getpid with the
// given value, and then to call getpid.
func filtered(answer uint32) []attempt {
	code := &[...]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_GETPID},
		{Code: unix.BPF_RET | unix.BPF_K, K: answer},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x7fff0000}, // SECCOMP_RET_ALLOW
	}
	program := &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	pinner.Pin(code)
	pinner.Pin(program)
	return []attempt{
		{unix.SYS_PRCTL, [3]uintptr{unix.PR_SET_NO_NEW_PRIVS, 1, 0}},
		{unix.SYS_SECCOMP, [3]uintptr{1, 0, uintptr(unsafe.Pointer(program))}}, // SECCOMP_SET_MODE_FILTER
		{number: unix.SYS_GETPID},
	}
}

var pinner runtime.Pinner

// TestTry makes calls in children with and without filters of their own.
func TestTry(t *testing.T) {
	defer pinner.Unpin()
	for _, row := range []struct {
		name   string
		calls  []attempt
		killed bool
	}{
		{"none", nil, false},
		{"harmless", []attempt{{number: unix.SYS_GETPID}}, false},
		{"EPERM", filtered(0x00050000 | uint32(unix.EPERM)), false},
		{"kills the process", filtered(0x80000000), true},
		{"kills the thread", filtered(0), true},
		{"traps", filtered(0x00030000), true},
	} {
		killed, err := try(row.calls)
		if err != nil || killed != row.killed {
			t.Errorf("%s: killed %v, %v; want %v", row.name, killed, err, row.killed)
		}
	}
}

// TestTryChangesNothing: this process keeps its mask of signals, has no child left,
// and the collector runs on.
func TestTryChangesNothing(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, nil, &before); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if _, err := try(attempts[:]); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, nil, &after); err != nil || before != after {
		t.Errorf("the mask of signals was %v and is %v (%v)", before, after, err)
	}
	if child, err := unix.Wait4(-1, nil, unix.WALL|unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("child %d is left (%v)", child, err)
	}
}

// TestForbids: without a filter nothing is forbidden.
func TestForbids(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip(err)
	}
	for c := range callCount {
		if err := Forbids(c); !mayFilter() && err != nil {
			t.Errorf("%v, and there is no filter", err)
		}
	}
}
