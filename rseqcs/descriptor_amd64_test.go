package rseqcs

import "bytes"

// endsWithStart reports whether the last instruction is MOVQ R9, 8(R8).
func endsWithStart(code []byte) bool { return bytes.HasSuffix(code, []byte{0x4d, 0x89, 0x48, 0x08}) }

// endsWithCommit reports whether the last instruction stores a register at R9,
// the slab, at the header of a class there, or at R10, where alloc and free have the
// address of that.
func endsWithCommit(code []byte) bool {
	const store, ofR9, ofR10, withIndex = 0x89, 0b001, 0b010, 0b100
	at := len(code) - 4
	rex, opcode, form, index := code[at], code[at+1], code[at+2], code[at+3]
	if rex&0xf1 == 0x41 && opcode == store && form>>6 == 0 && form&7 == withIndex {
		return index>>6 == 0b11 && index&7 == ofR9 // scaled by headerSize
	}
	rex, opcode, form = code[at+1], code[at+2], code[at+3]
	return rex&0xf1 == 0x41 && opcode == store && form>>6 == 0 && (form&7 == ofR9 || form&7 == ofR10)
}

// slabFollowsCount: loads are in order.
func slabFollowsCount([]byte) bool { return true }

// countsAtomically reports whether LOCK INCQ (R13) is there.
func countsAtomically(code []byte) bool {
	return bytes.Contains(code, []byte{0xf0, 0x49, 0xff, 0x45, 0x00})
}
