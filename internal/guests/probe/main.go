//go:build linux && (amd64 || arm64)

// Command probe prints what the running kernel says of rseq, asked without the
// help of package vcpu, and then what vcpu makes of it.
package main

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Types of auxv entries, from include/uapi/linux/auxvec.h.
const (
	auxFeatureSize = 27
	auxAlign       = 28
)

func main() {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		fmt.Fprintln(os.Stderr, "probe: uname:", err)
		os.Exit(1)
	}
	fmt.Println("uname:", unix.ByteSliceToString(name.Release[:]), unix.ByteSliceToString(name.Machine[:]),
		unix.ByteSliceToString(name.Version[:]))
	size, align, err := auxiliary()
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
	fmt.Printf("auxv: AT_RSEQ_FEATURE_SIZE=%d AT_RSEQ_ALIGN=%d page=%d\n", size, align, os.Getpagesize())
	fmt.Println("rseq length 32:", tryRegister(32))
	if size > 32 {
		fmt.Printf("rseq length %d: %s\n", size, tryRegister(size))
	}
	printMode()
}

// auxiliary returns AT_RSEQ_FEATURE_SIZE and AT_RSEQ_ALIGN, 0 for a missing one.
func auxiliary() (size, align int, err error) {
	text, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return 0, 0, err
	}
	for ; len(text) >= 16; text = text[16:] {
		value := int(binary.NativeEndian.Uint64(text[8:]))
		switch binary.NativeEndian.Uint64(text) {
		case auxFeatureSize:
			size = value
		case auxAlign:
			align = value
		}
	}
	return size, align, nil
}
