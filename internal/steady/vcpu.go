package steady

import (
	"runtime"
	"testing"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// OnOneVCPU runs body on one thread, pinned to one CPU where the system can do
// that, and reports whether its vCPU was the same before and after. Where it was
// not, body has shown nothing, and the caller tries again.
func OnOneVCPU(t testing.TB, body func()) bool {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer pinToOneCPU(t)()
	before := vcpu.Current()
	body()
	return vcpu.Current() == before
}
