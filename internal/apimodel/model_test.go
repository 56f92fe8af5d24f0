package apimodel

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

var (
	duration = flag.Duration("time", 3*time.Second, "how long TestModel runs; 0 for -rapid.checks lists")
	without  = flag.String("without", "", "regular expression of the operations that are left out")
)

// patience is after what time a list hangs.
const patience = 2 * time.Minute

// slabs bounds how many vCPUs and Ps have magazines.
var slabs = vcpu.Max() + 8

// TestMain makes a round of lists short, so that the time is looked at often, and
// leaves the reduction of lists to reduce.
func TestMain(m *testing.M) {
	flag.Parse()
	flags := map[string]string{"rapid.nofailfile": "true", "rapid.shrinktime": "0s"}
	if *duration > 0 {
		flags["rapid.checks"] = "20"
	}
	for name, value := range flags {
		if f := flag.Lookup(name); f.Value.String() == f.DefValue {
			f.Value.Set(value)
		}
	}
	os.Exit(m.Run())
}

// TestModel plays random lists of operations against the model.
func TestModel(t *testing.T) {
	leaveOut(*without)
	lists, operations, failed := 0, 0, false
	for end := time.Now().Add(*duration); ; {
		rapid.Check(silent{t}, func(rt *rapid.T) {
			if !failed { // rapid tries a failure again
				ops := opLists.Draw(rt, "ops")
				lists++
				operations += len(ops)
				hangs := time.AfterFunc(patience, func() {
					panic("a list does not end; for regressions_test.go:\n" + literal(ops))
				})
				err := run(ops)
				if hangs.Stop(); err != nil {
					failed = true
					t.Errorf("list %d: %v", lists, err)
					ops, err = reduce(ops, err)
					t.Errorf("reduced to %d operations: %v\nfor regressions_test.go:\n%s", len(ops), err, literal(ops))
				}
			}
			if failed {
				rt.Fatalf("see above")
			}
		})
		if !time.Now().Before(end) {
			break
		}
		nextSeed()
	}
	t.Logf("mode %v, %d lists, %d operations", vcpu.Probe().Mode, lists, operations)
}

// silent leaves out what rapid logs of each round.
type silent struct{ *testing.T }

func (silent) Logf(string, ...any) {}

// leaveOut takes operations out of those that lists are made of.
func leaveOut(pattern string) {
	if pattern != "" {
		out := regexp.MustCompile("^(" + pattern + ")$")
		names = slices.DeleteFunc(names, out.MatchString)
	}
}

// nextSeed makes the rounds of a run with a seed differ from each other.
func nextSeed() {
	seed := flag.Lookup("rapid.seed").Value
	if n, err := strconv.ParseUint(seed.String(), 10, 64); err == nil && n != 0 {
		seed.Set(strconv.FormatUint(n+1, 10))
	}
}

// TestRegressions plays lists that have failed.
func TestRegressions(t *testing.T) {
	for _, r := range regressions {
		t.Run(r.name, func(t *testing.T) {
			for i := range regressionTries {
				if err := run(r.ops); err != nil {
					t.Fatalf("try %d: %v", i, err)
				}
			}
		})
	}
}

// regressionTries is how often a list is played: threads change their vCPUs as they
// like, and that a failure needs one of them is the exception.
const regressionTries = 3

// regression is a list of operations that has failed, as TestModel reduced it.
type regression struct {
	name string
	ops  []op
}

// TestOperationsHaveActions finds regressions that name what there is no more.
func TestOperationsHaveActions(t *testing.T) {
	for _, r := range regressions {
		for _, o := range r.ops {
			if byName[o.do].run == nil {
				t.Error(fmt.Errorf("%s: there is no action %q", r.name, o.do))
			}
		}
	}
}
