package rseq

import "encoding/binary"

// encodeJump returns a branch at offset at to the offset target; there is one form.
func encodeJump(at, target int, _ bool) []byte {
	return binary.LittleEndian.AppendUint32(nil, 0b000101<<26|uint32((target-at)/4)&(1<<26-1))
}
