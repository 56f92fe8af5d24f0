package golden

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

var (
	textForm = regexp.MustCompile(`^\S*/([a-z]+)\.(\w+) STEXT`)
	markForm = regexp.MustCompile(`^\t0x([0-9a-f]+) .*\tPCDATA\t\$0, \$(-?\d+)`)
)

// unmarked are the functions of assembly from which a debugger may call: they touch
// neither a thread's area nor a slab.
var unmarked = map[string]bool{
	"rseqcs.sectionTable": true, "rseqcs.sectionDescriptors": true, "rseqcs.spin": true,
	"vcpu.sectionTable": true, "vcpu.sectionDescriptors": true,
	"rseq.isCgo": true, "rseq.readFieldEntry": true,
}

// TestSectionsAreNoSafePoints reads from the assembler's listing that every function
// that works on a thread's area or a slab is marked unsafe for calls from its first
// instruction to its last.
func TestSectionsAreNoSafePoints(t *testing.T) {
	for _, architecture := range architectures {
		for _, tags := range []string{"", "vcpualloc_stalled"} {
			command := exec.Command("go", "build", "-tags="+tags, "-asmflags=-S", "./rseqcs", "./vcpu", "./internal/rseq")
			command.Dir = "../.."
			command.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+architecture, "CGO_ENABLED=0", "GOWORK=off")
			listing, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %v\n%s", command, err, listing)
			}
			marked := 0
			for name, marks := range marksOf(string(listing)) {
				if unmarked[name] {
					continue
				}
				if marks != "0 -2" {
					t.Errorf("%s, tags %q: %s has the marks %q (offset, value), want only -2 at 0", architecture, tags, name, marks)
				}
				marked++
			}
			// All variants of all sections; the two of the self-test and its intruder;
			// what finds, reads and registers areas.
			if want := len(variants)*(len(sections)+2) + 3 + 8; marked != want {
				t.Errorf("%s, tags %q: %d functions are marked, want %d", architecture, tags, marked, want)
			}
		}
	}
}

// marksOf returns the PCDATA of index 0, UnsafePoint, of each function of a listing.
func marksOf(listing string) map[string]string {
	marks, function := make(map[string]string), ""
	for line := range strings.Lines(listing) {
		if text := textForm.FindStringSubmatch(line); text != nil {
			function = text[1] + "." + text[2]
			marks[function] = ""
		} else if mark := markForm.FindStringSubmatch(line); mark != nil {
			offset := strings.TrimLeft(mark[1], "0")
			if offset == "" {
				offset = "0"
			}
			marks[function] = strings.TrimSpace(marks[function] + " " + offset + " " + mark[2])
		}
	}
	return marks
}
