package main

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

// equals are the files of equal mutants, which do what the sources do as far as a test
// can see. A line at the margin is the name of one; the indented lines below are the
// reason for the names above them.
//
//go:embed equal/*.txt
var equals embed.FS

// readReasons returns the reason of each equal mutant by its name.
func readReasons() (map[string]string, error) {
	files, err := equals.ReadDir("equal")
	if err != nil {
		return nil, err
	}
	reasons := make(map[string]string)
	for _, file := range files {
		text, err := equals.ReadFile(path.Join("equal", file.Name()))
		if err != nil {
			return nil, err
		}
		if err := parseReasons(string(text), reasons); err != nil {
			return nil, fmt.Errorf("equal/%s: %w", file.Name(), err)
		}
	}
	return reasons, nil
}

func parseReasons(text string, reasons map[string]string) error {
	var names []string
	reason := ""
	end := func() error {
		if len(names) > 0 && reason == "" {
			return fmt.Errorf("%q has no reason", names[0])
		}
		for _, name := range names {
			if reasons[name] != "" {
				return fmt.Errorf("%q is there twice", name)
			}
			reasons[name] = reason
		}
		names, reason = nil, ""
		return nil
	}
	for _, line := range strings.Split(text, "\n") {
		switch {
		case strings.TrimSpace(line) == "" || line[0] == '#':
		case line[0] == '\t':
			reason = strings.TrimSpace(reason + " " + strings.TrimSpace(line))
		default:
			if reason != "" {
				if err := end(); err != nil {
					return err
				}
			}
			names = append(names, line)
		}
	}
	return end()
}
