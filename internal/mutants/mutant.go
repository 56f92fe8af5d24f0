package main

import (
	"embed"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

//go:embed tables/*.txt
var tables embed.FS

// mutant is one thing that is wrong: a change of the sources that some test must
// notice.
type mutant struct {
	name    string
	table   string
	arch    string   // that it is for; empty for both
	killers []string // that should notice it, the best one first
	quick   bool     // part of the small run
	hunks   []hunk
}

// hunk is a change of one file, in whole lines.
type hunk struct {
	file string // from the module's root
	in   string // start of a line: only from there to the next function, macro or comment; empty: everywhere
	old  []string
	new  []string
}

// readTables returns the mutants of all tables.
func readTables() (mutants []mutant, err error) {
	files, err := tables.ReadDir("tables")
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for _, file := range files {
		text, err := tables.ReadFile(path.Join("tables", file.Name()))
		if err != nil {
			return nil, err
		}
		found, err := parseTable(string(text))
		if err != nil {
			return nil, fmt.Errorf("tables/%s: %w", file.Name(), err)
		}
		for _, m := range found {
			if seen[m.id()] {
				return nil, fmt.Errorf("tables/%s: %q is there twice", file.Name(), m.id())
			}
			seen[m.id()] = true
			m.table = file.Name()
			mutants = append(mutants, m)
		}
	}
	return mutants, nil
}

// id is the name, with the architecture if there is one.
func (m *mutant) id() string { return strings.TrimPrefix(m.arch+" "+m.name, " ") }

// parseTable reads the form that doc.go describes.
func parseTable(text string) (mutants []mutant, err error) {
	var arch, file, in string
	var by []string
	fresh := true // whether the next change begins a hunk
	for index, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		fail := func(format string, arguments ...any) ([]mutant, error) {
			return nil, fmt.Errorf("line %d: %s", index+1, fmt.Sprintf(format, arguments...))
		}
		if strings.ContainsRune("-+ ", rune(line[0])) {
			if len(mutants) == 0 || file == "" {
				return fail("a change without a mutant or a file")
			}
			m := &mutants[len(mutants)-1]
			if fresh {
				m.hunks, fresh = append(m.hunks, hunk{file: file, in: in}), false
			}
			m.hunks[len(m.hunks)-1].add(line)
			continue
		}
		fresh = true
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "arch":
			arch = rest
		case "file":
			file, in = rest, ""
		case "in":
			in = rest
		case "everywhere":
			in = ""
		case "by":
			by = strings.Fields(rest)
			if len(mutants) > 0 && len(mutants[len(mutants)-1].hunks) == 0 {
				mutants[len(mutants)-1].killers = by
			}
		case "mutant":
			mutants = append(mutants, mutant{name: rest, arch: arch, killers: by})
		case "quick":
			mutants[len(mutants)-1].quick = true
		default:
			return fail("%q is no directive", word)
		}
	}
	for _, m := range mutants {
		if len(m.hunks) == 0 || len(m.killers) == 0 {
			return nil, fmt.Errorf("mutant %q changes nothing or has no killer", m.name)
		}
		for _, name := range m.killers {
			if _, known := killers[name]; !known {
				return nil, fmt.Errorf("mutant %q: there is no killer %q", m.name, name)
			}
		}
	}
	return mutants, nil
}

// add adds a line of a change to the hunk.
func (h *hunk) add(line string) {
	text := line[1:]
	if line[0] != '+' {
		h.old = append(h.old, text)
	}
	if line[0] != '-' {
		h.new = append(h.new, text)
	}
}

// apply returns the file's text with the change, and the number of the first
// line that differs. The old lines must be there exactly once, whatever their
// blanks are.
func (h *hunk) apply(text string) (changed string, line int, err error) {
	lines := strings.Split(text, "\n")
	from, to := 0, len(lines)
	if h.in != "" {
		if from, to, err = h.region(lines); err != nil {
			return "", 0, err
		}
	}
	at := -1
	for i := from; i+len(h.old) <= to; i++ {
		if !sameLines(lines[i:i+len(h.old)], h.old) {
			continue
		}
		if at >= 0 {
			return "", 0, fmt.Errorf("%s: lines %d and %d are both what is to be changed", h.file, at+1, i+1)
		}
		at = i
	}
	if at < 0 {
		return "", 0, fmt.Errorf("%s: nowhere is what is to be changed: %q", h.file, h.old)
	}
	same := 0
	for same < min(len(h.old), len(h.new)) && h.old[same] == h.new[same] {
		same++
	}
	result := append([]string(nil), lines[:at]...)
	result = append(result, h.new...)
	result = append(result, lines[at+len(h.old):]...)
	return strings.Join(result, "\n"), at + same + 1, nil
}

// region returns where the part of the file that h.in names begins and ends.
func (h *hunk) region(lines []string) (from, to int, err error) {
	from = -1
	for i, line := range lines {
		if !strings.HasPrefix(line, h.in) {
			continue
		}
		if from >= 0 {
			return 0, 0, fmt.Errorf("%s: lines %d and %d both begin with %q", h.file, from+1, i+1, h.in)
		}
		from = i
	}
	if from < 0 {
		return 0, 0, fmt.Errorf("%s: no line begins with %q", h.file, h.in)
	}
	for to = from + 1; to < len(lines); to++ {
		for _, start := range []string{"TEXT ", "func ", "#define ", "//"} {
			if strings.HasPrefix(lines[to], start) {
				return from, to, nil
			}
		}
	}
	return from, to, nil
}

// sameLines compares lines without regard to how many blanks there are.
func sameLines(a, b []string) bool {
	for i := range a {
		if strings.Join(strings.Fields(a[i]), " ") != strings.Join(strings.Fields(b[i]), " ") {
			return false
		}
	}
	return true
}

// place is where a mutant differs, for people.
type place struct {
	file string
	line int
}

// change returns the texts of all files that the mutant changes, by their path
// from the root, and the first place.
func (m *mutant) change(root string) (texts map[string]string, first place, err error) {
	texts = make(map[string]string)
	for i, h := range m.hunks {
		text, ok := texts[h.file]
		if !ok {
			content, err := os.ReadFile(filepath.Join(root, h.file))
			if err != nil {
				return nil, place{}, err
			}
			text = string(content)
		}
		changed, line, err := h.apply(text)
		if err != nil {
			return nil, place{}, fmt.Errorf("mutant %q: %w", m.id(), err)
		}
		texts[h.file] = changed
		if i == 0 {
			first = place{h.file, line}
		}
	}
	return texts, first, nil
}
