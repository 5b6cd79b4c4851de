// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The tables of docs/compat are made of what is so: operations from the model, whether each is built from the
// methods of the service, whether it is tested from the cases below test/conformance. What differs from AWS only
// people know: they write it into docs/compat/notes. The prose around a table is theirs, too.

// support is what is known of one service.
type support struct {
	pkg, protocol string
	own           bool // an API of our own
	operations    []string
	built         map[string]bool
	tested        map[string]bool
	notes         map[string]string
}

// supportOf gathers it; root is the repository, models the module with the models.
func supportOf(root, models string, s service, p *patch) (*support, error) {
	m, err := load(models, s.model, p)
	if err != nil {
		return nil, err
	}
	_, err = ownModels.Open("models/" + s.model + ".json")
	u := &support{pkg: s.pkg, protocol: m.Metadata.Protocol, own: err == nil, operations: sorted(m.Operations)}
	if s.pkg == "kinesisvideomedia" { // PutMedia is in no model
		u.operations = slices.Sorted(slices.Values(append(u.operations, "PutMedia")))
	}
	if u.built, err = methods(filepath.Join(root, "internal", "service", s.implementation()), s.pkg); err != nil {
		return nil, err
	}
	if u.tested, err = literals(filepath.Join(root, "test", "conformance", s.pkg)); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "compat", "notes", s.pkg+".txt"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	u.notes, err = parseNotes(string(text), u.operations)
	return u, err
}

// implementation is the folder below internal/service that builds the API.
func (s service) implementation() string {
	if s.in != "" {
		return s.in
	}
	return s.pkg
}

// methods finds the operations of the API pkg for which a folder has a method: one that takes the operation's input.
func methods(dir, pkg string) (map[string]bool, error) {
	found := map[string]bool{}
	err := parseFolder(dir, func(f *ast.File) {
		name, ok := importedAs(f, "internal/awsapi/"+pkg)
		if !ok {
			return
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && takes(fn, name, fn.Name.Name+"Input") {
				found[fn.Name.Name] = true
			}
		}
	})
	return found, err
}

// parseFolder reads the Go files of a folder, those of tests left out. A folder that is not there has none.
func parseFolder(dir string, each func(*ast.File)) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		each(f)
	}
	return nil
}

// importedAs is the name under which a file imports the package whose path ends so.
func importedAs(f *ast.File, suffix string) (string, bool) {
	for _, i := range f.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil || !strings.HasSuffix(p, "/"+suffix) {
			continue
		}
		if i.Name != nil {
			return i.Name.Name, true
		}
		return path.Base(p), true
	}
	return "", false
}

// takes says whether a function has a parameter *pkg.typ.
func takes(fn *ast.FuncDecl, pkg, typ string) bool {
	for _, p := range fn.Type.Params.List {
		star, ok := p.Type.(*ast.StarExpr)
		if !ok {
			continue
		}
		sel, ok := star.X.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != typ {
			continue
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == pkg {
			return true
		}
	}
	return false
}

// literals are the texts in a folder's Go files. Operations' names are words of their own, so one that is there
// names a case; a test beside the cases sees that it is so.
func literals(dir string) (map[string]bool, error) {
	found := map[string]bool{}
	err := parseFolder(dir, func(f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					found[text] = true
				}
			}
			return true
		})
	})
	return found, err
}

// parseNotes reads lines of the form
//
//	Operation, Operation: what differs
//
// Lines that begin with # and empty ones say nothing. An operation that is not among those given, or has two lines,
// is an error: it was misspelt, or is gone.
func parseNotes(text string, operations []string) (map[string]string, error) {
	notes := map[string]string{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		names, note, ok := strings.Cut(line, ": ")
		if note = strings.TrimSpace(note); !ok || note == "" {
			return nil, fmt.Errorf("notes, line %d: want \"Operation: what differs\"", n)
		}
		for name := range strings.SplitSeq(names, ", ") {
			if !slices.Contains(operations, name) {
				return nil, fmt.Errorf("notes, line %d: there is no operation %q", n, name)
			}
			if _, twice := notes[name]; twice {
				return nil, fmt.Errorf("notes, line %d: a second note about %s", n, name)
			}
			notes[name] = note
		}
	}
	return notes, nil
}

