package rseq

import "encoding/binary"

// encodeJump returns a jump at offset at to the offset target.
func encodeJump(at, target int, long bool) []byte {
	if !long {
		return []byte{0xeb, byte(int8(target - at - 2))}
	}
	return binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(int32(target-at-5)))
}
