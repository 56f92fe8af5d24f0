// Package objdump lets tests read the machine code of a program.
package objdump

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Instruction is one line of the disassembler.
type Instruction struct {
	Address, Text string
}

// instructionLine has the address, and behind the code the text.
var instructionLine = regexp.MustCompile(`^\s+\S+\s+(0x[0-9a-f]+)\s+[0-9a-f]+\s+(.*?)\s*$`)

// Functions builds the program of a package for an architecture, and returns the code of
// the functions that match the pattern, by their names without the path of the package.
func Functions(t testing.TB, program, architecture, pattern string) map[string][]Instruction {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-o", binary, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+architecture)
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	output, err := exec.Command("go", "tool", "objdump", "-s", pattern, binary).Output()
	if err != nil {
		t.Fatalf("go tool objdump: %v", err)
	}
	functions, name := make(map[string][]Instruction), ""
	for lines := bufio.NewScanner(bytes.NewReader(output)); lines.Scan(); {
		if head, ok := strings.CutPrefix(lines.Text(), "TEXT "); ok {
			name, _, _ = strings.Cut(head, "(SB)")
			name = strings.TrimSuffix(name[strings.LastIndexByte(name, '/')+1:], ".abi0")
		} else if fields := instructionLine.FindStringSubmatch(lines.Text()); fields != nil {
			functions[name] = append(functions[name], Instruction{fields[1], fields[2]})
		}
	}
	return functions
}
