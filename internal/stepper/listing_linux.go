//go:build amd64 || arm64

package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// listing is the text of every instruction of the sections' functions, by its
// address. It is empty where there is no Go tool.
type listing map[uint64]string

// disassemble lists this program's own sections.
func disassemble() listing {
	texts := make(listing)
	executable, err := os.Executable()
	if err != nil {
		return texts
	}
	soon, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const functions = `/rseqcs\.\w+(Self|Libc)(MMCID|CPUID)(\.abi0)?$`
	output, err := exec.CommandContext(soon, "go", "tool", "objdump", "-s", functions, executable).Output()
	if err != nil {
		return texts
	}
	for line := range strings.Lines(string(output)) {
		// file:line, address, bytes, text
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		if address, err := strconv.ParseUint(fields[1], 0, 64); err == nil {
			texts[address] = strings.Join(fields[3:], " ")
		}
	}
	return texts
}

// between returns how many instructions there are from begin to end, end
// included, if the architecture or the listing tells.
func (l listing) between(begin, end uint64) (addresses []uint64) {
	for address := begin; address <= end; address += codeUnit {
		if _, ok := l[address]; ok || codeUnit > 1 {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// name names an instruction.
func (l listing) name(v *tracee, address uint64) string {
	if text, ok := l[address]; ok {
		return fmt.Sprintf("%#x (%s)", address, text)
	}
	code := make([]byte, 8)
	if err := v.read(address, code); err != nil {
		return fmt.Sprintf("%#x (%v)", address, err)
	}
	return fmt.Sprintf("%#x (bytes %s…)", address, hex.EncodeToString(code))
}
