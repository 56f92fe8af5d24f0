package rseq

import (
	"encoding/binary"
	"errors"
)

// decodeJump returns the target of the jump at code[at:] and its size, both in bytes.
func decodeJump(code []byte, at int) (target, size int, err error) {
	switch code[at] {
	case 0xeb: // jmp rel8
		return at + 2 + int(int8(code[at+1])), 2, nil
	case 0xe9: // jmp rel32
		return at + 5 + int(int32(binary.LittleEndian.Uint32(code[at+1:]))), 5, nil
	}
	return 0, 0, errors.New("rseq: an anchor is not a jump")
}
