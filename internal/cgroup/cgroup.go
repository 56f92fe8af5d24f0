package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrNone means that no limit is set on the memory of the process, or none can be
// seen.
var ErrNone = errors.New("no memory limit of cgroup v2")

// Memory returns the tightest memory.max or memory.high in bytes, of the group of
// the process and of those above, and the file that says so. Above memory.high the
// kernel slows the process down, above memory.max it kills. root stands before all
// paths: "/", or a tree of a test.
func Memory(root string) (limit int64, file string, err error) {
	group, err := ownGroup(root)
	if err != nil {
		return 0, "", err
	}
	mount, directory, err := locate(root, group)
	if err != nil {
		return 0, "", err
	}
	for {
		for _, name := range []string{"memory.max", "memory.high"} {
			path := filepath.Join(mount, directory, name)
			value, err := read(filepath.Join(root, path))
			if err != nil {
				return 0, "", err
			}
			if value >= 0 && (file == "" || value < limit) {
				limit, file = value, path
			}
		}
		if directory == "/" {
			break
		}
		directory = filepath.Dir(directory)
	}
	if file == "" {
		return 0, "", fmt.Errorf("%w: none is set in %s or above", ErrNone, filepath.Join(mount, group))
	}
	return limit, file, nil
}

// ownGroup returns the path of the process's group, cgroups(7).
func ownGroup(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNone, err)
	}
	for line := range strings.Lines(string(text)) {
		if group, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return group, nil
		}
	}
	return "", fmt.Errorf("%w: /proc/self/cgroup names no group", ErrNone)
}

// unescape undoes what the kernel does to paths in mountinfo.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// locate returns where cgroup2 is mounted and the directory of the group there. In
// a container the mount may show only the part of the tree from the group on.
func locate(root, group string) (mount, directory string, err error) {
	text, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrNone, err)
	}
	mounted := false
	for line := range strings.Lines(string(text)) {
		// id parent device root mount options [more]... - type source options, proc(5)
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !strings.HasPrefix(after, "cgroup2 ") || len(fields) < 5 {
			continue
		}
		mounted = true
		shown, mount := unescape.Replace(fields[3]), unescape.Replace(fields[4])
		below, inside := strings.CutPrefix(group, strings.TrimSuffix(shown, "/"))
		if inside && (below == "" || below[0] == '/') && !strings.HasPrefix(group, "/..") {
			return mount, filepath.Join("/", below), nil
		}
	}
	if mounted {
		return "", "", fmt.Errorf("%w: the group %s is outside of what is mounted", ErrNone, group)
	}
	return "", "", fmt.Errorf("%w: cgroup2 is not mounted", ErrNone)
}

// read returns the number in a file of a group, or -1 for none: "max", or no such
// file, as in the root and where the controller is off.
func read(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	word := strings.TrimSpace(string(text))
	if word == "max" {
		return -1, nil
	}
	value, err := strconv.ParseInt(word, 10, 64)
	if err != nil || value < 0 {
		return 0, fmt.Errorf("%s says %q, not a number of bytes", path, word)
	}
	return value, nil
}
