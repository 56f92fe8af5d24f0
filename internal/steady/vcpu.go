package steady

import (
	"runtime"
	"testing"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// OnOneVCPU runs body on one thread, pinned to one CPU where the system can do
// that, and reports whether its vCPU was the same before and after. Where it was
// not, body has shown nothing, and the caller tries again. In a longer body the
// thread may also leave its vCPU and come back, most of all in the assigned mode,
// so that one bad result out of many tries is not a failure either.
func OnOneVCPU(t testing.TB, body func()) bool {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer pinToOneCPU(t)()
	before := vcpu.Current()
	body()
	return vcpu.Current() == before
}
