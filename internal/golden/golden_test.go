package golden

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/objdump"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	architectures = []string{"amd64", "arm64"}
	variants      = []string{"SelfMMCID", "SelfCPUID", "LibcMMCID", "LibcCPUID", "ByP"}
	sections      = []string{"pop", "push", "setHeader", "add", "alloc", "allocZeroed", "free", "get", "put"}
)

// disassemble returns the code of the fast paths and of a program that uses them.
func disassemble(t *testing.T, architecture string) map[string][]objdump.Instruction {
	t.Helper()
	return objdump.Functions(t, "./pair", architecture, `^main\.(pair|typed)$|/alloc\.(NewOf|RegionNew)\[|/alloc\.\(\*Region\)\.Bytes|/rseqcs\.[a-zA-Z]+(\.abi0)?$`)
}

// straight returns the number of instructions on the straight path.
func straight(code []objdump.Instruction) (int, error) {
	at := make(map[string]int, len(code))
	for i, in := range code {
		at[in.Address] = i
	}
	for i, count := 0, 1; i < len(code); count++ {
		mnemonic, operand, _ := strings.Cut(code[i].Text, " ")
		switch {
		case mnemonic == "RET":
			return count, nil
		case count > len(code):
			return 0, fmt.Errorf("the straight path is a loop")
		case mnemonic == "JMP":
			target, ok := at[operand]
			if !ok {
				// arm64 writes targets as a distance in instructions.
				var distance int
				if _, err := fmt.Sscanf(operand, "%d(PC)", &distance); err != nil {
					return 0, fmt.Errorf("the straight path leaves the function: %s", code[i].Text)
				}
				target = i + distance
			}
			i = target
		default:
			i++
		}
	}
	return 0, fmt.Errorf("the straight path has no end")
}

// TestInstructionCounts compares the counts with the golden files.
func TestInstructionCounts(t *testing.T) {
	for _, architecture := range architectures {
		t.Run(architecture, func(t *testing.T) {
			t.Parallel()
			functions := disassemble(t, architecture)
			var got strings.Builder
			fmt.Fprintf(&got, "%-12s", "section")
			for _, variant := range variants {
				fmt.Fprintf(&got, " %9s", variant)
			}
			fmt.Fprintln(&got)
			for _, section := range sections {
				fmt.Fprintf(&got, "%-12s", section)
				for _, variant := range variants {
					count, err := straight(functions["rseqcs."+section+variant])
					if err != nil {
						t.Fatalf("%s%s: %v", section, variant, err)
					}
					fmt.Fprintf(&got, " %9d", count)
				}
				fmt.Fprintln(&got)
			}
			compare(t, filepath.Join("testdata", architecture+".txt"), got.String())
		})
	}
}

// idLoads are the loads of a thread's two ids, whose offsets are the kernel's, from the
// register that holds the address of its area.
var idLoads = map[string]map[string]string{
	"amd64": {"MMCID": "MOVL 0x18(R8), ", "CPUID": "MOVL 0x4(R8), "},
	"arm64": {"MMCID": "MOVWU 24(R4), ", "CPUID": "MOVWU 4(R4), "},
}

// TestVariantsReadTheirID: every section of a mode loads that mode's id and no other.
func TestVariantsReadTheirID(t *testing.T) {
	for _, architecture := range architectures {
		t.Run(architecture, func(t *testing.T) {
			t.Parallel()
			functions := disassemble(t, architecture)
			for _, section := range append([]string{"popBatch", "pushBatch"}, sections...) {
				for _, variant := range variants {
					for id, load := range idLoads[architecture] {
						loads := 0
						for _, in := range functions["rseqcs."+section+variant] {
							if strings.HasPrefix(in.Text, load) {
								loads++
							}
						}
						if reads := loads > 0; reads != strings.HasSuffix(variant, id) {
							t.Errorf("%s%s loads %s %d times", section, variant, id, loads)
						}
					}
				}
			}
		})
	}
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has other counts of instructions.\ngot:\n%s\nwant:\n%s\nIf the change is meant, make golden writes it anew.", path, got, want)
	}
}

// TestFastPathIsInlined demands that a caller of Alloc and Free calls the
// sections and nothing in between: only indirect calls on the straight path.
func TestFastPathIsInlined(t *testing.T) {
	functions := disassemble(t, "amd64")
	indirect := 0
	for _, in := range functions["main.pair"] {
		switch {
		case strings.HasPrefix(in.Text, "CALL ") && !strings.Contains(in.Text, "(SB)"):
			indirect++
		case strings.Contains(in.Text, "/alloc.") || strings.Contains(in.Text, "/rseqcs."):
			t.Errorf("not inlined: %s", in.Text)
		}
	}
	if indirect != 4 {
		t.Errorf("%d indirect calls, want 4", indirect)
	}
}

// TestTypedCallsMakeOneCall demands that FreeOf calls the section itself, and that what a
// typed call and one of a region call beyond that stands here: none checks the stack.
func TestTypedCallsMakeOneCall(t *testing.T) {
	want := map[string][]string{
		"main.typed":                       {"alloc.NewOf[go.shape.uint64]", "", "alloc.RegionNew[go.shape.uint64]", "alloc.(*Region).Bytes"},
		"alloc.NewOf[go.shape.uint64]":     {"alloc.checkPointers", ""},
		"alloc.RegionNew[go.shape.uint64]": {"alloc.(*Region).slow", "alloc.checkPointers"},
		"alloc.(*Region).Bytes":            {"alloc.(*Region).slow"},
		"alloc.(*Region).BytesUninit":      {"alloc.(*Region).slow"},
	}
	functions := disassemble(t, "amd64")
	for name, want := range want {
		var got []string
		for _, in := range functions[name] {
			called, ok := strings.CutPrefix(in.Text, "CALL ")
			called, named := strings.CutSuffix(called[strings.LastIndexByte(called, '/')+1:], "(SB)")
			if !named {
				called = "" // the func value of a section
			}
			if ok && (name != "main.typed" || !strings.HasPrefix(called, "runtime.") && !strings.HasPrefix(called, "main.")) && !slices.Contains(got, called) {
				got = append(got, called)
			}
		}
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s calls %q, want %q", name, got, want)
		}
	}
}
