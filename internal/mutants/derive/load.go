package derive

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
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
)

// Mutant is one change of one place.
type Mutant struct {
	// Name tells it from all others and survives moved lines: folder, function,
	// source text, change, and a number where these are the same.
	Name string
	File string // from the root of the module
	Line int    // of the place
	End  int    // last line of the place
	ID   int    // that switches it on
	Hit  int    // byte of the file of hits that is set where the place is reached
	Code string // hash of the function's text
}

// Package is a package with all of its mutants.
type Package struct {
	Folder  string // from the root of the module
	Mutants []Mutant
	Texts   map[string]string // rewritten files by their path from the root, without the switch
	name    string
}

// Switch is where the code of the switch goes, and that code; count is more than
// every ID of the program.
func (p *Package) Switch(count int) (file, text string) {
	text = strings.ReplaceAll(switchText, "PACKAGE", p.name)
	return p.Folder + "/zmutantswitch.go", strings.ReplaceAll(text, "COUNT", strconv.Itoa(count))
}

//go:embed switch.go.txt
var switchText string

// listed is what the go command says of a package.
type listed struct {
	ImportPath string
	Dir        string
	Export     string
	GoFiles    []string
	CgoFiles   []string
}

// list returns the files with what the packages in folders and those that they import
// export, and the packages by their folder.
func list(root string, folders []string) (exports map[string]string, sources map[string]listed, err error) {
	command := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,CgoFiles")
	for _, folder := range folders {
		command.Args = append(command.Args, "./"+folder)
	}
	command.Dir = root
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	var problem bytes.Buffer
	command.Stderr = &problem
	output, err := command.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("go list: %w\n%s", err, problem.Bytes())
	}
	exports, sources = make(map[string]string), make(map[string]listed)
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var l listed
		if err := decoder.Decode(&l); errors.Is(err, io.EOF) {
			return exports, sources, nil
		} else if err != nil {
			return nil, nil, fmt.Errorf("go list: %w", err)
		}
		exports[l.ImportPath] = l.Export
		sources[l.Dir] = l
	}
}

// Load derives the mutants of the packages in folders of the module at root. IDs begin
// at 1; count is more than the last.
func Load(root string, folders []string) (packages []*Package, count int, err error) {
	exports, sources, err := list(root, folders)
	if err != nil {
		return nil, 0, err
	}
	count = 1
	for _, folder := range folders {
		l, ok := sources[filepath.Join(root, folder)]
		if !ok || len(l.CgoFiles) > 0 {
			return nil, 0, fmt.Errorf("%s: no package without cgo", folder)
		}
		p, err := load(root, folder, l, exports, &count)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", folder, err)
		}
		packages = append(packages, p)
	}
	return packages, count, nil
}

// load derives the mutants of one package and counts their IDs on.
func load(root, folder string, l listed, exports map[string]string, count *int) (*Package, error) {
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range l.GoFiles {
		file, err := parser.ParseFile(set, filepath.Join(l.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	config := types.Config{Importer: importer.ForCompiler(set, "gc", lookup)}
	info := &types.Info{
		Types: make(map[ast.Expr]types.TypeAndValue),
		Uses:  make(map[*ast.Ident]types.Object),
		Defs:  make(map[*ast.Ident]types.Object),
	}
	checked, err := config.Check(l.ImportPath, set, files, info)
	if err != nil {
		return nil, err
	}
	p := &Package{Folder: folder, Texts: make(map[string]string), name: files[0].Name.Name}
	names := make(map[string]int)
	for i, file := range files {
		if ast.IsGenerated(file) || l.GoFiles[i] == "invariants.go" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(l.Dir, l.GoFiles[i]))
		if err != nil {
			return nil, err
		}
		d := &deriver{
			set: set, info: info, of: checked, file: file, source: text,
			path: folder + "/" + l.GoFiles[i], folder: folder, next: *count, names: names,
			imports: make(map[string]string), roles: make(map[ast.Node]role), edits: newEdits(),
		}
		d.walk()
		p.Mutants = append(p.Mutants, d.mutants...)
		p.Texts[d.path] = d.text()
		*count = d.next
	}
	return p, nil
}
