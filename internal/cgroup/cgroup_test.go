package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	mountLine  = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	hybridLine = "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)

// tree writes files below a new root.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestMemory(t *testing.T) {
	const base = "sys/fs/cgroup/"
	for _, c := range []struct {
		name   string
		group  string
		mounts string
		files  map[string]string
		limit  int64
		file   string // or a part of the error
	}{
		{"own group", "0::/a/b\n", mountLine, map[string]string{base + "a/b/memory.max": "1000\n"}, 1000, "/sys/fs/cgroup/a/b/memory.max"},
		{"high is less", "0::/a\n", mountLine, map[string]string{base + "a/memory.max": "1000\n", base + "a/memory.high": "900\n"}, 900, "/sys/fs/cgroup/a/memory.high"},
		{"high is not set", "0::/a\n", mountLine, map[string]string{base + "a/memory.max": "1000\n", base + "a/memory.high": "max\n"}, 1000, "/sys/fs/cgroup/a/memory.max"},
		{"one above is tighter", "0::/a/b/c\n", mountLine, map[string]string{base + "a/memory.max": "500\n", base + "a/b/c/memory.max": "1000\n"}, 500, "/sys/fs/cgroup/a/memory.max"},
		{"zero", "0::/\n", mountLine, map[string]string{base + "memory.max": "0\n"}, 0, "/sys/fs/cgroup/memory.max"},
		{"container without a namespace", "0::/docker/x\n", "30 23 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n", map[string]string{base + "memory.max": "7\n"}, 7, "/sys/fs/cgroup/memory.max"},
		{"hybrid", "9:memory:/x\n0::/x\n", hybridLine + "32 23 0:28 / /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw\n", map[string]string{base + "uni fied/x/memory.max": "8\n"}, 8, "/sys/fs/cgroup/uni fied/x/memory.max"},
		{"none set", "0::/a\n", mountLine, map[string]string{base + "a/memory.max": "max\n"}, 0, "none is set in /sys/fs/cgroup/a"},
		{"only version 1", "9:memory:/x\n", hybridLine, nil, 0, "names no group"},
		{"not mounted", "0::/\n", hybridLine, nil, 0, "not mounted"},
		{"outside of the namespace", "0::/../x\n", mountLine, nil, 0, "outside"},
		{"a name that only begins alike", "0::/docker/xy\n", "30 23 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n", nil, 0, "outside"},
		{"nonsense", "0::/a\n", mountLine, map[string]string{base + "a/memory.max": "-5\n"}, 0, `says "-5"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{"proc/self/cgroup": c.group, "proc/self/mountinfo": c.mounts}
			for path, text := range c.files {
				files[path] = text
			}
			limit, file, err := Memory(tree(t, files))
			if err == nil && (limit != c.limit || file != c.file) {
				t.Errorf("%d by %s, want %d by %s", limit, file, c.limit, c.file)
			}
			if err != nil && (file != "" || !strings.Contains(err.Error(), c.file) || errors.Is(err, ErrNone) == (c.name == "nonsense")) {
				t.Errorf("%v, want %s", err, c.file)
			}
		})
	}
	if _, _, err := Memory(t.TempDir()); !errors.Is(err, ErrNone) {
		t.Errorf("no proc: %v", err)
	}
}
