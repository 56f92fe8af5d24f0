package main

import "golang.org/x/sys/unix"

// trap is BRK #0. The thread stops at it.
var trap = []byte{0x00, 0x00, 0x20, 0xd4}

// spin is a branch to itself.
var spin = []byte{0x00, 0x00, 0x00, 0x14}

const (
	trapped  = 0 // how far behind a trap the thread stops, in bytes
	skipTrap = 4 // how far it must then be moved to go on behind it
	codeUnit = 4 // boundaries of instructions are multiples of it

	// fromContext is where the instruction pointer stands in struct ucontext:
	// flags, link, stack and signal mask come first, then, aligned to 16 bytes,
	// the fault address, 31 registers and the stack pointer.
	fromContext = 176 + 8 + 31*8 + 8
)

type registers = unix.PtraceRegs

// setOfGeneral is NT_PRSTATUS.
const setOfGeneral = 1

func readRegisters(thread int, r *registers) error {
	return unix.PtraceGetRegSetArm64(thread, setOfGeneral, (*unix.PtraceRegsArm64)(r))
}

func writeRegisters(thread int, r *registers) error {
	return unix.PtraceSetRegSetArm64(thread, setOfGeneral, (*unix.PtraceRegsArm64)(r))
}

// third returns the third argument of a C function, at its entry.
func third(r *registers) uint64 { return r.Regs[2] }

// general returns the registers that can hold an address.
func general(r *registers) []uint64 { return r.Regs[:] }

// enterDebugCall leads a thread into runtime.debugCallV2, with room for no
// arguments (runtime/asm_arm64.s).
func (v *tracee) enterDebugCall(r *registers) error {
	r.Sp -= 16
	if err := v.writeWord(r.Sp, r.Regs[30]); err != nil {
		return err
	}
	r.Regs[30], r.Pc = r.Pc, v.hello.DebugCall
	return v.writeWord(r.Sp-16, 0)
}

func debugCallCode(r *registers) uint64   { return r.Regs[20] }
func debugCallReason(r *registers) uint64 { return r.Sp + 8 }
