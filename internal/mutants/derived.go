package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/vcpualloc/vcpualloc/internal/mutants/derive"
)

// outcome is what became of a derived mutant. It is a line of the file of results.
type outcome struct {
	Name    string  `json:"name"`
	Code    string  `json:"code"` // hash of the function's text
	Verdict verdict `json:"verdict"`
	By      string  `json:"by,omitempty"` // the test, or the reason why it is equal
	Seconds float64 `json:"seconds"`
	At      string  `json:"at"`
}

type verdict string

const (
	killed     verdict = "killed"
	alive      verdict = "alive"
	notCovered verdict = "not covered"
	equal      verdict = "equal"
)

// derived tries the mutants that are derived from the packages in folders.
func (r *runner) derived(ctx context.Context, folders []string) (left int, err error) {
	packages, count, err := derive.Load(r.root, folders)
	if err != nil {
		return 0, err
	}
	reasons, err := readReasons()
	if err != nil {
		return 0, err
	}
	chosen, err := r.chooseDerived(ctx, packages)
	if err != nil {
		return 0, err
	}
	if r.list {
		for _, m := range chosen {
			fmt.Printf("%s:%d\t%s\n", m.File, m.Line, m.Name)
		}
		return 0, nil
	}
	before, err := readResults(r.results)
	if err != nil {
		return 0, err
	}
	var todo []derive.Mutant
	var outcomes []outcome
	for _, m := range chosen {
		o, known := before[m.Name]
		reason, isEqual := reasons[m.Name]
		switch {
		case r.again && !known:
		case isEqual:
			outcomes = append(outcomes, outcome{Name: m.Name, Verdict: equal, By: reason, At: place{m.File, m.Line}.String()})
		case known && o.Code == m.Code && (o.Verdict == killed || !r.again):
			o.At = place{m.File, m.Line}.String()
			outcomes = append(outcomes, o)
		default:
			todo = append(todo, m)
		}
	}
	r.count = len(todo)
	r.progress("%d mutants, %d of them equal or tried before", len(chosen), len(outcomes))
	if len(todo) > 0 {
		tried, err := r.tryDerived(ctx, packages, todo, count)
		if err != nil {
			return 0, err
		}
		outcomes = append(outcomes, tried...)
	}
	return reportDerived(outcomes, time.Since(r.began)), ctx.Err()
}

// chooseDerived returns the mutants that the options select.
func (r *runner) chooseDerived(ctx context.Context, packages []*derive.Package) (chosen []derive.Mutant, err error) {
	changed := func(derive.Mutant) bool { return true }
	if r.changed != "" {
		if changed, err = changedSince(ctx, r.root, r.changed); err != nil {
			return nil, err
		}
	}
	var index, of int
	if r.shard != "" {
		if _, err := fmt.Sscanf(r.shard, "%d/%d", &index, &of); err != nil || index < 1 || index > of {
			return nil, fmt.Errorf("-shard %s: not of the form 1/4", r.shard)
		}
	}
	for _, p := range packages {
		for _, m := range p.Mutants {
			id := place{m.File, m.Line}.String() + " " + m.Name
			if r.match.MatchString(id) && !r.skip.MatchString(id) && changed(m) {
				chosen = append(chosen, m)
			}
		}
	}
	if of > 0 {
		// By the name, so that a mutant stays in its shard when others come or go.
		chosen = slices.DeleteFunc(chosen, func(m derive.Mutant) bool {
			hash := fnv.New32a()
			hash.Write([]byte(m.Name))
			return int(hash.Sum32()%uint32(of)) != index-1
		})
	}
	if len(chosen) == 0 && r.changed == "" {
		return nil, errors.New("no mutant is selected; -list prints them")
	}
	return chosen, nil
}

var hunkForm = regexp.MustCompile(`^@@ -\S+ \+(\d+)(?:,(\d+))? @@`)

// changedSince returns whether a mutant is on lines that were changed since a revision.
func changedSince(ctx context.Context, root, revision string) (func(derive.Mutant) bool, error) {
	command := exec.CommandContext(ctx, "git", "diff", "-U0", "--no-color", "--relative", revision, "--", ".")
	command.Dir = root
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("git diff %s: %w", revision, err)
	}
	type lines struct{ first, last int }
	changes := make(map[string][]lines)
	file := ""
	for _, line := range strings.Split(string(output), "\n") {
		if name, ok := strings.CutPrefix(line, "+++ b/"); ok {
			file = name
		} else if match := hunkForm.FindStringSubmatch(line); match != nil {
			first, _ := strconv.Atoi(match[1])
			count := 1
			if match[2] != "" {
				count, _ = strconv.Atoi(match[2])
			}
			changes[file] = append(changes[file], lines{first, first + count - 1})
		}
	}
	return func(m derive.Mutant) bool {
		return slices.ContainsFunc(changes[m.File], func(l lines) bool { return m.Line <= l.last && l.first <= m.End })
	}, nil
}

