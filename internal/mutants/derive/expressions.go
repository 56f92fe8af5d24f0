package derive

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"math/big"
)

// expression makes the mutants of an expression.
func (d *deriver) expression(e ast.Expr) bool {
	tv := d.info.Types[e]
	if tv.IsType() {
		return false
	}
	if tv.Value != nil {
		d.constant(e, tv)
		return false
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		d.mark(e.X, d.roles[e])
		return true
	case *ast.FuncLit:
		d.mark(e.Type, roleLeftAlone)
	case *ast.CompositeLit:
		d.composite(e)
	case *ast.SelectorExpr:
		d.mark(e.Sel, roleLeftAlone)
	case *ast.IndexExpr:
		d.mark(e.Index, roleValue)
	}
	d.boolean(e)
	switch e := e.(type) {
	case *ast.BinaryExpr:
		d.binary(e)
	case *ast.UnaryExpr:
		if function := map[token.Token]string{token.SUB: "mutantNeg", token.XOR: "mutantInvert"}[e.Op]; function != "" {
			k := d.place(1)
			d.call(e.X, function, k)
			d.edits.replace(d.offset(e.OpPos), 1, "")
			d.add(e, e, k, 0, "%s left out", e.Op)
		}
	case *ast.CallExpr:
		return d.callExpression(e)
	}
	return true
}

// boolean makes the mutants of conditions and of operands of && and ||, and negates
// other boolean values.
func (d *deriver) boolean(e ast.Expr) {
	r := d.roles[e]
	if d.basic(e)&types.IsBoolean == 0 || r&(roleCondition|roleAnd|roleOr|roleValue) == 0 {
		return
	}
	if _, paren := e.(*ast.ParenExpr); paren {
		return
	}
	inner, _ := e.(*ast.BinaryExpr)
	compound := inner != nil && (inner.Op == token.LAND || inner.Op == token.LOR)
	k := d.place(3)
	d.call(e, "mutantBool", k)
	if !compound || r&(roleCondition|roleValue) != 0 {
		d.add(e, e, k, 0, "negated")
	}
	// An operand of && that is false makes the condition false, which is a mutant of that.
	if r&(roleCondition|roleAnd) != 0 {
		d.add(e, e, k, 1, "true")
	}
	if r&(roleCondition|roleOr) != 0 {
		d.add(e, e, k, 2, "false")
	}
}

// arithmetic is the function and the other operator of each operator.
var arithmetic = map[token.Token]struct {
	function string
	other    token.Token
}{
	token.ADD: {"mutantAdd", token.SUB}, token.SUB: {"mutantSub", token.ADD},
	token.MUL: {"mutantMul", token.QUO}, token.QUO: {"mutantQuo", token.MUL},
	token.REM: {"mutantRem", token.QUO},
	token.SHL: {"mutantShl", token.SHR}, token.SHR: {"mutantShr", token.SHL},
	token.AND: {"mutantAnd", token.OR}, token.OR: {"mutantOr", token.AND},
	token.XOR: {"mutantXor", token.AND}, token.AND_NOT: {"mutantAndNot", token.AND},
}

// comparisons likewise: the one that differs where the operands are equal, and the one
// that differs elsewhere.
var comparisons = map[token.Token]struct {
	function      string
	boundary, far token.Token
}{
	token.LSS: {"mutantLess", token.LEQ, token.GTR},
	token.LEQ: {"mutantLessEqual", token.LSS, token.GEQ},
	token.GTR: {"mutantGreater", token.GEQ, token.LSS},
	token.GEQ: {"mutantGreaterEqual", token.GTR, token.LEQ},
}

func (d *deriver) binary(e *ast.BinaryExpr) {
	if e.Op == token.LAND || e.Op == token.LOR {
		d.logical(e)
		return
	}
	operator := len(e.Op.String())
	if c, ok := comparisons[e.Op]; ok {
		k := d.place(2)
		d.call(e, c.function, k)
		d.edits.replace(d.offset(e.OpPos), operator, ",")
		d.add(e, e, k, 0, "%s to %s", e.Op, c.boundary)
		d.add(e, e, k, 1, "%s to %s", e.Op, c.far)
		return
	}
	a, ok := arithmetic[e.Op]
	if !ok || d.basic(e)&types.IsNumeric == 0 {
		return
	}
	k := d.place(2)
	d.call(e, a.function, k)
	d.edits.replace(d.offset(e.OpPos), operator, ",")
	d.add(e, e, k, 0, "%s to %s", e.Op, a.other)
	// With a constant there is a mutant that makes it 0.
	zero := d.constantOf(e.Y) != nil
	switch e.Op {
	case token.MUL, token.QUO, token.REM, token.AND:
		zero = false
	}
	if !zero {
		d.add(e, e, k, 1, "%s and what follows left out", e.Op)
	}
}

