package main

import "golang.org/x/sys/unix"

// trap is int3. The thread stops behind it.
var trap = []byte{0xcc}

// spin is a jump to itself.
var spin = []byte{0xeb, 0xfe}

const (
	trapped  = 1 // how far behind a trap the thread stops, in bytes
	skipTrap = 0 // how far it must then be moved to go on behind it
	codeUnit = 1 // boundaries of instructions are multiples of it

	// fromContext is where the instruction pointer stands in struct ucontext:
	// flags, link and stack come before the registers, of which it is the 17th.
	fromContext = 8 + 8 + 24 + 16*8
)

type registers = unix.PtraceRegs

func readRegisters(thread int, r *registers) error  { return unix.PtraceGetRegs(thread, r) }
func writeRegisters(thread int, r *registers) error { return unix.PtraceSetRegs(thread, r) }

// third returns the third argument of a C function, at its entry.
func third(r *registers) uint64 { return r.Rdx }

// general returns the registers that can hold an address.
func general(r *registers) []uint64 {
	return []uint64{r.Rax, r.Rbx, r.Rcx, r.Rdx, r.Rsi, r.Rdi, r.Rbp, r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15}
}

// enterDebugCall leads a thread into runtime.debugCallV2, with room for no
// arguments (runtime/asm_amd64.s).
func (v *tracee) enterDebugCall(r *registers) error {
	r.Rsp -= 8
	if err := v.writeWord(r.Rsp, r.Rip); err != nil {
		return err
	}
	r.Rip = v.hello.DebugCall
	return v.writeWord(r.Rsp-16, 0)
}

func debugCallCode(r *registers) uint64   { return r.R12 }
func debugCallReason(r *registers) uint64 { return r.Rsp }
