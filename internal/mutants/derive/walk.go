package derive

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"sort"
	"strconv"
	"strings"
)

// role is what a parent says of a node.
type role uint8

const (
	roleLeftAlone role = 1 << iota // no mutants here or below
	roleCondition                  // decides a branch
	roleAnd                        // operand of &&
	roleOr                         // operand of ||
	roleListed                     // a statement of a list: it may be wrapped
	roleValue                      // a value that is passed, stored or returned
)

// deriver derives the mutants of one file.
type deriver struct {
	set    *token.FileSet
	info   *types.Info
	of     *types.Package
	file   *ast.File
	source []byte

	path, folder string
	next         int
	names        map[string]int
	imports      map[string]string // local names of packages that the file does not import, by path
	roles        map[ast.Node]role
	edits        *edits
	mutants      []Mutant

	function string // name of the current one
	code     string // hash of its text
	parents  []ast.Node
	results  []*types.Tuple // of the functions around the current node
}

// walk visits the file.
func (d *deriver) walk() {
	for _, declaration := range d.file.Decls {
		switch declaration := declaration.(type) {
		case *ast.FuncDecl:
			d.visitFunction(declaration)
		case *ast.GenDecl:
			if declaration.Tok == token.VAR {
				d.function, d.code = "var", d.hash(declaration)
				d.inspect(declaration)
			}
		}
	}
}

func (d *deriver) visitFunction(f *ast.FuncDecl) {
	if f.Body == nil {
		return
	}
	switch f.Name.Name {
	case "String", "GoString", "Error", "Format":
		return
	}
	d.function = f.Name.Name
	if f.Recv != nil {
		receiver := f.Recv.List[0].Type
		star := ""
		if pointer, ok := receiver.(*ast.StarExpr); ok {
			star, receiver = "*", pointer.X
		}
		if generic, ok := receiver.(*ast.IndexExpr); ok {
			receiver = generic.X
		}
		d.function = fmt.Sprintf("(%s%s).%s", star, d.textOf(receiver), f.Name.Name)
	}
	d.code = d.hash(f)
	d.results = []*types.Tuple{d.info.Defs[f.Name].Type().(*types.Signature).Results()}
	d.inspect(f.Body)
	d.results = nil
}

func (d *deriver) hash(n ast.Node) string {
	sum := sha256.Sum256([]byte(d.textOf(n)))
	return hex.EncodeToString(sum[:8])
}

// inspect visits a node and those below, parents first.
func (d *deriver) inspect(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		if n == nil {
			top := d.parents[len(d.parents)-1]
			if _, ok := top.(*ast.FuncLit); ok {
				d.results = d.results[:len(d.results)-1]
			}
			d.parents = d.parents[:len(d.parents)-1]
			return false
		}
		if d.roles[n]&roleLeftAlone != 0 || !d.visit(n) {
			return false
		}
		if f, ok := n.(*ast.FuncLit); ok {
			d.results = append(d.results, d.info.Types[f].Type.(*types.Signature).Results())
		}
		d.parents = append(d.parents, n)
		return true
	})
}

// visit makes the mutants of one node and reports whether to go below.
func (d *deriver) visit(n ast.Node) bool {
	switch n := n.(type) {
	case ast.Expr:
		return d.expression(n)
	case ast.Stmt:
		return d.statement(n)
	case *ast.GenDecl:
		return n.Tok == token.VAR
	}
	return true
}

func (d *deriver) mark(n ast.Node, r role) {
	if n != nil {
		d.roles[n] |= r
	}
}

func (d *deriver) listed(list []ast.Stmt) {
	for _, s := range list {
		d.mark(s, roleListed)
	}
}

// place takes numbers for a place with so many changes.
func (d *deriver) place(changes int) (first int) {
	first = d.next
	d.next += changes
	return first
}

