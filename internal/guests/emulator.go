package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// emulatorSuites is, for the Debian release of the machine, the suite whose QEMU
// boots every kernel of the table (10.0; bookworm's own 7.2 crashed some) and
// runs with the libraries of that release.
var emulatorSuites = map[string]string{
	"bookworm": "bookworm-backports",
	"trixie":   "trixie",
}

// emulator is QEMU, unpacked into the cache folder.
type emulator struct {
	root string // of the unpacked packages
}

// release returns VERSION_CODENAME of the machine's os-release file.
func release() (string, error) {
	file, err := os.Open("/etc/os-release")
	if err != nil {
		return "", err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "VERSION_CODENAME="); ok {
			return strings.Trim(value, `"`), nil
		}
	}
	return "", errors.New("/etc/os-release has no VERSION_CODENAME: guests needs a Debian machine or container")
}

var installLine = regexp.MustCompile(`(?m)^Inst (\S+) (?:\[\S+\] )?\((\S+) `)

// openEmulator unpacks QEMU and the libraries that the machine lacks, unless the
// cache has them.
func openEmulator(ctx context.Context, cache, codename, mirror string, progress func(string, ...any)) (*emulator, error) {
	root := filepath.Join(cache, "qemu")
	complete := filepath.Join(root, "complete")
	if _, err := os.Stat(complete); err == nil {
		e := &emulator{root}
		return e, e.check()
	}
	suite, ok := emulatorSuites[codename]
	if !ok {
		return nil, fmt.Errorf("no QEMU is known for release %q; run this on Debian bookworm or trixie, or in such a container", codename)
	}
	state := &archive{
		folder: filepath.Join(cache, "apt", "qemu"), arch: runtime.GOARCH, mirror: mirror,
		suites: []string{codename}, status: "/var/lib/dpkg/status",
	}
	if suite != codename {
		state.suites = append(state.suites, suite)
	}
	progress("emulator: package lists")
	if err := state.open(ctx); err != nil {
		return nil, err
	}
	// Only simulated: it names what apt would install on this machine.
	text, err := state.run(ctx, "apt-get", "--simulate", "--no-install-recommends", "--target-release", suite,
		"install", "qemu-system-x86", "qemu-system-arm", "qemu-system-common", "qemu-system-data", "seabios")
	if err != nil {
		return nil, err
	}
	var packages []string
	for _, match := range installLine.FindAllStringSubmatch(text, -1) {
		packages = append(packages, match[1]+"="+match[2])
	}
	progress("emulator: fetching %d packages of %s", len(packages), suite)
	files, err := state.download(ctx, packages)
	if err != nil {
		return nil, fmt.Errorf("no emulator: %w\n%s", err, mirrorAdvice)
	}
	for _, file := range files {
		_, err := output(exec.CommandContext(ctx, "dpkg-deb", "--extract", file, root))
		if err := errors.Join(err, os.Remove(file)); err != nil {
			return nil, err
		}
	}
	e := &emulator{root}
	return e, errors.Join(e.check(), os.WriteFile(complete, nil, 0o644))
}

// check makes sure that there is an emulator for each architecture.
func (e *emulator) check() error {
	for _, machine := range systems {
		if _, err := exec.LookPath(e.binary(machine.binary)); err != nil {
			return fmt.Errorf("no emulator: %w, and none in %s\nWhat to do: remove that folder, and the next run fetches QEMU again; or install the packages qemu-system-x86 and qemu-system-arm",
				err, e.root)
		}
	}
	return nil
}

// system is what differs between the emulated architectures. The console device
// is the machine's first serial port.
type system struct {
	binary  string
	console string
	options []string
}

var systems = map[string]system{
	"amd64": {
		binary: "qemu-system-x86_64", console: "ttyS0",
		options: []string{"-machine", "q35", "-cpu", "max", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"},
	},
	"arm64": {
		binary: "qemu-system-aarch64", console: "ttyAMA0",
		options: []string{
			// The architected pointer authentication is slow to emulate.
			"-machine", "virt", "-cpu", "max,pauth-impdef=on",
			"-semihosting-config", "enable=on,userspace=on,target=native",
		},
	},
}

// binary prefers the unpacked emulator; where apt found nothing to install, the
// machine has the right one itself.
func (e *emulator) binary(name string) string {
	unpacked := filepath.Join(e.root, "usr/bin", name)
	if _, err := os.Stat(unpacked); err == nil {
		return unpacked
	}
	return name
}

// command returns the command line that boots a row.
func (e *emulator) command(ctx context.Context, row Row, image, initramfs string, memory, niceness int) *exec.Cmd {
	machine := systems[row.Arch]
	arguments := []string{"-n", fmt.Sprint(niceness), e.binary(machine.binary)}
	// A host's hypervisor may not let a guest have guests: tcg works everywhere.
	arguments = append(arguments, clockOptions(row)...)
	arguments = append(arguments, machine.options...)
	arguments = append(arguments,
		"-L", filepath.Join(e.root, "usr/share/qemu"), "-L", filepath.Join(e.root, "usr/share/seabios"), "-L", "/usr/share/seabios",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-smp", fmt.Sprint(row.CPUs), "-m", fmt.Sprintf("%dM", memory))
	arguments = append(arguments, nodeOptions(row, memory)...)
	arguments = append(arguments, "-kernel", image, "-initrd", initramfs, "-append", commandLine(row))
	command := exec.CommandContext(ctx, "nice", arguments...)
	libraries, _ := filepath.Glob(filepath.Join(e.root, "usr/lib/*-linux-gnu*"))
	more, _ := filepath.Glob(filepath.Join(e.root, "lib/*-linux-gnu*"))
	command.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(append(libraries, more...), ":"))
	return command
}

// clockOptions chooses between an emulation with a thread for each CPU, in real
// time, and one that gives the CPUs turns and lets 8 ns pass with an instruction,
// nothing more: what the guest sees does not depend on the load of the host.
func clockOptions(row Row) []string {
	if row.Instructions {
		return []string{"-accel", "tcg,thread=single", "-icount", "shift=3,sleep=off"}
	}
	return []string{"-accel", "tcg,thread=multi"}
}

// nodeOptions splits CPUs and memory evenly among the row's NUMA nodes.
func nodeOptions(row Row, memory int) []string {
	if row.Nodes == 1 {
		return nil
	}
	var options []string
	each := row.CPUs / row.Nodes
	for node := range row.Nodes {
		options = append(options,
			"-object", fmt.Sprintf("memory-backend-ram,id=memory%d,size=%dM", node, memory/row.Nodes),
			"-numa", fmt.Sprintf("node,nodeid=%d,cpus=%d-%d,memdev=memory%d", node, node*each, (node+1)*each-1, node))
	}
	return options
}

// commandLine is the kernel's. A panic restarts at once, which ends the emulator
// (-no-reboot) with a status other than plan.DebugExit. A kernel that has tripped
// over itself is not worth a test any more, so that is a panic, too; all that it had
// to say goes to the console then. Old kernels wait long for random numbers unless
// they trust the CPU's.
func commandLine(row Row) string {
	line := "console=" + systems[row.Arch].console + " rdinit=/init panic=-1 oops=panic panic_print=0x20 loglevel=4 random.trust_cpu=on"
	if row.CommandLine != "" {
		line += " " + row.CommandLine
	}
	return line
}
