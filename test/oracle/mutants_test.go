// SPDX-License-Identifier: Apache-2.0

package oracle_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutantsSource is what the mutated package gets besides. A mutant's number names one change.
const mutantsSource = `package policy

import (
	"cmp"
	"os"
	"strconv"
)

var mutant, _ = strconv.Atoi(os.Getenv("POLICY_MUTANT"))

func mutBool(n int, v bool) bool {
	switch mutant {
	case n:
		return true
	case n + 1:
		return false
	}
	return v
}

func mutNot(n int, v bool) bool { return v != (mutant == n) }

func mutLogic(n int, or bool, a, b func() bool) bool {
	if or != (mutant == n) {
		return a() || b()
	}
	return a() && b()
}

func mutOrder[T cmp.Ordered](n int, op string, a, b T) bool {
	less, equal := a < b, a == b
	if op == ">" || op == "<=" {
		less = a > b
	}
	v := less
	if op == "<=" || op == ">=" {
		v = !less
	}
	return v != (mutant == n && equal)
}

func mutNumber[T ~int | ~int64 | ~uint | ~uint8 | ~uint32 | ~uint64 | ~int32](n int, v T) T {
	switch mutant {
	case n:
		return v + 1
	case n + 1:
		return v - 1
	}
	return v
}

func mutText[T ~string](n int, v T) T {
	if mutant == n {
		return v + "~"
	}
	return v
}

func mutSets[T ~int | ~uint8 | ~uint](n int, and bool, a, b T) T {
	if and != (mutant == n) {
		return a & b
	}
	return a | b
}
`

// A mutator changes a file by inserting text, so that each change can be switched on by itself.
type mutator struct {
	fset    *token.FileSet
	info    *types.Info
	source  []byte
	mutants *[]string // by number; 0 is none
	before  map[int]string
	after   map[int]string
	instead map[int]string    // of the operator of two bytes, or one, at an offset
	skip    map[ast.Node]bool // not looked into
	plain   map[ast.Node]bool // looked into, but not changed as a whole
}

// mutate returns the sources of the package in dir with mutants in the files named, and what each
// mutant is.
func mutate(dir, files string) (sources map[string]string, mutants []string, err error) {
	fset := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, nil, err
	}
	var parsed []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			return nil, nil, err
		}
		parsed = append(parsed, f)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	if _, err := config.Check("policy", fset, parsed, info); err != nil {
		return nil, nil, err
	}
	mutants = []string{"none"}
	sources = map[string]string{"mutants.go": mutantsSource}
	for _, f := range parsed {
		name := filepath.Base(fset.Position(f.Package).Filename)
		if files != "all" && !slices.Contains(strings.Split(files, ","), name) {
			continue
		}
		if sources[name], err = mutateFile(fset, info, f, &mutants); err != nil {
			return nil, nil, err
		}
	}
	return sources, mutants, nil
}

// next names the next mutants, and returns the number of the first.
func (m *mutator) next(at ast.Node, what ...string) int {
	n := len(*m.mutants)
	position := m.fset.Position(at.Pos())
	text := strings.Join(strings.Fields(string(m.source[m.offset(at.Pos()):m.offset(at.End())])), " ")
	for _, w := range what {
		*m.mutants = append(*m.mutants, fmt.Sprintf("%s:%d: %s: %.100s", filepath.Base(position.Filename), position.Line, w, text))
	}
	return n
}

func (m *mutator) offset(p token.Pos) int { return m.fset.Position(p).Offset }

// wrap puts text around a node. Nodes are wrapped from the outside to the inside.
func (m *mutator) wrap(n ast.Node, before, after string) {
	m.before[m.offset(n.Pos())] += before
	m.after[m.offset(n.End())] = after + m.after[m.offset(n.End())]
}

func (m *mutator) visit(n ast.Node) bool {
	if n == nil || m.skip[n] {
		return false
	}
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok == token.VAR
	case *ast.Field, *ast.ArrayType, *ast.TypeSwitchStmt:
		return false
	case *ast.CaseClause, *ast.BlockStmt:
		m.statements(n)
	case *ast.LabeledStmt:
		m.skip[n.Stmt] = true
	case ast.Expr:
		m.expression(n)
	}
	return true
}

// statements makes mutants without one of a list of statements.
func (m *mutator) statements(n ast.Node) {
	list := []ast.Stmt{}
	switch n := n.(type) {
	case *ast.BlockStmt:
		list = n.List
	case *ast.CaseClause:
		list = n.Body
	}
	for _, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.BranchStmt:
		default:
			continue
		}
		m.wrap(s, fmt.Sprintf("if mutant != %d { ", m.next(s, "drop")), " }")
	}
}

