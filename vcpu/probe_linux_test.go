//go:build amd64 || arm64

package vcpu

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

// procsVariable makes TestMaxIsThatOfTheFirstCall the child of itself.
const procsVariable = "VCPUALLOC_TEST_PROCS"

// TestMaxIsThatOfTheFirstCall starts this program with more Ps than CPUs.
func TestMaxIsThatOfTheFirstCall(t *testing.T) {
	if text := os.Getenv(procsVariable); text != "" {
		procs, err := strconv.Atoi(text)
		if err != nil || runtime.GOMAXPROCS(0) != procs {
			t.Fatalf("%d Ps, want %s", runtime.GOMAXPROCS(0), text)
		}
		if want := max(procs, possibleCPUs()); Max() != want {
			t.Errorf("Max is %d, want %d", Max(), want)
		}
		return
	}
	procs := strconv.Itoa(2*possibleCPUs() + 3)
	command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), modeVariable+"=assigned", "GOMAXPROCS="+procs, procsVariable+"="+procs)
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// TestIndexFitsTheMode: the id is the field that the mode is named after.
func TestIndexFitsTheMode(t *testing.T) {
	want := index{max: Max(), filled: Probe().Size}
	switch Probe().Mode {
	case MMCID:
		want.byField, want.field = true, rseq.OffsetMMCID
	case CPUID:
		want.byField, want.field = true, rseq.OffsetCPUID
	}
	if got := *indexHere(); got != want {
		t.Errorf("mode %v: %+v, want %+v", Probe().Mode, got, want)
	}
}

// TestCurrentRegisters asks for the id on threads that have none.
func TestCurrentRegisters(t *testing.T) {
	if Probe().Mode == Assigned {
		return // where no thread has one
	}
	for range 20 { // some of them are threads of before
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // never unlocked: the thread ends
			Current()
			if rseq.Field(rseq.OffsetCPUID) == rseq.NoID {
				t.Error("Current has not registered the thread")
			}
		}()
		<-done
	}
}

// TestFenceIsTold compares with what the kernel says.
func TestFenceIsTold(t *testing.T) {
	f := Probe()
	if f.Owner == rseq.None.String() {
		return // nothing is asked for then
	}
	if f.Fence != rseq.HasFence() {
		t.Errorf("Fence is %v, the kernel says %v", f.Fence, rseq.HasFence())
	}
}
