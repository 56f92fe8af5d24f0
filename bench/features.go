package main

import (
	"fmt"
	"io"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

type featuresCommand struct{}

// Run prints the features of the machine.
func (featuresCommand) Run(to streams) error {
	return printFeatures(to.out, vcpu.Probe())
}

// printFeatures says the features in words.
func printFeatures(w io.Writer, f vcpu.Features) error {
	_, err := fmt.Fprintf(w, `mode    %s: %s
why     %s
kernel  %s
owner   %s
fence   %s
`, f.Mode, modeWords(f.Mode), reasonWords(f), kernelWords(f), ownerWords(f), fenceWords(f.Fence))
	return err
}

func modeWords(mode vcpu.Mode) string {
	switch mode {
	case vcpu.MMCID:
		return "memory is sharded by the kernel's concurrency id, in restartable sequences"
	case vcpu.CPUID:
		return "memory is sharded by the kernel's CPU number, in restartable sequences"
	}
	return "no restartable sequences; memory is sharded by arenas that user space assigns"
}

func reasonWords(f vcpu.Features) string {
	if f.Reason != "" {
		return f.Reason
	}
	return "it is the highest mode, and the self-test passed"
}

func kernelWords(f vcpu.Features) string {
	if f.KernelSize == 0 {
		return "tells no rseq feature size"
	}
	return fmt.Sprintf("rseq features of %d bytes, alignment %d; %d bytes are registered, %d of them filled in by the kernel",
		f.KernelSize, f.KernelAlign, f.Registered, f.Size)
}

func ownerWords(f vcpu.Features) string {
	switch f.Owner {
	case "self":
		return "self: this program registers its threads with the kernel"
	case "libc":
		return "libc: the C library has registered the threads, and its registration is used"
	case "none":
		return "none: nobody registers threads for rseq"
	}
	return f.Owner
}

func fenceWords(works bool) string {
	if works {
		return "membarrier can interrupt sections on other CPUs"
	}
	return "no membarrier for sections: a vCPU's memory is maintained by its own threads only"
}
