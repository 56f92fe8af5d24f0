package litmus

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/objdump"
)

var update = flag.Bool("update", false, "write testdata anew")

var (
	sections = []string{"pop", "push", "popBatch", "pushBatch", "setHeader", "add", "alloc", "allocZeroed", "free", "get", "put"}
	variants = []string{"SelfMMCID", "SelfCPUID", "LibcMMCID", "LibcCPUID"}
)

// access is one of a section to memory that several CPUs use.
type access struct {
	location string
	store    bool
	release  bool
	address  []string // loads that the address depends on
	control  []string // loads that a conditional jump before it depends on
}

func (a *access) token() string {
	if a.store {
		return a.location + "="
	}
	return a.location
}

func (a *access) String() string {
	text := a.token()
	if a.release {
		text += " (release)"
	}
	if len(a.address) > 0 {
		text += " address: " + strings.Join(a.address, " ")
	}
	if len(a.control) > 0 {
		text += " control: " + strings.Join(a.control, " ")
	}
	return text
}

// place is a memory operand and the location it stands for, "" for what is not shared or
// does not change: the tables, the caller's array, the area's other fields.
type place struct {
	operand  *regexp.Regexp
	location string
}

func places(list ...string) (all []place) {
	for i := 0; i < len(list); i += 2 {
		all = append(all, place{regexp.MustCompile("^(" + list[i] + ")$"), list[i+1]})
	}
	return all
}

// operandsOf are the memory operands of the sections. One that is not here fails the test.
var operandsOf = map[string][]place{
	"arm64": places(
		`8\(R4\)`, "start", `(24|4)\(R4\)`, "id", `-64\(R(0|20)\)`, "count",
		`\(R11\)`, "current", `4\(R11\)|4\(R6\)`, "end", `(-8|-16|16)?\(R10\)`, "slot", `\(R6\)`, "cell", `1024\(R6\)`, "countdown",
		`\(R5\)\(R22<<3\)`, "check",
		`-64\(R4\)|48\(R28\)|\d+\((R0|R2|R21|R24|R27)\)|(16)?\(R22\)`, "",
	),
	"amd64": places(
		`0x8\(R8\)`, "start", `0x(18|4)\(R8\)`, "id", `-0x40\((AX|DI|R10)\)`, "count",
		`0\(R9\)\(BX\*8\)|0\(R10\)`, "current", `0x4\(R9\)\(BX\*8\)|0x4\((R9|R10)\)`, "end",
		`(-0x8|-0x10|0)\(R9\)\(R11\*1\)`, "slot", `0\(R9\)`, "cell", `0x400\(R9\)`, "countdown",
		`0\(R11\)\(R9\*8\)`, "check",
		`FS:(0x[0-9a-f]+|0)|0x[0-9a-f]+\(AX\)(\(CX\*4\)|\(R12\*[24]\))?|-0x(8|10)\(CX\)\((R12|R13)\*8\)|.*\(SB\)|-?0x[0-9a-f]+\(FS\)`, "",
	),
}

var (
	memoryOperand = regexp.MustCompile(`\(R?[A-Z0-9]+\)|\(SB\)|FS:`)
	registerIn    = regexp.MustCompile(`R\d+`)
)

