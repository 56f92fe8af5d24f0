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

// countsAtomically reports whether the count of R5 is stored by STLXR, and again if that
// failed: CBNZW R12 goes back to the LDAXR.
func countsAtomically(code []byte) bool {
	var loop []byte
	for _, instruction := range []uint32{0xc85ffcaa, 0x9100054a, 0xc80cfcaa, 0x35ffffac} {
		loop = binary.LittleEndian.AppendUint32(loop, instruction)
	}
	return bytes.Contains(code, loop)
}
