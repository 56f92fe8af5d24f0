package derive

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
)

// statement makes the mutants of a statement.
func (d *deriver) statement(s ast.Stmt) bool {
	switch s := s.(type) {
	case *ast.BlockStmt:
		d.listed(s.List)
	case *ast.CaseClause:
		d.listed(s.Body)
	case *ast.CommClause:
		d.listed(s.Body)
	case *ast.IfStmt:
		return d.ifStatement(s)
	case *ast.ForStmt:
		d.mark(s.Cond, roleCondition)
		d.loop(s, s.Body, false)
	case *ast.RangeStmt:
		d.rangeStatement(s)
	case *ast.SwitchStmt:
		d.switchStatement(s)
	case *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.LabeledStmt:
	case *ast.ReturnStmt:
		d.returned(s)
	case *ast.BranchStmt:
		d.branch(s)
	case *ast.AssignStmt:
		d.assigned(s)
	case *ast.IncDecStmt:
		other := "++"
		if s.Tok == token.INC {
			other = "--"
		}
		d.changed(s, s.Tok.String(), other, d.textOf(s.X)+other)
	case *ast.ExprStmt:
		call, ok := s.X.(*ast.CallExpr)
		if ok && d.isText(unparen(call.Fun)) {
			return false
		}
		d.leftOut(s)
	case *ast.SendStmt:
		d.mark(s.Value, roleValue)
		d.leftOut(s)
	case *ast.DeferStmt, *ast.GoStmt:
		d.leftOut(s)
	}
	return true
}

// leftOut leaves a statement out.
func (d *deriver) leftOut(s ast.Stmt) {
	if d.roles[s]&roleListed == 0 {
		return
	}
	k := d.place(1)
	d.wrap(s, fmt.Sprintf("if !mutantIs(%d) { ", k), " }")
	d.add(s, s, k, 0, "left out")
}

// changed leaves a statement out or does another one in its place.
func (d *deriver) changed(s ast.Stmt, this, other, text string) {
	if d.roles[s]&roleListed == 0 {
		return
	}
	k := d.place(2)
	d.wrap(s, fmt.Sprintf("if mutantIs(%d) { } else if mutantIs(%d) { %s } else { ", k, k+1, text), " }")
	d.add(s, s, k, 0, "left out")
	d.add(s, s, k, 1, "%s to %s", this, other)
}

func (d *deriver) assigned(s *ast.AssignStmt) {
	for _, value := range s.Rhs {
		d.mark(value, roleValue)
	}
	switch s.Tok {
	case token.DEFINE:
		for _, name := range s.Lhs {
			d.mark(name, roleLeftAlone)
		}
	case token.ASSIGN:
		blank := true
		for _, to := range s.Lhs {
			identifier, ok := to.(*ast.Ident)
			blank = blank && ok && identifier.Name == "_"
		}
		if !blank {
			d.leftOut(s)
		}
	default:
		operator := s.Tok - token.ADD_ASSIGN + token.ADD
		a, ok := arithmetic[operator]
		if !ok || d.basic(s.Lhs[0])&types.IsNumeric == 0 {
			d.leftOut(s)
			return
		}
		// A constant left of a shift is of another type in the copy.
		d.changed(s, s.Tok.String(), a.other.String()+"=", d.textOf(s.Lhs[0])+" "+a.other.String()+"= "+d.textOf(s.Rhs[0]))
	}
}

func (d *deriver) ifStatement(s *ast.IfStmt) bool {
	d.mark(s.Cond, roleCondition)
	if value := d.constantOf(s.Cond); value != nil {
		d.mark(s.Cond, roleLeftAlone)
		if !constant.BoolVal(value) {
			d.mark(s.Body, roleLeftAlone)
		} else {
			d.mark(s.Else, roleLeftAlone)
		}
	}
	return true
}

// loop ends a loop before its first or its second round.
func (d *deriver) loop(s ast.Stmt, body *ast.BlockStmt, never bool) {
	outer := s
	if label, ok := d.parent().(*ast.LabeledStmt); ok {
		outer = label
	}
	if d.roles[outer]&roleListed == 0 || isEndless(s) {
		return
	}
	k := d.place(2)
	d.wrap(outer, fmt.Sprintf("{ mutantRounds%d := 0; ", k), " }")
	d.openAt(body.Lbrace+1, fmt.Sprintf(" if mutantIs(%d) && mutantRounds%d > 0 || mutantIs(%d) { break }; mutantRounds%d++; ", k, k, k+1, k))
	head := &span{s.Pos(), body.Lbrace}
	d.add(head, head, k, 0, "at most one round")
	if never {
		d.add(head, head, k, 1, "no round")
	}
}

// span is a piece of the text.
type span struct{ from, to token.Pos }

func (s *span) Pos() token.Pos { return s.from }
func (s *span) End() token.Pos { return s.to }

// hasBreak reports whether a break ends the loop that has this body.
func hasBreak(body *ast.BlockStmt) (found bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit, *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
			return false
		case *ast.BranchStmt:
			found = found || n.Tok == token.BREAK
		}
		return true
	})
	return found
}

func (d *deriver) rangeStatement(s *ast.RangeStmt) {
	d.mark(s.Key, roleLeftAlone)
	d.mark(s.Value, roleLeftAlone)
	d.loop(s, s.Body, true)
	_, isSlice := d.typeOf(s.X).Underlying().(*types.Slice)
	key, ok := s.Key.(*ast.Ident)
	if isSlice && ok && key.Name == "_" && s.Value != nil {
		k := d.place(1)
		d.call(s.X, "mutantBackwards", k)
		head := &span{s.Pos(), s.Body.Lbrace}
		d.add(head, head, k, 0, "backwards")
	}
}

