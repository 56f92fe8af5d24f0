package rseqcs

import (
	"bytes"
	"encoding/binary"
)

// endsWithStart reports whether the last instruction is MOVD R5, 8(R4).
func endsWithStart(code []byte) bool { return lastWord(code) == 0xf9000485 }

// endsWithCommit reports whether the last instruction is a store-release of 32 or
// 64 bits.
func endsWithCommit(code []byte) bool { return lastWord(code)&0xbffffc00 == 0x889ffc00 }

func lastWord(code []byte) uint32 { return binary.LittleEndian.Uint32(code[len(code)-4:]) }

// slabFollowsCount reports whether the address of the slab in R6 depends on the count
// of vCPUs, of which nothing comes but a zero: so no load from the slab is before it.
func slabFollowsCount(code []byte) bool {
	const (
		loadR5 = 0xb8400005 // MOVWU const_controlCount(base), R5, whatever offset and base are
		zeroR5 = 0xca0500a5 // EOR R5, R5
		addR5  = 0x8b0500c6 // ADD R5, R6
	)
	word := func(number int) uint32 { return lastWord(code[:4*number+4]) }
	for i := range len(code)/4 - 5 {
		if word(i)&0xffe00c1f == loadR5 && word(i+3) == zeroR5 && word(i+5) == addR5 {
			return true
		}
	}
	return false
}

// countsAtomically reports whether the count of R5 is stored by STLXR, and again if that
// failed: CBNZW R12 goes back to the LDAXR.
func countsAtomically(code []byte) bool {
	var loop []byte
	for _, instruction := range []uint32{0xc85ffcaa, 0x9100054a, 0xc80cfcaa, 0x35ffffac} {
		loop = binary.LittleEndian.AppendUint32(loop, instruction)
	}
	return bytes.Contains(code, loop)
}