// add adds the mutant that a number of a place switches on. context is what the name
// quotes.
func (d *deriver) add(at ast.Node, context ast.Node, first, offset int, format string, arguments ...any) {
	text := strings.Join(strings.Fields(string(d.bytesOf(context))), " ")
	if runes := []rune(text); len(runes) > 72 {
		text = string(runes[:72]) + "..."
	}
	name := fmt.Sprintf("%s %s: %s: %s", d.folder, d.function, text, fmt.Sprintf(format, arguments...))
	d.names[name]++
	if count := d.names[name]; count > 1 {
		name += fmt.Sprintf(" #%d", count)
	}
	d.mutants = append(d.mutants, Mutant{
		Name: name, File: d.path, Code: d.code, ID: first + offset, Hit: first,
		Line: d.set.Position(at.Pos()).Line, End: d.set.Position(at.End()).Line,
	})
}

func (d *deriver) offset(p token.Pos) int          { return d.set.Position(p).Offset }
func (d *deriver) bytesOf(n ast.Node) []byte       { return d.source[d.offset(n.Pos()):d.offset(n.End())] }
func (d *deriver) textOf(n ast.Node) string        { return string(d.bytesOf(n)) }
func (d *deriver) wrap(n ast.Node, a, b string)    { d.openAt(n.Pos(), a); d.closeAt(n.End(), b) }
func (d *deriver) openAt(p token.Pos, text string) { d.edits.open(d.offset(p), text) }
func (d *deriver) closeAt(p token.Pos, text string) {
	d.edits.close(d.offset(p), text)
}
func (d *deriver) parent() ast.Node { return d.parents[len(d.parents)-1] }

// call wraps an expression into a call of a function of the switch.
func (d *deriver) call(n ast.Node, function string, k int) {
	d.wrap(n, fmt.Sprintf("%s(%d, ", function, k), ")")
}

// typeName returns the name of a type in this file, or false where it has none.
func (d *deriver) typeName(t types.Type) (name string, ok bool) {
	ok = true
	name = types.TypeString(t, func(p *types.Package) string {
		if p == d.of {
			return ""
		}
		for _, spec := range d.file.Imports {
			if path, _ := strconv.Unquote(spec.Path.Value); path == p.Path() {
				if spec.Name != nil {
					return spec.Name.Name
				}
				return p.Name()
			}
		}
		local := "mutant_" + p.Name()
		d.imports[p.Path()] = local
		return local
	})
	if named, isNamed := types.Unalias(t).(*types.Named); isNamed {
		object := named.Obj()
		ok = object.Pkg() == nil || object.Pkg() == d.of || object.Exported()
	}
	if basic, isBasic := t.(*types.Basic); isBasic && basic.Info()&types.IsUntyped != 0 {
		ok = false
	}
	return name, ok
}

// text returns the rewritten file.
func (d *deriver) text() string {
	if len(d.imports) > 0 {
		var lines []string
		for path, name := range d.imports {
			lines = append(lines, fmt.Sprintf("; import %s %q", name, path))
		}
		sort.Strings(lines)
		d.closeAt(d.file.Name.End(), strings.Join(lines, ""))
	}
	return d.edits.apply(d.source)
}

// constantOf returns the value of a constant expression, or nil.
func (d *deriver) constantOf(e ast.Expr) constant.Value { return d.info.Types[e].Value }

func (d *deriver) typeOf(e ast.Expr) types.Type { return d.info.TypeOf(e) }

// basic returns what kind of basic type an expression has, 0 for others.
func (d *deriver) basic(e ast.Expr) types.BasicInfo {
	if t := d.typeOf(e); t != nil {
		if basic, ok := t.Underlying().(*types.Basic); ok {
			return basic.Info()
		}
	}
	return 0
}

// isPure reports whether an expression can be evaluated once more without effect.
func (d *deriver) isPure(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident, *ast.BasicLit:
		return true
	case *ast.ParenExpr:
		return d.isPure(e.X)
	case *ast.SelectorExpr:
		return d.isPure(e.X)
	case *ast.UnaryExpr:
		return e.Op != token.ARROW && d.isPure(e.X)
	case *ast.BinaryExpr:
		return e.Op != token.QUO && e.Op != token.REM && d.isPure(e.X) && d.isPure(e.Y)
	}
	return false
}

func unparen(e ast.Expr) ast.Expr { return ast.Unparen(e) }
