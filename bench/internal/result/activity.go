package result

import (
	"fmt"
	"strconv"
	"strings"
)

// Activity is a reading of the machine's CPU times, in ticks of /proc/stat.
type Activity struct{ busy, total float64 }

// ticksPerSecond is USER_HZ, 100 on every architecture that Go runs on.
const ticksPerSecond = 100

// quietForeign is the part of the machine's CPU time used by others, above
// which a run does not count as undisturbed.
const quietForeign = 0.05

// NowActive reads the CPU times; they are zero where there is no /proc/stat.
func NowActive() Activity { return parseActivity(firstLine("/proc/stat")) }

// parseActivity reads the line "cpu user nice system idle iowait irq softirq
// steal …" of proc_stat(5). Stolen time counts as busy: somebody else had the
// CPU.
func parseActivity(line string) Activity {
	a := Activity{}
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return a
	}
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return Activity{}
		}
		a.total += ticks
		if i != 3 && i != 4 { // idle and iowait
			a.busy += ticks
		}
	}
	return a
}

// Foreign returns which part of the machine's CPU time since a was used by
// others than this program, whose own use is given in seconds.
func (a Activity) Foreign(now Activity, ownSeconds float64) float64 {
	if now.total <= a.total {
		return 0
	}
	return max(0, now.busy-a.busy-ownSeconds*ticksPerSecond) / (now.total - a.total)
}

// Disturbed says that others were busy, given Foreign's figure, or nothing.
func Disturbed(foreign float64) string {
	if foreign <= quietForeign {
		return ""
	}
	return fmt.Sprintf("others used %.0f %% of the machine's CPU time during the run; figures are too high and uneven", 100*foreign)
}