// readSection returns the accesses of a section from its code, up to COMMIT. The code is
// laid out so that what comes first in it comes first in time, and loops are repeated.
// Of a pair of words one access is noted. Jumps by a bit are left out: there are no fewer
// dependencies than it says.
// At the start of a slab is the header of class 0, and a cell only for the section add.
func readSection(architecture, section string, code []objdump.Instruction) (all []access, err error) {
	from := make(map[string][]string) // loads that a register depends on
	var flags, control []string
	for _, in := range code {
		mnemonic, rest, _ := strings.Cut(in.Text, " ")
		f := strings.Split(rest, ", ")
		sources := func(operands ...string) (loads []string) {
			for _, register := range registerIn.FindAllString(strings.Join(operands, " "), -1) {
				loads = append(loads, from[register]...)
			}
			slices.Sort(loads)
			return slices.Compact(loads)
		}
		conditional := false
		if architecture == "arm64" {
			switch {
			case strings.HasPrefix(mnemonic, "CB"):
				control, conditional = slices.Concat(control, sources(f[0])), true
			case mnemonic == "CMP" || mnemonic == "CMPW" || mnemonic == "TST":
				flags = sources(f...)
			case mnemonic == "ADDS" || mnemonic == "SUBS":
				flags = sources(f[:len(f)-1]...)
			case len(mnemonic) == 3 && mnemonic[0] == 'B' && mnemonic != "BIC":
				control, conditional = slices.Concat(control, flags), true
			}
		}
		slices.Sort(control)
		control = slices.Compact(control)
		at := slices.IndexFunc(f, memoryOperand.MatchString)
		if strings.HasPrefix(mnemonic, "LEA") || at < 0 || strings.HasSuffix(f[at], "(PC)") || conditional {
			if architecture == "arm64" && len(f) > 1 && mnemonic != "CMP" && mnemonic != "CMPW" {
				target := f[len(f)-1]
				from[target] = sources(f[:len(f)-1]...)
			}
			continue
		}
		i := slices.IndexFunc(operandsOf[architecture], func(p place) bool { return p.operand.MatchString(f[at]) })
		if i < 0 {
			return nil, fmt.Errorf("%q: no location is known for %s", in.Text, f[at])
		}
		location := operandsOf[architecture][i].location
		if location == "cell" && section != "add" {
			location = "current"
		}
		a := access{location: location, release: strings.HasPrefix(mnemonic, "STLR"), address: sources(f[at]), control: slices.Clone(control)}
		a.store = at == len(f)-1 && (strings.HasPrefix(mnemonic, "MOV") || strings.HasPrefix(mnemonic, "STP") || a.release)
		if !a.store && architecture == "arm64" {
			for _, register := range registerIn.FindAllString(strings.Join(f[at+1:], " "), -1) {
				from[register] = nil
				if location != "" {
					from[register] = []string{location}
				}
			}
		}
		if location == "" {
			continue
		}
		all = append(all, a)
		if a.store && (location == "current" || location == "cell") {
			return all, nil
		}
	}
	return nil, fmt.Errorf("no COMMIT")
}

var (
	disassembling sync.Mutex
	disassembled  = make(map[string]map[string][]objdump.Instruction)
)

// functionsOf returns the code of package rseqcs, which takes a while the first time.
func functionsOf(t *testing.T, architecture string) map[string][]objdump.Instruction {
	t.Helper()
	disassembling.Lock()
	defer disassembling.Unlock()
	if disassembled[architecture] == nil {
		disassembled[architecture] = objdump.Functions(t, "../golden/pair", architecture, `/rseqcs\.([a-zA-Z]+(\.abi0)?|\(\*Stack\)\.(Drain|stop|resume|empty))$`)
	}
	return disassembled[architecture]
}

func readSections(t *testing.T, architecture string) map[string][]access {
	t.Helper()
	functions := functionsOf(t, architecture)
	all := make(map[string][]access)
	for _, section := range sections {
		for _, variant := range variants {
			accesses, err := readSection(architecture, section, functions["rseqcs."+section+variant])
			if err != nil {
				t.Fatalf("%s, %s%s: %v", architecture, section, variant, err)
			}
			// Some variants look at the id twice, to see whether the kernel writes it.
			accesses = slices.CompactFunc(accesses, func(a, b access) bool { return a.location == "id" && b.location == "id" })
			if all[section] == nil {
				all[section] = accesses
			}
			if got, want := text(accesses), text(all[section]); got != want {
				t.Errorf("%s: %s%s has other accesses than the first variant:\n%s\n%s", architecture, section, variant, got, want)
			}
		}
	}
	return all
}

func text(accesses []access) string {
	var lines []string
	for _, a := range accesses {
		lines = append(lines, "\t"+a.String()+"\n")
	}
	return strings.Join(lines, "")
}

// TestAccessesOfSections compares the accesses of all sections with testdata.
func TestAccessesOfSections(t *testing.T) {
	for _, architecture := range []string{"amd64", "arm64"} {
		t.Run(architecture, func(t *testing.T) {
			t.Parallel()
			all, got := readSections(t, architecture), ""
			for _, section := range sections {
				got += section + "\n" + text(all[section])
			}
			path := "testdata/" + architecture + ".txt"
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(path); err != nil || string(want) != got {
				t.Errorf("the sections have other accesses: %v\ngot:\n%s\nIf the change is meant, look whether docs/memory-order.md and the litmus tests still hold; go test ./internal/litmus -update writes %s anew.", err, got, path)
			}
		})
	}
}