// switchStatement makes conditions of the cases, and leaves one out where there is a
// value that they compare with.
func (d *deriver) switchStatement(s *ast.SwitchStmt) {
	value := s.Tag != nil && d.constantOf(s.Tag) == nil && d.roles[s]&roleListed != 0
	if value {
		value = false
		for _, clause := range s.Body.List {
			value = value || clause.(*ast.CaseClause).List != nil
		}
	}
	tag := fmt.Sprintf("mutantTag%d", d.next)
	if value {
		d.edits.replace(d.offset(s.Switch), len("switch"), "{")
		d.wrap(s.Tag, tag+" := ", "; switch")
		d.closeAt(s.End(), " }")
	}
	for _, statement := range s.Body.List {
		clause := statement.(*ast.CaseClause)
		for _, e := range clause.List {
			if s.Tag == nil {
				d.mark(e, roleCondition)
			} else {
				d.mark(e, roleLeftAlone)
			}
		}
		if value && clause.List != nil {
			k := d.place(1)
			d.openAt(clause.List[0].Pos(), fmt.Sprintf("!mutantIs(%d) && (%s == (", k, tag))
			for i, e := range clause.List[1:] {
				end := d.offset(clause.List[i].End())
				comma := end + bytes.IndexByte(d.source[end:d.offset(e.Pos())], ',')
				d.edits.replace(comma, 1, ") || "+tag+" == (")
			}
			d.closeAt(clause.List[len(clause.List)-1].End(), "))")
			head := &span{clause.Pos(), clause.Colon}
			d.add(head, head, k, 0, "left out")
		}
	}
}

// branch exchanges break and continue, and leaves them out.
func (d *deriver) branch(s *ast.BranchStmt) {
	if d.roles[s]&roleListed == 0 || s.Tok != token.BREAK && s.Tok != token.CONTINUE {
		return
	}
	other := token.BREAK
	if s.Tok == token.BREAK {
		other = token.CONTINUE
	}
	loop := d.loopOf(s)
	if loop == nil || other == token.BREAK && isEndless(loop) {
		d.leftOut(s)
		return
	}
	text := other.String()
	if s.Label != nil {
		text += " " + s.Label.Name
	}
	d.changed(s, s.Tok.String(), text, text)
}

// loopOf returns the loop that a break or continue is in, by its label if it has one.
func (d *deriver) loopOf(s *ast.BranchStmt) ast.Node {
	for i := len(d.parents) - 1; i > 0; i-- {
		switch loop := d.parents[i].(type) {
		case *ast.ForStmt, *ast.RangeStmt:
			label, ok := d.parents[i-1].(*ast.LabeledStmt)
			if s.Label == nil || ok && label.Label.Name == s.Label.Name {
				return loop
			}
		case *ast.FuncLit:
			return nil
		}
	}
	return nil
}

// isEndless reports whether nothing behind a loop is reached, so that a function needs
// no return there.
func isEndless(n ast.Node) bool {
	loop, ok := n.(*ast.ForStmt)
	return ok && loop.Cond == nil && !hasBreak(loop.Body)
}

// returned replaces what is returned.
func (d *deriver) returned(s *ast.ReturnStmt) {
	results := d.results[len(d.results)-1]
	for _, e := range s.Results {
		d.mark(e, roleValue)
	}
	// What is returned beside an error, or beside false, is not looked at.
	if last := len(s.Results) - 1; last > 0 {
		value := d.constantOf(s.Results[last])
		no := value != nil && value.Kind() == constant.Bool && !constant.BoolVal(value)
		for _, e := range s.Results[:last] {
			if no || d.isError(s.Results[last]) && d.constantOf(e) != nil {
				d.mark(e, roleLeftAlone)
			}
		}
	}
	switch {
	case len(s.Results) == results.Len():
		for i, e := range s.Results {
			if d.roles[e]&roleLeftAlone != 0 {
				continue
			}
			what := "result"
			if len(s.Results) > 1 {
				what = fmt.Sprintf("result %d", i+1)
			}
			d.zero(e, s, results.At(i).Type(), what)
		}
	case len(s.Results) == 1 && d.roles[s]&roleListed != 0:
		d.returnedTuple(s, results)
	}
}

// isError reports whether an expression is an error that may be one.
func (d *deriver) isError(e ast.Expr) bool {
	t := d.typeOf(e)
	return t != nil && !d.info.Types[e].IsNil() && types.Implements(t, types.Universe.Lookup("error").Type().Underlying().(*types.Interface))
}

// returnedTuple replaces what a function returns that passes on all of a call.
func (d *deriver) returnedTuple(s *ast.ReturnStmt, results *types.Tuple) {
	k := d.place(results.Len())
	open, close := "{ ", "; return "
	for i := range results.Len() {
		name, ok := d.typeName(results.At(i).Type())
		if !ok {
			return
		}
		if i > 0 {
			open += ", "
			close += ", "
		}
		open += fmt.Sprintf("mutantResult%d", k+i)
		close += fmt.Sprintf("mutantZero[%s](%d, mutantResult%d)", name, k+i, k+i)
	}
	for i := range results.Len() {
		d.add(s, s, k, i, "result %d to zero", i+1)
		d.mutants[len(d.mutants)-1].Hit = k + i
	}
	d.edits.replace(d.offset(s.Return), len("return"), "")
	d.openAt(s.Results[0].Pos(), open+" := ")
	d.closeAt(s.End(), close+" }")
}
