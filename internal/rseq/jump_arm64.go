package rseq

import (
	"encoding/binary"
	"errors"
)

// decodeJump returns the target of the branch at code[at:] and its size, both in bytes.
func decodeJump(code []byte, at int) (target, size int, err error) {
	word := binary.LittleEndian.Uint32(code[at:])
	if word>>26 != 0b000101 { // b imm26
		return 0, 0, errors.New("rseq: an anchor is not a branch")
	}
	return at + int(int32(word<<6)>>6)*4, 4, nil
}