// TestThreadsAreSections checks that the threads of litmus tests which model a section make
// its accesses in its order, and lean on nothing that the section has not.
func TestThreadsAreSections(t *testing.T) {
	found := map[string]map[string][]access{"AArch64": readSections(t, "arm64"), "X86": readSections(t, "amd64")}
	used := 0
	for _, l := range readTests(t) {
		for _, use := range l.sections {
			used++
			if err := checkUse(l, use, found[l.arch][use.section]); err != nil {
				t.Errorf("%s: P%d as %s: %v", l.name, use.thread, use.section, err)
			}
		}
	}
	if used < 20 {
		t.Errorf("only %d threads model a section", used)
	}
}

func checkUse(l *litmusTest, use sectionUse, section []access) error {
	var want []access
	for _, a := range section {
		if slices.Contains(use.access, a.token()) {
			want = append(want, a)
		}
	}
	// Of a loop, and of its pairs and the odd object behind it, a test has one access.
	want = slices.CompactFunc(want, func(a, b access) bool { return a.String() == b.String() })
	if !slices.Equal(tokens(want), use.access) {
		return fmt.Errorf("the section has %q, the test %q", tokens(want), use.access)
	}
	events, err := l.longest(use.thread)
	if err != nil {
		return err
	}
	var got []access
	for _, e := range events {
		if e.kind == 'F' || e.pair >= 0 {
			if len(got) > 0 && len(got) < len(want) {
				return fmt.Errorf("a barrier or an atomic that the section has not")
			}
			continue
		}
		a := access{location: e.location, store: e.kind == 'W', release: e.release, address: locations(events, e.address), control: locations(events, e.control)}
		if !slices.Contains(use.access, a.token()) {
			continue
		}
		if e.acquire || e.data != 0 {
			return fmt.Errorf("%s: an acquire or a data dependency that the section has not", a.token())
		}
		got = append(got, a)
	}
	if !slices.Equal(tokens(got), use.access) {
		return fmt.Errorf("the thread has %q, the test says %q", tokens(got), use.access)
	}
	if l.arch == "X86" {
		return nil // the order is all
	}
	for i, a := range got {
		switch {
		case a.release && !want[i].release:
			return fmt.Errorf("%s is a release, in the section it is none", a.token())
		case !isPart(a.address, want[i].address):
			return fmt.Errorf("the address of %s depends on %q, in the section on %q", a.token(), a.address, want[i].address)
		case !isPart(a.control, append(want[i].control, l.others(use)...)):
			return fmt.Errorf("%s is behind a jump that depends on %q, in the section on %q", a.token(), a.control, want[i].control)
		}
	}
	return nil
}

// others returns the locations of a test that are not of the section: what the thread does
// with them comes before the section or behind it, in the kernel.
func (l *litmusTest) others(use sectionUse) (all []string) {
	for location := range l.memory {
		if !slices.Contains(use.access, location) && !slices.Contains(use.access, location+"=") {
			all = append(all, location)
		}
	}
	return all
}

func isPart(part, whole []string) bool {
	return !slices.ContainsFunc(part, func(s string) bool { return !slices.Contains(whole, s) })
}

func tokens(accesses []access) (all []string) {
	for _, a := range accesses {
		all = append(all, a.token())
	}
	return all
}

func locations(events []event, s set) (all []string) {
	for i := range events {
		if s.has(i) {
			all = append(all, events[i].location)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// longest returns the events of the longest way through a thread.
func (l *litmusTest) longest(number int) (events []event, err error) {
	values := make(map[string]map[int]bool)
	for location := range l.memory {
		values[location] = map[int]bool{0: true, 1: true}
	}
	runs, err := l.runsOf(number, values)
	for _, r := range runs {
		if len(r.events) > len(events) {
			events = r.events
		}
	}
	return events, err
}

// TestDrainIsAsModelled checks what Go makes of the atomic stores by which a drain stops
// and resumes the sections, and of those by which it empties a magazine.
func TestDrainIsAsModelled(t *testing.T) {
	for architecture, store := range map[string]string{"amd64": "XCHGL ", "arm64": "STLRW "} {
		functions := functionsOf(t, architecture)
		for _, row := range []struct {
			functions []string
			stores    int
		}{
			{[]string{"stop"}, 2},
			{[]string{"Drain", "resume"}, 2}, // resume is inlined, or not
			{[]string{"empty"}, 1},
		} {
			found := 0
			for _, name := range row.functions {
				for _, in := range functions["rseqcs.(*Stack)."+name] {
					if strings.HasPrefix(in.Text, store) {
						found++
					}
				}
			}
			if found != row.stores {
				t.Errorf("%s: %v has %d %s, want %d", architecture, row.functions, found, store, row.stores)
			}
		}
	}
}
