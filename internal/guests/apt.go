package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// archive is a private apt: lists, caches and package states of its own, so that
// it reads suites and architectures that the machine is not set up for, and
// changes nothing on it. Proxies, credentials and keys stay the machine's.
type archive struct {
	folder string
	arch   string
	suites []string
	status string // dpkg's status file; what it lists counts as installed. Default: nothing
	mirror string
}

const sourcesList = "sources.list" // in the archive's folder

// emptyStatus is the status file, in the archive's folder, of a machine on which
// nothing is installed.
const emptyStatus = "status"

// keyring is where the package debian-archive-keyring puts Debian's keys. A
// machine without it must have them in apt's own folder.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// open prepares the archive and fetches its lists.
func (a *archive) open(ctx context.Context) error {
	for _, folder := range []string{"state/lists/partial", "cache/archives/partial", "downloads"} {
		if err := os.MkdirAll(filepath.Join(a.folder, folder), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(a.folder, emptyStatus), nil, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(a.folder, sourcesList), []byte(a.sources()), 0o600); err != nil {
		return err
	}
	if _, err := a.run(ctx, "apt-get", "update", "--error-on=any"); err != nil {
		return fmt.Errorf("the package lists for %s cannot be fetched from %s: %w\n%s", a.arch, a.mirror, err, mirrorAdvice)
	}
	return nil
}

// mirrorAdvice is for whoever has no network, or a mirror that does not answer.
const mirrorAdvice = "What to do: see that this machine reaches the mirror, or name another (make test-kernels MIRROR=URL, " +
	"or the flag -mirror URL). Kernels and emulator are fetched once; what lies in the cache folder needs no network."

// sources is the text of the private sources.list.
func (a *archive) sources() string {
	option := ""
	if _, err := os.Stat(keyring); err == nil {
		option = "[signed-by=" + keyring + "] "
	}
	var text strings.Builder
	for _, suite := range a.suites {
		fmt.Fprintf(&text, "deb %s%s %s main\n", option, a.mirror, suite)
	}
	return text.String()
}

// isOpen reports whether the lists are there, and of the same mirror and suites.
func (a *archive) isOpen() bool {
	text, err := os.ReadFile(filepath.Join(a.folder, sourcesList))
	return err == nil && string(text) == a.sources()
}

func (a *archive) run(ctx context.Context, program string, arguments ...string) (string, error) {
	status := a.status
	if status == "" {
		status = filepath.Join(a.folder, emptyStatus)
	}
	options := []string{
		"Dir::Etc::sourcelist=" + filepath.Join(a.folder, sourcesList),
		"Dir::Etc::sourceparts=-",
		"Dir::Etc::preferencesparts=-",
		"Dir::State=" + filepath.Join(a.folder, "state"),
		"Dir::State::status=" + status,
		"Dir::Cache=" + filepath.Join(a.folder, "cache"),
		"APT::Architecture=" + a.arch,
		"APT::Architectures=" + a.arch,
		// Old suites are no longer signed anew.
		"Acquire::Check-Valid-Until=false",
		"Acquire::Languages=none",
		"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled=false",
		"Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled=false",
		// The cache folder need not be readable for apt's own user.
		"APT::Sandbox::User=",
	}
	command := exec.CommandContext(ctx, program)
	for _, option := range options {
		command.Args = append(command.Args, "-o", option)
	}
	command.Args = append(command.Args, arguments...)
	command.Dir = filepath.Join(a.folder, "downloads")
	command.Env = append(os.Environ(), "LC_ALL=C")
	return output(command)
}

// offers prints, in the form of "apt-cache madison", which versions the suites
// have of the packages whose name matches an extended regular expression.
func (a *archive) offers(ctx context.Context, expression string) (string, error) {
	text, err := a.run(ctx, "apt-cache", "search", "--names-only", expression)
	if err != nil {
		return "", err
	}
	arguments := []string{"madison"}
	for _, line := range strings.Split(text, "\n") {
		if name, _, ok := strings.Cut(line, " "); ok {
			arguments = append(arguments, name)
		}
	}
	return a.run(ctx, "apt-cache", arguments...)
}

// download fetches packages, given as name=version, and returns the paths of the
// files, which the caller removes.
func (a *archive) download(ctx context.Context, packages []string) ([]string, error) {
	folder := filepath.Join(a.folder, "downloads")
	// What an interrupted run left there would be taken for what was asked for.
	if err := errors.Join(os.RemoveAll(folder), os.MkdirAll(folder, 0o755)); err != nil {
		return nil, err
	}
	if _, err := a.run(ctx, "apt-get", append([]string{"download"}, packages...)...); err != nil {
		return nil, fmt.Errorf("%s cannot be fetched from %s: %w", strings.Join(packages, " "), a.mirror, err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.deb"))
	if err == nil && len(files) != len(packages) {
		err = fmt.Errorf("apt-get download left %d files instead of %d in %s", len(files), len(packages), folder)
	}
	return files, err
}

// needed are the programs of Debian that fetch and unpack, with their packages.
var needed = [][2]string{{"apt-get", "apt"}, {"apt-cache", "apt"}, {"dpkg-deb", "dpkg"}, {"nice", "coreutils"}}

// checkNeeded says which of them are missing.
func checkNeeded() error {
	var missing []error
	for _, one := range needed {
		if _, err := exec.LookPath(one[0]); err != nil {
			missing = append(missing, fmt.Errorf("%w (package %s)", err, one[1]))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w\nWhat to do: kernels and emulator come from Debian; run this on Debian bookworm or trixie, or in such a container", errors.Join(missing...))
}

// machineMirror returns the mirror from which the machine's own apt takes the
// packages of its release.
func machineMirror(ctx context.Context, codename string) (string, error) {
	command := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
	command.Env = append(os.Environ(), "LC_ALL=C")
	text, err := output(command)
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == codename && fields[1] == "main" {
			return fields[2], nil
		}
	}
	return "", fmt.Errorf("this machine's apt has no mirror for Debian %q; give one with -mirror", codename)
}

// output runs a command and returns its standard output; an error carries the
// end of its standard error.
func output(command *exec.Cmd) (string, error) {
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	err := command.Run()
	if err != nil {
		const enough = 2000
		tail := strings.TrimSpace(problems.String())
		if len(tail) > enough {
			tail = "… " + tail[len(tail)-enough:]
		}
		err = fmt.Errorf("%s: %w\n%s", filepath.Base(command.Path), err, tail)
	}
	return out.String(), err
}
