package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// writeOverlay writes the changed files, and the file for -overlay of the go
// command, into folder, which must be an absolute path.
func writeOverlay(folder, root string, texts map[string]string) (overlay string, err error) {
	replace := make(map[string]string)
	write := func(file, text string) error {
		name := filepath.Join(folder, strings.ReplaceAll(file, "/", "_"))
		replace[filepath.Join(root, file)] = name
		return os.WriteFile(name, []byte(text), 0o600)
	}
	for file, text := range texts {
		if err := write(file, text); err != nil {
			return "", err
		}
	}
	headers, err := withHeaders(folder, root, texts)
	if err != nil {
		return "", err
	}
	for file, text := range headers {
		if err := write(file, text); err != nil {
			return "", err
		}
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(folder, "overlay.json")
	return overlay, os.WriteFile(overlay, content, 0o600)
}

var includeForm = regexp.MustCompile(`(?m)^#include "(\w+\.h)"`)

// withHeaders serves the assembler, which reads the headers of a package from its
// folder, whatever the overlay says: it copies those of a package with a changed
// header into folder, and returns the assembly files that include the copies.
func withHeaders(folder, root string, texts map[string]string) (assembly map[string]string, err error) {
	assembly = make(map[string]string)
	for changed := range texts {
		if filepath.Ext(changed) != ".h" {
			continue
		}
		below := filepath.Dir(changed)
		entries, err := os.ReadDir(filepath.Join(root, below))
		if err != nil {
			return nil, err
		}
		copies := filepath.Join(folder, strings.ReplaceAll(below, "/", "_")+"_headers")
		if err := os.MkdirAll(copies, 0o700); err != nil {
			return nil, err
		}
		for _, entry := range entries {
			file := filepath.Join(below, entry.Name())
			kind := filepath.Ext(file)
			if kind != ".h" && kind != ".s" {
				continue
			}
			text, ok := texts[file]
			if !ok {
				content, err := os.ReadFile(filepath.Join(root, file))
				if err != nil {
					return nil, err
				}
				text = string(content)
			}
			text = includeForm.ReplaceAllStringFunc(text, func(line string) string {
				name := includeForm.FindStringSubmatch(line)[1]
				if _, err := os.Stat(filepath.Join(root, below, name)); err != nil {
					return line // of the toolchain
				}
				return `#include "` + filepath.Join(copies, name) + `"`
			})
			if kind == ".s" {
				assembly[file] = text
			} else if err := os.WriteFile(filepath.Join(copies, entry.Name()), []byte(text), 0o600); err != nil {
				return nil, err
			}
		}
	}
	return assembly, nil
}