// tryDerived builds the programs and tries the mutants.
func (r *runner) tryDerived(ctx context.Context, packages []*derive.Package, todo []derive.Mutant, count int) ([]outcome, error) {
	texts := make(map[string]string)
	for _, p := range packages {
		for file, text := range p.Texts {
			texts[file] = text
		}
		file, text := p.Switch(count)
		texts[file] = text
	}
	overlay, err := writeOverlay(r.folder, r.root, texts)
	if err != nil {
		return nil, err
	}
	results, err := openResults(r.results)
	if err != nil {
		return nil, err
	}
	defer results.close()
	outcomes := make([]outcome, len(todo))
	for row := range 2 {
		if row == 1 && (r.named || r.quick) {
			break
		}
		programs, err := r.programs(ctx, packages, row, todo, outcomes, overlay, count)
		if err != nil {
			return nil, err
		}
		err = r.parallelly(len(todo), func(i int) error {
			o := &outcomes[i]
			if ctx.Err() != nil || o.Verdict == killed {
				return ctx.Err()
			}
			if err := r.tryOne(ctx, todo[i], programs[path.Dir(todo[i].File)], o); err != nil {
				return err
			}
			r.tellDerived(row, i, *o)
			if row == 1 || r.named || r.quick || o.Verdict == killed {
				return results.add(*o)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// programs builds and profiles what a row of derivedRuns names for the mutants that
// are not dead.
func (r *runner) programs(ctx context.Context, packages []*derive.Package, row int, todo []derive.Mutant, outcomes []outcome, overlay string, count int) (map[string][]*program, error) {
	built := make(map[string]*program)
	programs := make(map[string][]*program)
	for _, p := range packages {
		if !slices.ContainsFunc(todo, func(m derive.Mutant) bool { return path.Dir(m.File) == p.Folder }) {
			continue
		}
		if row == 1 && !slices.ContainsFunc(outcomes, func(o outcome) bool { return o.Verdict != killed && strings.HasPrefix(o.At, p.Folder+"/") }) {
			continue
		}
		names, ok := derivedRuns[p.Folder]
		if !ok {
			names = [2][]string{{p.Folder}, nil}
		}
		for _, name := range names[row] {
			if built[name] == nil {
				k, ok := killers[name]
				if !ok {
					k = killer{folder: name}
				}
				built[name] = &program{killer: k, name: strings.ReplaceAll(name, "/", "_"), root: r.root, kills: make(map[string]int)}
				r.progress("%s is built", name)
				if err := built[name].build(ctx, overlay, r.folder); err != nil {
					return nil, err
				}
				if err := built[name].profile(ctx, r, count); err != nil {
					return nil, err
				}
			}
			programs[p.Folder] = append(programs[p.Folder], built[name])
		}
	}
	return programs, nil
}

// tryOne tries one mutant with all programs and adds to what became of it.
func (r *runner) tryOne(ctx context.Context, m derive.Mutant, programs []*program, o *outcome) error {
	began := time.Now()
	if o.Verdict == "" {
		*o = outcome{Name: m.Name, Code: m.Code, Verdict: notCovered, At: place{m.File, m.Line}.String()}
	}
	reach := stages
	if r.quick {
		reach = stages[:quickStages]
	}
	defer func() { o.Seconds += time.Since(began).Seconds() }()
	for _, p := range programs {
		reached, end, err := p.hunt(ctx, reach, m.ID, m.Hit)
		switch {
		case err != nil:
			return err
		case end.killed:
			o.Verdict, o.By = killed, end.by+" in "+p.name
			return nil
		case reached:
			o.Verdict = alive
		}
	}
	return nil
}

func (r *runner) tellDerived(row, index int, o outcome) {
	if r.verbose || o.Verdict != killed {
		r.progress("%d of %d, row %d  %s  %s: %s %s", index+1, r.count, row+1, o.At, o.Name, o.Verdict, o.By)
	}
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// resultFile is where outcomes are added, so that a run that was ended goes on there.
type resultFile struct {
	mu   sync.Mutex
	file *os.File
}

func openResults(name string) (*resultFile, error) {
	if name == "" {
		return &resultFile{}, nil
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return &resultFile{file: file}, err
}

func (f *resultFile) add(o outcome) error {
	if f.file == nil {
		return nil
	}
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err = f.file.Write(append(line, '\n'))
	return err
}

func (f *resultFile) close() {
	if f.file != nil {
		f.file.Close()
	}
}

// readResults returns the last outcome of each mutant in a file of results.
func readResults(name string) (map[string]outcome, error) {
	found := make(map[string]outcome)
	if name == "" {
		return found, nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return found, nil
	} else if err != nil {
		return nil, err
	}
	for scanner := bufio.NewScanner(bytes.NewReader(text)); scanner.Scan(); {
		var o outcome
		if err := json.Unmarshal(scanner.Bytes(), &o); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found[o.Name] = o
	}
	return found, nil
}

// reportDerived prints what is not dead, and the figures of each file. It returns how
// many mutants are neither dead nor equal.
func reportDerived(outcomes []outcome, took time.Duration) (left int) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	figures := make(map[string]map[verdict]int)
	for _, o := range outcomes {
		file, _, _ := strings.Cut(o.At, ":")
		for _, key := range []string{file, path.Dir(file) + " (all)"} {
			if figures[key] == nil {
				figures[key] = make(map[verdict]int)
			}
			figures[key][o.Verdict]++
		}
		if o.Verdict == alive || o.Verdict == notCovered {
			left++
			fmt.Fprintf(table, "%s\t%s\t%s\n", o.Verdict, o.At, o.Name)
		}
	}
	table.Flush()
	var files []string
	for file := range figures {
		files = append(files, file)
	}
	slices.Sort(files)
	table = tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\nfile\tkilled\talive\tnot covered\tequal\tkilled of those not equal\t")
	for _, file := range files {
		f := figures[file]
		share := 100 * float64(f[killed]) / float64(max(1, f[killed]+f[alive]+f[notCovered]))
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%.1f %%\t\n", file, f[killed], f[alive], f[notCovered], f[equal], share)
	}
	table.Flush()
	fmt.Printf("\n%d mutants, %d alive or not covered, %.0f s\n", len(outcomes), left, took.Seconds())
	return left
}
