package derive

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMutantsDiffer runs a program that has a place for each operator with each of its
// mutants: without one it prints what the sources say, with one it does something else.
func TestMutantsDiffer(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("testdata", "sample"))
	if err != nil {
		t.Fatal(err)
	}
	packages, count, err := Load(root, []string{"."})
	if err != nil {
		t.Fatal(err)
	}
	program := buildMutants(t, root, packages[0], count)
	original := exec.Command("go", "run", "-C", root, ".")
	original.Env = append(os.Environ(), "GOWORK=off")
	plain, err := original.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := runMutant(t, program, 0); got != string(plain) {
		t.Fatalf("without a mutant the program prints\n%s\nand its sources print\n%s", got, plain)
	}
	seen := make(map[string]bool)
	for _, m := range packages[0].Mutants {
		if seen[m.Name] {
			t.Errorf("%s is there twice", m.Name)
		}
		seen[m.Name] = true
		if strings.HasPrefix(m.Name, ". main:") {
			continue // it calls the others with arguments that only show their mutants
		}
		if runMutant(t, program, m.ID) == string(plain) {
			t.Errorf("%s changes nothing", m.Name)
		}
	}
	for _, name := range []string{
		". half: n%2 != 0: negated",
		". half: return n / 2, nil: result 1 to zero",
		". passOn: return half(n): result 2 to zero",
		". isBetween: n >= low: >= to >",
		". isBetween: n >= low && n < high: && to ||",
		". kind: case 3: left out",
		". weigh: weight += n: left out",
		". weigh: weight--: left out",
		". weigh: weight += 3: left out",
		". clamp: min(n, high): min to max",
		". clamp: min(n, high): without n",
		". sum: break: break to continue",
		". sum: continue: left out",
		". sum: total += list[i]: += to -=",
		". join: for _, s := range list: backwards",
		". join: for _, s := range list: at most one round",
		". bits: n &^ 6: &^ to &",
		". rounds: n*share: share to doubled",
		". (*counter).add: c.n += n: left out",
		". more: append(list, x): without elements",
	} {
		if !seen[name] {
			t.Errorf("there is no mutant %q", name)
		}
	}
	for name := range seen {
		if strings.Contains(name, "String:") {
			t.Errorf("%s is one of text", name)
		}
	}
}

// buildMutants builds the program of a package with all mutants in it.
func buildMutants(t *testing.T, root string, p *Package, count int) string {
	t.Helper()
	folder := t.TempDir()
	replace := make(map[string]string)
	file, text := p.Switch(count)
	p.Texts[file] = text
	for file, text := range p.Texts {
		name := filepath.Join(folder, filepath.Base(file))
		replace[filepath.Join(root, file)] = name
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay, program := filepath.Join(folder, "overlay.json"), filepath.Join(folder, "program")
	if err := os.WriteFile(overlay, content, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-C", root, "-overlay="+overlay, "-o", program, ".")
	build.Env = append(os.Environ(), "GOWORK=off")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return program
}

// runMutant returns what the program prints with a mutant, and how it ends. Some mutants run
// forever; one that is ended too early differs all the same.
func runMutant(t *testing.T, program string, id int) string {
	t.Helper()
	limit := 300 * time.Millisecond
	if id == 0 {
		limit = time.Minute
	}
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	command := exec.CommandContext(ctx, program)
	command.Env = append(os.Environ(), "VCPUALLOC_MUTANT="+strconv.Itoa(id), "GOMEMLIMIT=256MiB")
	output, err := command.Output()
	if err != nil {
		return string(output) + err.Error()
	}
	return string(output)
}

// TestRewrittenTextsCheck type-checks what the core's packages are rewritten to.
func TestRewrittenTextsCheck(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	folders := []string{"arena", "alloc"}
	exports, sources, err := list(root, folders)
	if err != nil {
		t.Fatal(err)
	}
	packages, count, err := Load(root, folders)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		file, text := p.Switch(count)
		p.Texts[file] = text
		l := sources[filepath.Join(root, p.Folder)]
		set := token.NewFileSet()
		var files []*ast.File
		for _, name := range append(l.GoFiles, filepath.Base(file)) {
			var content any
			if text, ok := p.Texts[p.Folder+"/"+name]; ok {
				content = text
			}
			parsed, err := parser.ParseFile(set, filepath.Join(l.Dir, name), content, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, parsed)
		}
		lookup := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
		config := types.Config{Importer: importer.ForCompiler(set, "gc", lookup), Error: func(err error) {
			// The switch imports packages that the package does not.
			if !strings.Contains(err.Error(), filepath.Base(file)) {
				t.Error(err)
			}
		}}
		config.Check(l.ImportPath, set, files, nil)
		if len(p.Mutants) < 1000 {
			t.Errorf("%s has only %d mutants", p.Folder, len(p.Mutants))
		}
	}
}
