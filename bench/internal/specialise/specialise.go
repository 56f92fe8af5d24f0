// Package specialise writes the generic loops of a package out for each heap
// type, as methods with direct calls.
//
// Of the package in a directory it takes every function, outside tests, of the form
// func f[H heap](h H, …) and every type that has a method alloc, and writes f
// once per type as the method func (h T) f(…), with the same body, and an
// interface loops that has all of them. The functions of another constraint are
// written out for the types that have the method by which it is known, and have
// an interface of their own (see constraints). Types of test files are written
// out into a test file.
//
// A type that has a method enter, which returns a value of it, has it called at
// the start of each loop: that is where it finds what is the goroutine's own.
package specialise

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
)

const (
	// Output, TestOutput and TaggedOutput are the files written; the last one is
	// for the types of files with a build constraint, of which there is one.
	Output       = "zloops.go"
	TestOutput   = "zloops_test.go"
	TaggedOutput = "zloops_tagged.go"
)

// constraint is a kind of heap: its name in type parameters, the method by
// which a type is known to be one, and the interface of its loops.
type constraint struct{ name, mark, loops string }

var constraints = []constraint{
	{"heap", "alloc", "loops"},
	{"fullHeap", "realloc", "fullLoops"},
	{"manyHeap", "allocMany", "manyLoops"},
	{"droppingHeap", "drop", "droppingLoops"},
	{"boundHeap", "tryAlloc", "boundLoops"},
}

// Write writes the files for the package in dir.
func Write(dir string) error {
	files, err := Files(dir)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return fmt.Errorf("specialise: %w", err)
		}
	}
	return nil
}

// source is what is found in the package.
type source struct {
	set     *token.FileSet
	name    string
	imports map[string]bool // of the files that hold loops

	// By the constraint's name.
	loops                         map[string][]*ast.FuncDecl
	heaps, testHeaps, taggedHeaps map[string][]string

	entering map[string]bool // types that have a method enter

	tag string // the line of the build constraint
}

// Files returns the texts that belong into dir, by file name.
func Files(dir string) (map[string][]byte, error) {
	found, err := read(dir)
	if err != nil {
		return nil, err
	}
	if len(found.loops) == 0 || len(found.heaps) == 0 {
		return nil, fmt.Errorf("specialise: %s has no loops or no heap types", dir)
	}
	files := map[string][]byte{}
	for name, heaps := range map[string]map[string][]string{
		Output: found.heaps, TestOutput: found.testHeaps, TaggedOutput: found.taggedHeaps,
	} {
		if len(heaps) == 0 {
			continue
		}
		if files[name], err = found.print(heaps, name == Output); err != nil {
			return nil, fmt.Errorf("specialise: %s: %w", name, err)
		}
		if name == TaggedOutput {
			files[name] = append([]byte(found.tag+"\n\n"), files[name]...)
		}
	}
	return files, nil
}

func read(dir string) (*source, error) {
	found := &source{
		set: token.NewFileSet(), imports: map[string]bool{}, loops: map[string][]*ast.FuncDecl{},
		heaps: map[string][]string{}, testHeaps: map[string][]string{}, taggedHeaps: map[string][]string{},
		entering: map[string]bool{},
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("specialise: %w", err)
	}
	sort.Strings(paths)
	for _, path := range paths {
		base := filepath.Base(path)
		if base == Output || base == TestOutput || base == TaggedOutput {
			continue
		}
		file, err := parser.ParseFile(found.set, path, nil, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("specialise: %w", err)
		}
		if file.Name.Name == "main" {
			continue // the generator itself
		}
		heaps := found.heaps
		if line := buildLine(file); strings.HasSuffix(base, "_test.go") {
			heaps = found.testHeaps
		} else if line != "" && hasHeap(file) {
			found.tag, heaps = line, found.taggedHeaps
		}
		found.add(file, heaps)
	}
	return found, nil
}

// buildLine returns the build constraint of a file, or nothing.
func buildLine(file *ast.File) string {
	for _, group := range file.Comments {
		if group.Pos() < file.Package && strings.HasPrefix(group.List[0].Text, "//go:build ") {
			return group.List[0].Text
		}
	}
	return ""
}

// hasHeap reports whether a file declares the methods of a heap.
func hasHeap(file *ast.File) bool {
	return slices.ContainsFunc(file.Decls, func(declaration ast.Decl) bool {
		function, ok := declaration.(*ast.FuncDecl)
		return ok && function.Recv != nil && function.Name.Name == constraints[0].mark
	})
}

