//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	unregister      = 1          // RSEQ_FLAG_UNREGISTER
	notRegistered   = 0xffffffff // RSEQ_CPU_ID_UNINITIALIZED
	signatureAmd64  = 0x53053053
	signatureArm64  = 0xd428bc00
	offsetCPUStart  = 0
	offsetCPU       = 4
	offsetNode      = 20
	offsetMMCID     = 24
	areaBytes       = 4096
	yieldsUntilSeen = 3
)

// tryRegister registers an rseq area of the given length for one thread, says
// what the kernel put into it, and takes the area back.
func tryRegister(length int) string {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	area, err := unix.Mmap(-1, 0, areaBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err.Error()
	}
	binary.NativeEndian.PutUint32(area[offsetCPU:], notRegistered)
	if err := rseq(area, length, 0); err != nil {
		return fmt.Sprintf("%s (%d)", unix.ErrnoName(err.(unix.Errno)), int(err.(unix.Errno)))
	}
	for range yieldsUntilSeen {
		// The kernel writes the ids when the thread returns to user space.
		unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	seen := fmt.Sprintf("ok, cpu_id_start=%d cpu_id=%d node_id=%d mm_cid=%d",
		binary.NativeEndian.Uint32(area[offsetCPUStart:]), binary.NativeEndian.Uint32(area[offsetCPU:]),
		binary.NativeEndian.Uint32(area[offsetNode:]), binary.NativeEndian.Uint32(area[offsetMMCID:]))
	if err := rseq(area, length, unregister); err != nil {
		// The kernel goes on writing: the area must stay mapped.
		return seen + ", unregister: " + err.Error()
	}
	_ = unix.Munmap(area)
	return seen
}

func rseq(area []byte, length int, flags uintptr) error {
	signature := uintptr(signatureAmd64)
	if runtime.GOARCH == "arm64" {
		signature = signatureArm64
	}
	_, _, errno := unix.Syscall6(unix.SYS_RSEQ, uintptr(unsafe.Pointer(&area[0])), uintptr(length), flags, signature, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
