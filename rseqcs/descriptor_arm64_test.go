package rseqcs

import "encoding/binary"

// endsWithStart reports whether the last instruction is MOVD R5, 8(R4).
func endsWithStart(code []byte) bool { return lastWord(code) == 0xf9000485 }

// endsWithCommit reports whether the last instruction is a store-release of 32 or
// 64 bits.
func endsWithCommit(code []byte) bool { return lastWord(code)&0xbffffc00 == 0x889ffc00 }

func lastWord(code []byte) uint32 { return binary.LittleEndian.Uint32(code[len(code)-4:]) }