// logical exchanges && and ||: with m, (a != m && b != m) != m is the other one.
func (d *deriver) logical(e *ast.BinaryExpr) {
	k := d.place(1)
	m := fmt.Sprintf(") != mutantIs(%d))", k)
	d.openAt(e.Pos(), "((((")
	d.closeAt(e.X.End(), m)
	d.openAt(e.Y.Pos(), "((")
	d.closeAt(e.End(), m+m)
	other, operand := token.LOR, roleAnd
	if e.Op == token.LOR {
		other, operand = token.LAND, roleOr
	}
	d.add(e, e, k, 0, "%s to %s", e.Op, other)
	d.mark(e.X, operand)
	d.mark(e.Y, operand)
}

// constant makes the mutants of an expression whose value the compiler knows.
func (d *deriver) constant(e ast.Expr, tv types.TypeAndValue) {
	name, ok := d.typeName(tv.Type)
	if !ok {
		return
	}
	context := d.contextOf(e)
	text := d.textOf(e)
	switch tv.Value.Kind() {
	case constant.Bool:
		if d.roles[e]&roleValue == 0 {
			return
		}
		k := d.place(3)
		d.call(e, "mutantBool", k)
		d.add(e, context, k, 0, "%s negated", text)
	case constant.Int:
		basic, isBasic := tv.Type.Underlying().(*types.Basic)
		if !isBasic || basic.Info()&types.IsInteger == 0 {
			return
		}
		k := d.place(4)
		d.call(e, "mutantInt["+name+"]", k)
		value, _ := new(big.Int).SetString(tv.Value.ExactString(), 10)
		d.constants(e, context, k, value)
	}
}

// contextOf is what the name of a constant's mutant quotes.
func (d *deriver) contextOf(e ast.Expr) ast.Node {
	switch parent := d.parent().(type) {
	case *ast.FuncLit:
	case ast.Expr:
		return parent
	case *ast.AssignStmt, *ast.ReturnStmt, *ast.ExprStmt, *ast.ValueSpec:
		return parent
	}
	return e
}

// constants adds the mutants of an integer constant that are none of others.
func (d *deriver) constants(e ast.Expr, context ast.Node, k int, value *big.Int) {
	one := big.NewInt(1)
	changed := []*big.Int{
		new(big.Int).Add(value, one), new(big.Int).Sub(value, one), new(big.Int), new(big.Int).Add(value, value),
	}
	if comparison, ok := d.parent().(*ast.BinaryExpr); ok {
		side := comparison.Op
		if comparison.X == e { // 0 < n is n > 0
			side = map[token.Token]token.Token{token.LSS: token.GTR, token.GTR: token.LSS, token.LEQ: token.GEQ, token.GEQ: token.LEQ}[side]
		}
		switch side {
		case token.LSS, token.GEQ:
			changed[0] = value // the boundary moved
		case token.GTR, token.LEQ:
			changed[1] = value
		}
	}
	// Of a large bound, and of a time, one more or less is as good.
	if value.CmpAbs(big.NewInt(largeConstant)) >= 0 || isDuration(d.typeOf(e)) {
		changed[0], changed[1] = value, value
	}
	seen := map[string]bool{value.String(): true}
	for i, c := range changed {
		if seen[c.String()] {
			continue
		}
		seen[c.String()] = true
		d.add(e, context, k, i, "%s to %s", d.textOf(e), []string{"plus 1", "minus 1", "0", "doubled"}[i])
	}
}

// largeConstant is from where on a constant is not mutated by one.
const largeConstant = 1 << 16

func isDuration(t types.Type) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == "time" && named.Obj().Name() == "Duration"
}

// composite leaves fields of struct literals out.
func (d *deriver) composite(e *ast.CompositeLit) {
	d.mark(e.Type, roleLeftAlone)
	_, isStruct := d.typeOf(e).Underlying().(*types.Struct)
	for _, element := range e.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			d.mark(element, roleValue)
			continue
		}
		d.mark(pair.Key, roleLeftAlone)
		d.mark(pair.Value, roleValue)
		if isStruct {
			d.zero(pair.Value, pair, d.typeOf(pair.Value), "value")
		}
	}
}

