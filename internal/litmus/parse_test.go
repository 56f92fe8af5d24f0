package litmus

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const folder = "../../docs/model/litmus"

// litmusTest is one file.
type litmusTest struct {
	path, arch, name, comment string
	verdict, breaks           string
	sections                  []sectionUse
	memory                    map[string]int           // at first
	addresses                 []map[string]string      // of each thread: the location a register holds
	code                      [][]string               // of each thread
	exists                    func(final outcome) bool // the condition
}

// sectionUse says that a thread makes accesses of a section.
type sectionUse struct {
	thread  int
	section string
	access  []string // locations, with a = behind for a store
}

// outcome is what an execution leaves.
type outcome struct {
	registers []map[string]int
	memory    map[string]int
}

var (
	commentText = regexp.MustCompile(`(?s)\(\*(.*?)\*\)`)
	field       = regexp.MustCompile(`(?m)^([A-Za-z0-9-]+)=(.*)$`)
)

func readTests(t *testing.T) []*litmusTest {
	t.Helper()
	paths, err := filepath.Glob(folder + "/*.litmus")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d litmus tests: %v", len(paths), err)
	}
	var tests []*litmusTest
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		l, err := parse(string(text))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if l.path = path; l.name+".litmus" != filepath.Base(path) {
			t.Errorf("%s is named %s", path, l.name)
		}
		tests = append(tests, l)
	}
	return tests
}

func parse(text string) (*litmusTest, error) {
	l := &litmusTest{memory: make(map[string]int)}
	if found := commentText.FindStringSubmatch(text); found != nil {
		l.comment = strings.Join(strings.Fields(found[1]), " ")
	}
	text = commentText.ReplaceAllString(text, "")
	head, rest, ok := strings.Cut(text, "{")
	init, rest, ok2 := strings.Cut(rest, "}")
	body, condition, ok3 := strings.Cut(rest, "exists")
	if !ok || !ok2 || !ok3 {
		return nil, fmt.Errorf("no { } or exists")
	}
	first, _, _ := strings.Cut(head, "\n")
	l.arch, l.name, _ = strings.Cut(strings.TrimSpace(first), " ")
	for _, f := range field.FindAllStringSubmatch(head, -1) {
		if err := l.setField(f[1], strings.TrimSpace(f[2])); err != nil {
			return nil, err
		}
	}
	rows := strings.Split(strings.TrimSpace(body), ";")
	threads := strings.Count(rows[0], "|") + 1
	l.code, l.addresses = make([][]string, threads), make([]map[string]string, threads)
	for i := range l.addresses {
		l.addresses[i] = make(map[string]string)
	}
	for _, row := range rows[1:] {
		for thread, cell := range strings.Split(row, "|") {
			if cell = strings.TrimSpace(cell); cell != "" {
				l.code[thread] = append(l.code[thread], cell)
			}
		}
	}
	for item := range strings.SplitSeq(init, ";") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		left, right, _ := strings.Cut(item, "=")
		if thread, register, ok := strings.Cut(left, ":"); ok {
			n, err := strconv.Atoi(thread)
			if err != nil || n >= threads {
				return nil, fmt.Errorf("%q", item)
			}
			l.addresses[n][registerName(register)] = right
			continue
		}
		value, err := strconv.Atoi(right)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", item, err)
		}
		l.memory[left] = value
	}
	var err error
	l.exists, err = parseCondition(condition)
	return l, err
}

func (l *litmusTest) setField(name, value string) error {
	thread, isSection := strings.CutPrefix(name, "Section-P")
	switch {
	case isSection:
		n, err := strconv.Atoi(thread)
		for use := range strings.SplitSeq(value, ";") {
			words := strings.Fields(use)
			if err != nil || len(words) < 2 {
				return fmt.Errorf("%s=%s", name, value)
			}
			l.sections = append(l.sections, sectionUse{n, words[0], words[1:]})
		}
	case name == "Verdict":
		l.verdict = value
	case name == "Breaks":
		l.breaks = value
	default:
		return fmt.Errorf("unknown field %s", name)
	}
	return nil
}

// registerName returns one name for the 32 and the 64 bits of a register.
func registerName(name string) string {
	if strings.HasPrefix(name, "W") && name != "WZR" {
		return "X" + name[1:]
	}
	return name
}

// conditionToken is what a condition is made of.
var conditionToken = regexp.MustCompile(`/\\|\\/|[~()]|[A-Za-z0-9:_]+=-?[0-9]+`)

// parseCondition reads a condition: a or b, a and b, not a, and values of registers and
// memory.
func parseCondition(text string) (func(outcome) bool, error) {
	p := &conditionParser{tokens: conditionToken.FindAllString(text, -1)}
	f := p.either()
	if p.err == nil && len(p.tokens) > 0 {
		p.err = fmt.Errorf("%q is left of the condition", p.tokens)
	}
	return f, p.err
}

type conditionParser struct {
	tokens []string
	err    error
}

func (p *conditionParser) next() (token string) {
	if len(p.tokens) > 0 {
		token, p.tokens = p.tokens[0], p.tokens[1:]
	}
	return token
}

func (p *conditionParser) is(token string) bool {
	if len(p.tokens) == 0 || p.tokens[0] != token {
		return false
	}
	p.next()
	return true
}

func (p *conditionParser) either() func(outcome) bool {
	f := p.both()
	for p.is(`\/`) {
		a, b := f, p.both()
		f = func(o outcome) bool { return a(o) || b(o) }
	}
	return f
}

func (p *conditionParser) both() func(outcome) bool {
	f := p.single()
	for p.is(`/\`) {
		a, b := f, p.single()
		f = func(o outcome) bool { return a(o) && b(o) }
	}
	return f
}

func (p *conditionParser) single() func(outcome) bool {
	switch {
	case p.is("~"):
		f := p.single()
		return func(o outcome) bool { return !f(o) }
	case p.is("("):
		f := p.either()
		if !p.is(")") {
			p.err = fmt.Errorf("no ) in the condition")
		}
		return f
	}
	token := p.next()
	left, right, ok := strings.Cut(token, "=")
	want, err := strconv.Atoi(right)
	if !ok || err != nil {
		p.err = fmt.Errorf("%q in the condition", token)
		return func(outcome) bool { return false }
	}
	thread, register, ok := strings.Cut(left, ":")
	if !ok {
		return func(o outcome) bool { return o.memory[left] == want }
	}
	number, err := strconv.Atoi(thread)
	if err != nil {
		p.err = fmt.Errorf("%q in the condition", token)
	}
	register = registerName(register)
	return func(o outcome) bool { return o.registers[number][register] == want }
}
