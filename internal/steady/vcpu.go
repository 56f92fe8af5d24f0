package steady

import (
	"runtime"
	"testing"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// OnOneVCPU runs body on one thread, pinned to one CPU where the system can do
// that, and reports whether its vCPU was the same before and after. Where it was
// not, body has shown nothing, and the caller tries again. In a longer body the
// thread may also leave its vCPU and come back, so that one bad result out of many
// tries is not a failure either.
func OnOneVCPU(t testing.TB, body func()) bool {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer pinToOneCPU(t)()
	if vcpu.Probe().Mode == vcpu.Assigned {
		// The vCPU is the P, which a thread can lose and get back within an operation:
		// there must be no other.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	before := vcpu.Current()
	body()
	return vcpu.Current() == before
}
