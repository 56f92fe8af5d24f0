//go:build amd64 || arm64

package main

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Codes in which runtime.debugCallV2 says, at a trap of its own, how far it is.
const (
	callAllowed  = 0 // the frame is there: the debugger may call
	callRefused  = 8
	callReturned = 1
	callRestore  = 16 // the debugger puts the registers back
)

// refusedText is what the runtime says of a place that is no safe point.
const refusedText = "call not at safe point"

// findDebugCall returns the address of runtime.debugCallV2, which Go code cannot
// name: it stands near another assembly function of the runtime. 0 if it does not.
func findDebugCall() uint64 {
	const near, step = 1 << 20, 16 // bytes; functions are aligned to step
	from := reflect.ValueOf(runtime.Breakpoint).Pointer() &^ (step - 1)
	for distance := uintptr(0); distance < near; distance += step {
		for _, at := range []uintptr{from + distance, from - distance} {
			if f := runtime.FuncForPC(at); f != nil && f.Name() == "runtime.debugCallV2" {
				return uint64(f.Entry())
			}
		}
	}
	return 0
}

// callFrom asks the runtime, as a debugger does, whether it may call a function
// where the victim stands, and returns what it says; an empty answer is yes. No
// function is called. The victim then stands there as before. The kernel must not
// see a section meanwhile.
func (v *tracee) callFrom() (answer string, err error) {
	if v.hello.DebugCall == 0 {
		return "", errors.New("the program has no runtime.debugCallV2")
	}
	var before registers
	if err := readRegisters(v.thread, &before); err != nil {
		return "", err
	}
	vectors, err := readVectors(v.thread)
	if err != nil {
		return "", err
	}
	r := before
	if err := v.enterDebugCall(&r); err != nil {
		return "", err
	}
	if err := writeRegisters(v.thread, &r); err != nil {
		return "", err
	}
	for {
		if err := v.resume(unix.PTRACE_CONT, 0); err != nil {
			return "", err
		}
		if err := v.waitForTrap(); err != nil {
			return "", err
		}
		if _, _, err := v.settle(); err != nil {
			return "", err
		}
		if err := readRegisters(v.thread, &r); err != nil {
			return "", err
		}
		switch code := debugCallCode(&r); code {
		case callRestore:
			return answer, errors.Join(writeRegisters(v.thread, &before), writeVectors(v.thread, vectors))
		case callRefused:
			if answer, err = v.readString(debugCallReason(&r)); err != nil {
				return "", err
			}
		case callAllowed, callReturned:
		default:
			return "", errors.New("debugCallV2 speaks another protocol")
		}
	}
}

// setOfVectors is NT_PRFPREG, the floating-point and vector registers: the sections copy
// pairs of objects in one, and what debugCallV2 calls uses them.
const setOfVectors = 2

func readVectors(thread int) ([]byte, error) {
	set := make([]byte, 1024) // amd64 has 512 bytes of it, arm64 528
	vector := unix.Iovec{Base: &set[0], Len: uint64(len(set))}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GETREGSET, uintptr(thread), setOfVectors, uintptr(unsafe.Pointer(&vector)), 0, 0)
	if errno != 0 {
		return nil, fmt.Errorf("read vector registers: %w", errno)
	}
	return set[:vector.Len], nil
}

func writeVectors(thread int, set []byte) error {
	vector := unix.Iovec{Base: &set[0], Len: uint64(len(set))}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SETREGSET, uintptr(thread), setOfVectors, uintptr(unsafe.Pointer(&vector)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("write vector registers: %w", errno)
	}
	return nil
}

// readString reads a Go string whose header is at address.
func (v *tracee) readString(address uint64) (string, error) {
	data, err := v.readWord(address)
	if err != nil {
		return "", err
	}
	length, err := v.readWord(address + 8)
	if err != nil {
		return "", err
	}
	text := make([]byte, min(length, 100))
	err = v.read(data, text)
	return string(text), err
}
