package stress

import (
	"runtime"
	"sync"
)

// SpareThreads leaves as many threads behind that the runtime takes when it wants
// another one: where addresses or memory are short it cannot make any, and gives up.
func SpareThreads(count int) {
	var started, ended sync.WaitGroup
	started.Add(count)
	for range count {
		ended.Go(func() {
			runtime.LockOSThread()
			started.Done()
			started.Wait()
			runtime.UnlockOSThread()
		})
	}
	ended.Wait()
}
