package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// unpacked is one entry of a newc archive.
type unpacked struct {
	name         string
	mode         int
	major, minor int
	content      string
}

// unpack reads a newc archive by the text of the kernel's documentation.
func unpack(t *testing.T, archive []byte) []unpacked {
	t.Helper()
	const headerSize = 110
	var entries []unpacked
	up := func(n int) int { return (n + 3) / 4 * 4 }
	for at := 0; ; {
		if at%4 != 0 || at+headerSize > len(archive) || string(archive[at:at+6]) != "070701" {
			t.Fatalf("no header at byte %d of %d", at, len(archive))
		}
		field := func(index int) int {
			value, err := strconv.ParseUint(string(archive[at+6+8*index:at+14+8*index]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(value)
		}
		size, nameSize := field(6), field(11)
		nameEnd := at + headerSize + nameSize
		if archive[nameEnd-1] != 0 {
			t.Fatalf("name at byte %d does not end with zero", at)
		}
		one := unpacked{name: string(archive[at+headerSize : nameEnd-1]), mode: field(1), major: field(9), minor: field(10)}
		start := up(nameEnd)
		one.content = string(archive[start : start+size])
		if one.name == "TRAILER!!!" {
			return entries
		}
		entries = append(entries, one)
		at = up(start + size)
	}
}

func TestCpio(t *testing.T) {
	var out bytes.Buffer
	writer := newCpioWriter(&out)
	writer.folder("/proc")
	writer.file("/a/b/odd", 0o755, []byte("12345"))
	writer.file("a/even", 0o644, []byte("1234"))
	writer.file("empty", 0o600, nil)
	writer.device("dev/console", 0o600, 5, 1)
	if err := writer.close(); err != nil {
		t.Fatal(err)
	}
	want := []unpacked{
		{"proc", 0o040755, 0, 0, ""},
		{"a", 0o040755, 0, 0, ""},
		{"a/b", 0o040755, 0, 0, ""},
		{"a/b/odd", 0o100755, 0, 0, "12345"},
		{"a/even", 0o100644, 0, 0, "1234"},
		{"empty", 0o100600, 0, 0, ""},
		{"dev", 0o040755, 0, 0, ""},
		{"dev/console", 0o020600, 5, 1, ""},
	}
	if got := unpack(t, out.Bytes()); !slices.Equal(got, want) {
		t.Errorf("unpacked:\n%v\nwant:\n%v", got, want)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestCpioKeepsError(t *testing.T) {
	writer := newCpioWriter(brokenWriter{})
	writer.folder("a")
	if err := writer.close(); err != os.ErrClosed {
		t.Errorf("close = %v, want %v", err, os.ErrClosed)
	}
}

func TestInitramfs(t *testing.T) {
	folder := t.TempDir()
	write := func(name, content string) string {
		name = filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write("testdata/deep/golden", "text")
	jobs := []packed{{
		Job:    plan.Job{Name: "one", Path: "/jobs/0/run", Dir: "/jobs/0", Seconds: 7},
		binary: write("binary", "program"), testdata: filepath.Join(folder, "testdata"),
	}}
	var out bytes.Buffer
	if err := packInitramfs(&out, write("start", "first"), jobs); err != nil {
		t.Fatal(err)
	}
	files := map[string]unpacked{}
	for _, one := range unpack(t, out.Bytes()) {
		files[one.name] = one
	}
	for name, content := range map[string]string{
		"init": "first", "jobs/0/run": "program", "jobs/0/testdata/deep/golden": "text",
	} {
		if got := files[name]; got.content != content || got.mode != 0o100755 {
			t.Errorf("%s is %+v, want %q", name, got, content)
		}
	}
	var work plan.Plan
	if err := json.Unmarshal([]byte(files["plan.json"].content), &work); err != nil {
		t.Fatal(err)
	}
	if len(work.Jobs) != 1 || fmt.Sprint(work.Jobs[0]) != fmt.Sprint(jobs[0].Job) {
		t.Errorf("plan is %+v", work)
	}
}

func TestCopyImage(t *testing.T) {
	for name, wanted := range map[string]bool{
		"./boot/vmlinuz-6.1.0-50-cloud-amd64":        true,
		"./usr/lib/modules/7.3.4+deb13/vmlinuz":      true,
		"./lib/modules/7.3.4+deb13/vmlinuz":          true,
		"./boot/config-6.1.0-50-cloud-amd64":         false,
		"./usr/share/doc/linux-image-6.1/vmlinuz.gz": false,
	} {
		var archive bytes.Buffer
		writer := tar.NewWriter(&archive)
		for _, header := range []tar.Header{{Name: "./boot/", Typeflag: tar.TypeDir}, {Name: name, Typeflag: tar.TypeReg, Size: 5}} {
			if err := writer.WriteHeader(&header); err != nil {
				t.Fatal(err)
			}
		}
		writer.Write([]byte("image"))
		writer.Close()
		image := filepath.Join(t.TempDir(), "vmlinuz")
		err := copyImage(tar.NewReader(&archive), image)
		content, _ := os.ReadFile(image + ".part")
		if (err == nil) != wanted || (string(content) == "image") != wanted {
			t.Errorf("%s: error %v, content %q; want it taken: %v", name, err, content, wanted)
		}
	}
}
