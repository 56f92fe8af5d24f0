package main

import (
	"fmt"
	"io"
	"path"
	"strings"
)

// Types of files, as in st_mode.
const (
	typeFolder    = 0o040000
	typeRegular   = 0o100000
	typeCharacter = 0o020000
)

// cpioWriter writes the "newc" form of cpio, which is what the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst). Errors stick and
// come out of close.
type cpioWriter struct {
	out     io.Writer
	err     error
	written int64
	inode   int
	folders map[string]bool
}

func newCpioWriter(out io.Writer) *cpioWriter {
	return &cpioWriter{out: out, folders: map[string]bool{"": true, ".": true}}
}

// file adds a regular file and the folders above it. Names are relative to the
// root of the file system.
func (w *cpioWriter) file(name string, mode int, content []byte) {
	name = strings.TrimPrefix(path.Clean(name), "/")
	w.folder(path.Dir(name))
	w.entry(name, typeRegular|mode, 0, 0, content)
}

// folder adds a folder and those above it, each once.
func (w *cpioWriter) folder(name string) {
	name = strings.TrimPrefix(path.Clean(name), "/")
	if w.folders[name] {
		return
	}
	w.folders[name] = true
	w.folder(path.Dir(name))
	w.entry(name, typeFolder|0o755, 0, 0, nil)
}

// device adds a character device.
func (w *cpioWriter) device(name string, mode, major, minor int) {
	name = strings.TrimPrefix(path.Clean(name), "/")
	w.folder(path.Dir(name))
	w.entry(name, typeCharacter|mode, major, minor, nil)
}

// close writes the end mark.
func (w *cpioWriter) close() error {
	w.entry("TRAILER!!!", 0, 0, 0, nil)
	return w.err
}

func (w *cpioWriter) entry(name string, mode, major, minor int, content []byte) {
	w.inode++
	const owner, group, links, time, check = 0, 0, 1, 0, 0
	fields := []int{w.inode, mode, owner, group, links, time, len(content), 0, 0, major, minor, len(name) + 1, check}
	header := "070701"
	for _, field := range fields {
		header += fmt.Sprintf("%08x", field)
	}
	w.write([]byte(header + name + "\x00"))
	w.align()
	w.write(content)
	w.align()
}

// align pads to four bytes, counted from the start of the archive.
func (w *cpioWriter) align() {
	w.write(make([]byte, -w.written&3))
}

func (w *cpioWriter) write(bytes []byte) {
	if w.err != nil {
		return
	}
	n, err := w.out.Write(bytes)
	w.written += int64(n)
	w.err = err
}