func (m *mutator) expression(e ast.Expr) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return
	case *ast.BinaryExpr:
		defer m.binary(e) // inside of what is done to its value
	case *ast.UnaryExpr:
		if e.Op == token.NOT {
			m.plain[e.X] = true // its mutants are those of the whole
		}
	}
	if m.plain[e] {
		return
	}
	t := m.info.Types[e]
	basic, ok := t.Type, t.IsValue()
	if !ok || basic == nil {
		return
	}
	under, ok := basic.Underlying().(*types.Basic)
	if !ok {
		return
	}
	if tuple, ok := e.(*ast.CallExpr); ok && t.Value == nil && len(tuple.Args) == 1 && m.info.Types[tuple.Fun].IsType() {
		return
	}
	switch {
	case under.Info()&types.IsBoolean != 0 && t.Value != nil:
		m.wrap(e, fmt.Sprintf("mutNot(%d, ", m.next(e, "negate")), ")")
	case under.Info()&types.IsBoolean != 0:
		m.wrap(e, fmt.Sprintf("mutBool(%d, ", m.next(e, "true", "false")), ")")
	case t.Value == nil || under.Info()&types.IsUntyped != 0:
	case t.Value.Kind() == constant.Int && under.Info()&types.IsInteger != 0:
		m.wrap(e, fmt.Sprintf("mutNumber[%s](%d, ", typeName(basic), m.next(e, "+1", "-1")), ")")
	case t.Value.Kind() == constant.String:
		m.wrap(e, fmt.Sprintf("mutText[%s](%d, ", typeName(basic), m.next(e, "other text")), ")")
	}
}

func typeName(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p.Name() == "policy" {
			return ""
		}
		return p.Name()
	})
}

// binary makes mutants of operators.
func (m *mutator) binary(e *ast.BinaryExpr) {
	if m.info.Types[e].Value != nil {
		return
	}
	switch e.Op {
	case token.LAND, token.LOR:
		n := m.next(e, "swap && and ||")
		m.replace(e, fmt.Sprintf("mutLogic(%d, %v, func() bool { return ", n, e.Op == token.LOR), " }, func() bool { return ", " })")
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		m.replace(e, fmt.Sprintf("mutOrder(%d, %q, ", m.next(e, "boundary"), e.Op), ", ", ")")
	case token.AND, token.OR:
		m.replace(e, fmt.Sprintf("mutSets(%d, %v, ", m.next(e, "swap & and |"), e.Op == token.AND), ", ", ")")
	}
}

func (m *mutator) replace(e *ast.BinaryExpr, before, between, after string) {
	m.wrap(e, before, after)
	m.instead[m.offset(e.OpPos)] = between
	for i := 1; i < len(e.Op.String()); i++ {
		m.instead[m.offset(e.OpPos)+i] = ""
	}
}

// addressed are the expressions that have to stay as they are: those assigned to, and names that are
// no values of their own.
func (m *mutator) addressed(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for _, e := range n.Lhs {
			m.skip[e] = true
		}
	case *ast.IncDecStmt:
		m.skip[n.X] = true
	case *ast.RangeStmt:
		m.skip[n.Key], m.skip[n.Value] = n.Key != nil, n.Value != nil
	case *ast.SelectorExpr:
		m.skip[n.Sel] = true
	case *ast.KeyValueExpr:
		if _, ok := n.Key.(*ast.Ident); ok {
			m.skip[n.Key] = true
		}
	case *ast.ImportSpec:
		m.skip[n.Path] = true
	case *ast.FuncDecl:
		m.skip[n.Name], m.skip[n.Type] = true, true
	case *ast.FuncLit:
		m.skip[n.Type] = true
	}
	return true
}

func mutateFile(fset *token.FileSet, info *types.Info, f *ast.File, mutants *[]string) (string, error) {
	source, err := os.ReadFile(fset.Position(f.Package).Filename)
	if err != nil {
		return "", err
	}
	m := mutator{
		fset: fset, info: info, source: source, mutants: mutants, before: map[int]string{}, after: map[int]string{},
		instead: map[int]string{}, skip: map[ast.Node]bool{}, plain: map[ast.Node]bool{},
	}
	ast.Inspect(f, m.addressed)
	ast.Inspect(f, m.visit)
	var out strings.Builder
	for i := range len(source) + 1 {
		out.WriteString(m.after[i] + m.before[i])
		if text, ok := m.instead[i]; ok {
			out.WriteString(text)
		} else if i < len(source) {
			out.WriteByte(source[i])
		}
	}
	return out.String(), nil
}
