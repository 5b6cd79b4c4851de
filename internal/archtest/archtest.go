// SPDX-License-Identifier: Apache-2.0

// Package archtest holds the repository to its architecture: who may import whom, and what every file must
// have or must not do. Its test reads the whole tree; nothing else uses the package.
//
// It parses and never builds, so it needs no network, no compiled packages and about two seconds. It cannot
// see what only a full build knows, such as what a dependency imports.
//
// The invariant: a rule is changed by a decision that is written down in docs/design, never to make a build
// pass. docs/architecture.md explains the rules.
package archtest

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/obscura-video/obscura"

// Violation is one place at which the tree breaks a rule.
type Violation struct {
	Rule string // short name
	Pos  string // file:line
	What string
	Why  string // what the rule is for
}

// String is one paragraph for a failing test.
func (v Violation) String() string {
	return fmt.Sprintf("%s: %s [%s]\n\t%s", v.Pos, v.What, v.Rule, v.Why)
}

// file is one parsed Go file.
type file struct {
	name      string // relative to the root, with slashes
	src       string
	ast       *ast.File
	test      bool
	generated bool
}

// pkg is the files of one folder; those of its tests too.
type pkg struct {
	path  string // "./internal/seal"; "." is the root
	files []*file
	fset  *token.FileSet
}

// Load parses every Go file below fsys, apart from testdata, hidden folders and node_modules.
func Load(fsys fs.FS) ([]*pkg, error) {
	byDir := map[string]*pkg{}
	fset := token.NewFileSet()
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && name != "." && (base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		f, err := parse(fset, name, string(src))
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			byDir[dir] = &pkg{path: local(dir), fset: fset}
		}
		byDir[dir].files = append(byDir[dir].files, f)
		return nil
	})
	var all []*pkg
	for _, p := range byDir {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *pkg) int { return cmp.Compare(a.path, b.path) })
	return all, err
}

func parse(fset *token.FileSet, name, src string) (*file, error) {
	tree, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("archtest: %w", err)
	}
	return &file{
		name: name, src: src, ast: tree,
		test: strings.HasSuffix(name, "_test.go"), generated: ast.IsGenerated(tree),
	}, nil
}

// local writes a folder of the repository as rules do: "./internal/seal".
func local(dir string) string {
	if dir == "." {
		return "."
	}
	return "./" + dir
}

// imported writes an import path as rules do: packages of this module begin with "./".
func imported(importPath string) string {
	if importPath == module {
		return "."
	}
	if rest, ok := strings.CutPrefix(importPath, module+"/"); ok {
		return "./" + rest
	}
	return importPath
}

// Check returns everything in pkgs that breaks a rule.
func Check(pkgs []*pkg) []Violation {
	var all []Violation
	for _, p := range pkgs {
		for _, f := range p.files {
			all = append(all, checkImports(p, f)...)
			all = append(all, checkFile(p, f)...)
		}
		all = append(all, checkPackage(p)...)
	}
	return all
}

func (p *pkg) at(pos token.Pos) string {
	at := p.fset.Position(pos)
	return at.Filename + ":" + strconv.Itoa(at.Line)
}

// match says whether a package is meant by any of the patterns: "./a/b" is itself, "./a/..." is it and all
// below it, "..." is everything, "std" is the standard library.
func match(name string, patterns []string) bool {
	for _, p := range patterns {
		if p == name || p == "std" && standard(name) {
			return true
		}
		if tree, ok := strings.CutSuffix(p, "..."); ok && strings.HasPrefix(name+"/", tree) {
			return true
		}
	}
	return false
}

// standard says that an import path is of the standard library: its first element has no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}
