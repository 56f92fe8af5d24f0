package native

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Library is one implementation of malloc.
type Library struct {
	Name  string
	Path  string // to preload; empty: the C library's own
	About string

	// Environment is added to that of the process.
	Environment []string

	// Default libraries are part of a run that names no peers.
	Default bool
}

// known are the libraries of Debian's packages. gperftools has a build without
// profilers, which is the one that is meant for speed.
var known = []struct {
	name, file, about string
	isDefault         bool
}{
	{"jemalloc", "libjemalloc.so.2", "C, jemalloc", true},
	{"mimalloc", "libmimalloc.so.2*", "C, mimalloc", true},
	{"tcmalloc", "libtcmalloc_minimal.so.4", "C, gperftools' tcmalloc without profilers", true},
	{"tcmalloc-full", "libtcmalloc.so.4", "C, gperftools' tcmalloc with its profilers built in", false},
}

// folders are where a distribution puts libraries.
var folders = []string{"/usr/local/lib", "/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib"}

// Libraries returns the C library and all known ones that are installed.
func Libraries() []Library {
	found := []Library{{Name: "glibc", About: "C, the system's own malloc", Default: true}}
	for _, library := range known {
		if path := find(library.file); path != "" {
			found = append(found, Library{Name: library.name, Path: path, About: library.about, Default: library.isDefault})
		}
	}
	return found
}

func find(file string) string {
	for _, folder := range folders {
		if paths, err := filepath.Glob(filepath.Join(folder, file)); err == nil && len(paths) > 0 {
			return paths[0]
		}
	}
	return ""
}

// ParseLibrary reads name=path, and after commas variables of the environment
// such as GLIBC_TUNABLES=glibc.pthread.rseq=0, which leaves restartable
// sequences to a library that wants them for itself.
func ParseLibrary(text string) (Library, error) {
	fields := strings.Split(text, ",")
	name, path, ok := strings.Cut(fields[0], "=")
	if !ok || name == "" || path == "" {
		return Library{}, fmt.Errorf("-preload %q is not of the form name=path or name=path,VARIABLE=VALUE", text)
	}
	for _, variable := range fields[1:] {
		if !strings.Contains(variable, "=") {
			return Library{}, fmt.Errorf("-preload %q: %q is not of the form VARIABLE=VALUE", text, variable)
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return Library{}, fmt.Errorf("-preload %q: %w", text, err)
	}
	if _, err := os.Stat(path); err != nil {
		return Library{}, fmt.Errorf("-preload %q: %w", text, err)
	}
	about := "C, " + path
	if len(fields) > 1 {
		about += " with " + strings.Join(fields[1:], " ")
	}
	return Library{Name: name, Path: path, About: about, Environment: fields[1:], Default: true}, nil
}

// Variables are those that make the library's malloc the process's.
func (l Library) Variables() []string {
	if l.Path == "" {
		return l.Environment
	}
	return append([]string{"LD_PRELOAD=" + l.Path}, l.Environment...)
}

// Loaded reports whether file, which a process's malloc came from, is this
// library: the loader goes on without one that it cannot load.
func (l Library) Loaded(file string) bool {
	if l.Path == "" {
		return strings.HasPrefix(file, "libc.")
	}
	if file == filepath.Base(l.Path) {
		return true
	}
	real, err := filepath.EvalSymlinks(l.Path)
	return err == nil && file == filepath.Base(real)
}
