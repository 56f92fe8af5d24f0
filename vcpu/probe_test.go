package vcpu

import "testing"
import "time"

func TestProbe(t *testing.T) {
	t0 := time.Now()
	f := Probe()
	t.Logf("%+v in %v; current %d max %d node %d", f, time.Since(t0), Current(), Max(), Node())
}