// zero replaces a value by that of its type.
func (d *deriver) zero(e ast.Expr, context ast.Node, t types.Type, what string) {
	if d.constantOf(e) != nil || d.info.Types[e].IsNil() || t == nil {
		return
	}
	if basic, ok := t.Underlying().(*types.Basic); ok && basic.Info()&(types.IsBoolean|types.IsString) != 0 {
		return // a boolean is negated; a text is not looked at
	}
	name, ok := d.typeName(t)
	if !ok {
		return
	}
	k := d.place(1)
	d.call(e, "mutantZero["+name+"]", k)
	d.add(e, context, k, 0, "%s to zero", what)
}

func (d *deriver) short(e ast.Node) string {
	text := []rune(d.textOf(e))
	if len(text) > 24 {
		return string(text[:24]) + "..."
	}
	return string(text)
}

// callExpression makes the mutants of a call and its arguments.
func (d *deriver) callExpression(e *ast.CallExpr) bool {
	function := unparen(e.Fun)
	if d.info.Types[function].IsType() {
		return true // a conversion
	}
	if d.isText(function) {
		return false
	}
	d.mark(e.Fun, roleLeftAlone)
	if selector, ok := function.(*ast.SelectorExpr); ok {
		// The receiver may have mutants, the function's name has none.
		delete(d.roles, e.Fun)
		d.mark(selector.Sel, roleLeftAlone)
	} else if _, ok := function.(*ast.FuncLit); ok {
		delete(d.roles, e.Fun)
	}
	if identifier, ok := function.(*ast.Ident); ok && d.info.Types[function].IsBuiltin() {
		switch identifier.Name {
		case "min", "max":
			d.extreme(e, identifier.Name)
		case "append":
			d.appended(e)
		}
		return true
	}
	for i, argument := range e.Args {
		d.mark(argument, roleValue)
		if i > 0 {
			d.exchanged(e, e.Args[i-1], argument)
		}
	}
	return true
}

// isText reports whether a call only makes text, or is panic.
func (d *deriver) isText(function ast.Expr) bool {
	switch f := function.(type) {
	case *ast.Ident:
		return f.Name == "panic" && d.info.Types[f].IsBuiltin()
	case *ast.SelectorExpr:
		if object := d.info.Uses[f.Sel]; object != nil && object.Pkg() != nil {
			path := object.Pkg().Path()
			return path == "fmt" || path == "errors" && f.Sel.Name == "New" || path == "runtime" && f.Sel.Name == "KeepAlive"
		}
	}
	return false
}

func (d *deriver) extreme(e *ast.CallExpr, name string) {
	k := d.place(1 + len(e.Args))
	function, other := "mutantMin", "max"
	if name == "max" {
		function, other = "mutantMax", "min"
	}
	fun := d.offset(e.Fun.Pos())
	d.edits.replace(fun, len(name), function)
	d.edits.open(d.offset(e.Lparen)+1, fmt.Sprintf("%d, ", k))
	d.add(e, e, k, 0, "%s to %s", name, other)
	for i, argument := range e.Args {
		d.add(e, e, k, 1+i, "without %s", d.short(argument))
	}
}

// appended leaves the elements out. Where the result replaces the operand, the
// statement is left out as a whole.
func (d *deriver) appended(e *ast.CallExpr) {
	if len(e.Args) < 2 || !d.isPure(e.Args[0]) {
		return
	}
	if s, ok := d.parent().(*ast.AssignStmt); ok && len(s.Lhs) == 1 && d.textOf(s.Lhs[0]) == d.textOf(e.Args[0]) {
		return
	}
	k := d.place(1)
	first := d.textOf(e.Args[0])
	d.wrap(e, fmt.Sprintf("mutantPick(%d, ", k), ", "+first+")")
	d.add(e, e, k, 0, "without elements")
}

// exchanged exchanges two neighboring arguments.
func (d *deriver) exchanged(call *ast.CallExpr, a, b ast.Expr) {
	first, second := d.textOf(a), d.textOf(b)
	t := d.typeOf(a)
	if first == second || t == nil || !types.Identical(t, d.typeOf(b)) || !d.isPure(a) || !d.isPure(b) || call.Ellipsis.IsValid() {
		return
	}
	if d.constantOf(a) != nil && d.constantOf(b) != nil {
		return
	}
	name, ok := d.typeName(t)
	if !ok {
		return
	}
	k := d.place(1)
	open := fmt.Sprintf("mutantPick[%s](%d, ", name, k)
	d.wrap(a, open, ", "+second+")")
	d.wrap(b, open, ", "+first+")")
	d.add(call, call, k, 0, "%s and %s exchanged", d.short(a), d.short(b))
}