// The three states of an operation.
const (
	stateDone    = "done"
	stateDiffers = "differs"
	stateNot     = "not"
)

// notBuilt begins the note of an operation that has a method and does nothing yet. No note makes one built.
const notBuilt = "not built: "

func (u *support) state(op string) (state, note string) {
	note = u.notes[op]
	rest, refused := strings.CutPrefix(note, notBuilt)
	switch {
	case !u.built[op] || refused:
		return stateNot, rest
	case note != "":
		return stateDiffers, note
	}
	return stateDone, ""
}

// table renders the operations.
func (u *support) table() string {
	var rows strings.Builder
	count := map[string]int{}
	for _, op := range u.operations {
		state, note := u.state(op)
		count[state]++
		test := ""
		if u.tested[op] {
			test = "`" + u.pkg + "/" + op + "`"
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", op, state, strings.ReplaceAll(note, "|", `\|`), test)
	}
	return fmt.Sprintf("%d operations: %s. *Test* is a case of\n`go test ./test/conformance -run TestConformance/…`.\n\n"+
		"| Operation | Status | What differs | Test |\n| --- | --- | --- | --- |\n%s\n",
		len(u.operations), strings.Join(u.counted(count), "; "), rows.String())
}

// counted says how many operations are in which state, and what the state means.
func (u *support) counted(count map[string]int) (parts []string) {
	refusal := "NotImplementedException"
	if u.protocol == "query" {
		refusal = "NotImplemented"
	}
	done := "as AWS documents it"
	if u.own {
		done = "as it is described here"
	}
	for _, s := range [...]struct{ state, meaning string }{
		{stateDone, done},
		{stateDiffers, "there, with the deviation named"},
		{stateNot, refusal + " (501) to callers who may use it"},
	} {
		if n := count[s.state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d `%s`, %s", n, s.state, s.meaning))
		}
	}
	return parts
}

// Marks around a table in a page.
const (
	beginTable = "<!-- operations of %s: made by `make generate`; what differs is written in notes/%[1]s.txt -->\n"
	endTable   = "<!-- end of operations -->\n"
)

// fill puts tables into a page, at their marks, and notes whose place it has found.
func fill(page string, tables map[string]string, found map[string]bool) (string, error) {
	for _, pkg := range sorted(tables) {
		begin := fmt.Sprintf(beginTable, pkg)
		before, rest, ok := strings.Cut(page, begin)
		if !ok {
			continue
		}
		_, after, ok := strings.Cut(rest, endTable)
		switch {
		case !ok:
			return "", fmt.Errorf("the table of %s has no end", pkg)
		case found[pkg]:
			return "", fmt.Errorf("a second table of %s", pkg)
		}
		found[pkg] = true
		page = before + begin + tables[pkg] + endTable + after
	}
	return page, nil
}

// compatPages are the pages of docs/compat with their tables as they should be, by path.
func compatPages(root, models string) (map[string][]byte, error) {
	p, err := loadPatch()
	if err != nil {
		return nil, err
	}
	tables := map[string]string{}
	for _, s := range services {
		u, err := supportOf(root, models, s, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.pkg, err)
		}
		tables[s.pkg] = u.table()
	}
	names, err := filepath.Glob(filepath.Join(root, "docs", "compat", "*.md"))
	if err != nil {
		return nil, err
	}
	pages, found := map[string][]byte{}, map[string]bool{}
	for _, name := range names {
		old, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		page, err := fill(string(old), tables, found)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		pages[name] = []byte(page)
	}
	for pkg := range maps.Keys(tables) {
		if !found[pkg] {
			return nil, fmt.Errorf("no page of docs/compat has a place for the table of %s", pkg)
		}
	}
	return pages, nil
}

// compat brings the pages up to date, or says which is not.
func compat(root, models string, check bool) error {
	pages, err := compatPages(root, models)
	if err != nil {
		return fmt.Errorf("docs/compat: %w", err)
	}
	for _, name := range sorted(pages) {
		old, err := os.ReadFile(name)
		switch {
		case err != nil:
			return err
		case bytes.Equal(old, pages[name]):
		case check:
			return fmt.Errorf("%s is stale: run go run ./internal/codegen", name)
		default:
			if err := os.WriteFile(name, pages[name], 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
