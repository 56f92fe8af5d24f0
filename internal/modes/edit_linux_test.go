//go:build amd64 || arm64

package modes

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// edit is a change of this module's source for one build.
type edit []change

// change replaces text that a file of this module has exactly once.
type change struct{ file, old, new string }

// overlay writes the edited files beside path and returns the file that tells
// the go command of them.
func (e *edit) overlay(path string) (string, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	replaced := make(map[string]string) // by the file that each stands for
	for _, c := range *e {
		file := filepath.Join(root, c.file)
		source := file
		if edited, ok := replaced[file]; ok {
			source = edited
		}
		text, err := os.ReadFile(source)
		if err != nil {
			return "", err
		}
		if n := strings.Count(string(text), c.old); n != 1 {
			return "", fmt.Errorf("%s has %q %d times, want once: the row needs a new edit", c.file, c.old, n)
		}
		replaced[file] = fmt.Sprintf("%s-%s", path, filepath.Base(c.file))
		if err := os.WriteFile(replaced[file], []byte(strings.Replace(string(text), c.old, c.new, 1)), 0o644); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	name := path + "-overlay.json"
	return name, os.WriteFile(name, list, 0o644)
}
