// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"regexp"
	"strings"
)

const licence = "// SPDX-License-Identifier: Apache-2.0\n\n"

// vagueNames are folders that say nothing about what is in them.
var vagueNames = []string{"pkg", "util", "utils", "common", "helper", "helpers", "types", "models", "core", "misc"}

var nakedTodo = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b($|[^(]|\([^#])`)

// checkFile applies what concerns one file by itself.
func checkFile(p *pkg, f *file) []Violation {
	var found []Violation
	report := func(rule, pos, what, why string) {
		found = append(found, Violation{Rule: rule, Pos: pos, What: what, Why: why})
	}
	if !f.generated && !strings.HasPrefix(f.src, licence) {
		report("licence", f.name+":1", "the first line is not the SPDX line, followed by an empty one",
			"a reader must see the licence at once, and the line must not become the package comment")
	}
	if f.generated != strings.HasSuffix(f.name, "_gen.go") {
		report("generated", f.name+":1", "generated files, and only they, end in _gen.go",
			"who edits a generated file by hand loses the edit")
	}
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			if nakedTodo.MatchString(c.Text) {
				report("to do", p.at(c.Pos()), "a to-do without an issue", "what is not written down as an issue, TODO(#n), is forgotten")
			}
		}
	}
	if match(p.path, []string{"./cmd/..."}) {
		return found
	}
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			report("no init", p.at(d.Pos()), "func init()",
				"what happens because something was imported cannot be seen, ordered or tested; call it where it is needed")
		}
	}
	return found
}

// checkPackage applies what concerns all files of a folder.
func checkPackage(p *pkg) []Violation {
	var found []Violation
	for _, part := range strings.Split(p.path, "/") {
		for _, vague := range vagueNames {
			if part == vague {
				found = append(found, Violation{
					Rule: "names", Pos: p.files[0].name, What: "folder " + part,
					Why: "a name that says nothing collects everything; name a package after what it provides",
				})
			}
		}
	}
	var code []*file
	documented := false
	for _, f := range p.files {
		if f.test {
			continue
		}
		code = append(code, f)
		documented = documented || f.ast.Doc != nil && len(strings.TrimSpace(f.ast.Doc.Text())) > 0
	}
	if len(code) == 0 {
		return found
	}
	if !documented {
		found = append(found, Violation{
			Rule: "package comment", Pos: code[0].name + ":1", What: "package " + code[0].ast.Name.Name + " has no comment",
			Why: "a package says what it is, what it is not, and what always holds in it",
		})
	}
	if match(p.path, []string{"./cmd/..."}) {
		return found
	}
	return append(found, checkState(p, code)...)
}

const stateWhy = "state of a package is shared by every test and every server in the process; put it into a struct that somebody makes and owns"

// syncState are the types of package sync that hold state. A Pool does not count, nor do OnceFunc and its kin.
var syncState = []string{"Mutex", "RWMutex", "Once", "Map", "WaitGroup"}

// checkState finds package variables that are changed after their initialisation: by an assignment, by ++, by
// range, by delete or clear, or because their type is there to be changed.
func checkState(p *pkg, code []*file) []Violation {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: noImports{}, Error: func(error) {}} // imports are not needed to tell names apart
	var trees []*ast.File
	for _, f := range code {
		trees = append(trees, f.ast)
	}
	checked, _ := conf.Check(p.path, p.fset, trees, info)
	var found []Violation
	report := func(pos token.Pos, what string) {
		found = append(found, Violation{Rule: "7: no state in packages", Pos: p.at(pos), What: what, Why: stateWhy})
	}
	target := func(e ast.Expr) {
		id, selected := root(e)
		if id == nil {
			return
		}
		switch obj := info.Uses[id].(type) {
		case *types.Var:
			if obj.Parent() == checked.Scope() {
				report(id.Pos(), "package variable "+id.Name+" is changed")
			}
		case *types.PkgName:
			if selected {
				report(id.Pos(), "a variable of package "+id.Name+" is changed")
			}
		}
	}
	for _, tree := range trees {
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						target(e)
					}
				}
			case *ast.IncDecStmt:
				target(n.X)
			case *ast.RangeStmt:
				if n.Tok == token.ASSIGN {
					target(n.Key)
					target(n.Value)
				}
			case *ast.CallExpr:
				if fn, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && (fn.Name == "delete" || fn.Name == "clear") {
					target(n.Args[0])
				}
			}
			return true
		})
		for _, d := range tree.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				for _, s := range g.Specs {
					if v := s.(*ast.ValueSpec); stateful(v.Type) {
						report(v.Pos(), "package variable "+v.Names[0].Name+" is there to be changed")
					}
				}
			}
		}
	}
	return found
}

// root returns the identifier that an assignable expression begins with, and whether something is selected
// from it.
func root(e ast.Expr) (id *ast.Ident, selected bool) {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x, selected
		case *ast.SelectorExpr:
			e, selected = x.X, true
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil, false
		}
	}
}

func stateful(t ast.Expr) bool {
	if x, ok := t.(*ast.IndexExpr); ok { // atomic.Pointer[T]
		t = x.X
	}
	sel, ok := t.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, ok := sel.X.(*ast.Ident)
	if !ok {
		return false
	}
	if from.Name == "atomic" {
		return true
	}
	for _, name := range syncState {
		if from.Name == "sync" && sel.Sel.Name == name {
			return true
		}
	}
	return false
}

// noImports makes the type checker go on without what a file imports.
type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not imported") }