// add takes the loops of a file, and puts its types into heaps.
func (s *source) add(file *ast.File, heaps map[string][]string) {
	for _, declaration := range file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if name := constraintOf(function); name != "" {
			s.name = file.Name.Name
			s.loops[name] = append(s.loops[name], function)
			for _, spec := range file.Imports {
				s.imports[spec.Path.Value] = true
			}
		}
		if function.Recv != nil && function.Name.Name == "enter" {
			s.entering[receiver(function)] = true
		}
		for _, c := range constraints {
			if function.Recv == nil || function.Name.Name != c.mark {
				continue
			}
			heaps[c.name] = append(heaps[c.name], receiver(function))
		}
	}
}

// constraintOf returns the name of the constraint that makes a function a loop,
// or nothing.
func constraintOf(function *ast.FuncDecl) string {
	parameters := function.Type.TypeParams
	if function.Recv != nil || parameters == nil || len(parameters.List) != 1 {
		return ""
	}
	name, ok := parameters.List[0].Type.(*ast.Ident)
	if !ok || !slices.ContainsFunc(constraints, func(c constraint) bool { return c.name == name.Name }) {
		return ""
	}
	return name.Name
}

func receiver(function *ast.FuncDecl) string {
	switch of := function.Recv.List[0].Type.(type) {
	case *ast.Ident:
		return of.Name
	case *ast.StarExpr:
		return "*" + of.X.(*ast.Ident).Name
	}
	return ""
}

func (s *source) print(heaps map[string][]string, withInterfaces bool) ([]byte, error) {
	var body bytes.Buffer
	for _, c := range constraints {
		if withInterfaces {
			if err := s.printInterface(&body, c); err != nil {
				return nil, err
			}
		}
		for _, heap := range heaps[c.name] {
			for _, loop := range s.loops[c.name] {
				method, err := s.method(heap, loop)
				if err != nil {
					return nil, err
				}
				fmt.Fprintf(&body, "%s\n\n", method)
			}
		}
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "// Code generated by specialise from the loops; DO NOT EDIT.\n\npackage %s\n\n", s.name)
	imports := []string{}
	for path := range s.imports {
		// A package that only interfaces or only bodies need is not imported by
		// the file without them.
		name := strings.Trim(path[strings.LastIndexByte(path, '/')+1:], `"`)
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).Match(body.Bytes()) {
			imports = append(imports, path)
		}
	}
	sort.Strings(imports)
	fmt.Fprintf(&text, "import (\n%s\n)\n\n%s", strings.Join(imports, "\n"), &body)
	return format.Source(text.Bytes())
}

func (s *source) printInterface(to *bytes.Buffer, c constraint) error {
	fmt.Fprintf(to, "// %s is what a shape calls: the loops of one %s.\ntype %s interface {\n%s\n", c.loops, c.name, c.loops, c.name)
	for _, loop := range s.loops[c.name] {
		signature, err := s.source(withoutHeap(loop.Type))
		if err != nil {
			return err
		}
		fmt.Fprintf(to, "%s%s\n", loop.Name.Name, strings.TrimPrefix(signature, "func"))
	}
	fmt.Fprintf(to, "}\n\n")
	return nil
}

func (s *source) method(heap string, loop *ast.FuncDecl) (string, error) {
	names := loop.Type.Params.List[0].Names
	s.makeDirect(loop, names[0].Name)
	method := &ast.FuncDecl{Name: loop.Name, Type: withoutHeap(loop.Type), Body: loop.Body}
	method.Recv = &ast.FieldList{List: []*ast.Field{{Names: names, Type: ast.NewIdent(heap)}}}
	text, err := s.source(method)
	if s.entering[heap] {
		name := names[0].Name
		text = strings.Replace(text, "{\n", fmt.Sprintf("{\n%s = %s.enter()\n", name, name), 1)
	}
	return text, err
}

// makeDirect turns the calls of other loops, f(h, …), into calls of methods,
// h.f(…): the generic functions would call the heap through a dictionary.
func (s *source) makeDirect(loop *ast.FuncDecl, heap string) {
	ast.Inspect(loop.Body, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		function, ok := call.Fun.(*ast.Ident)
		first, isName := call.Args[0].(*ast.Ident)
		if ok && isName && first.Name == heap && s.isLoop(function.Name) {
			call.Fun = &ast.SelectorExpr{X: first, Sel: function}
			call.Args = call.Args[1:]
		}
		return true
	})
}

func (s *source) isLoop(name string) bool {
	for _, loops := range s.loops {
		if slices.ContainsFunc(loops, func(loop *ast.FuncDecl) bool { return loop.Name.Name == name }) {
			return true
		}
	}
	return false
}

func (s *source) source(node any) (string, error) {
	var text bytes.Buffer
	err := format.Node(&text, s.set, node)
	return text.String(), err
}

// withoutHeap is the type of a loop without its type parameter and without its
// first parameter.
func withoutHeap(of *ast.FuncType) *ast.FuncType {
	parameters := *of.Params
	parameters.List = parameters.List[1:]
	return &ast.FuncType{Params: &parameters, Results: of.Results}
}
