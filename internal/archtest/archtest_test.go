// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestTheTreeKeepsItsArchitecture(t *testing.T) {
	pkgs, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 20 {
		t.Fatalf("only %d packages found: looking in the wrong place", len(pkgs))
	}
	found := Check(pkgs)
	for _, v := range found {
		t.Error(v)
	}
	if len(found) > 0 {
		t.Log("DO NOT CHANGE THE TABLE OF RULES TO FIX A BUILD. Change the code; or write a design record and then the rule.")
	}
}

func TestFailureSaysWhatAndWhyAndWhere(t *testing.T) {
	v := rulesBroken(t, map[string]string{"internal/x/x.go": good("x") + "import _ \"unsafe\"\n"})
	if len(v) != 1 || !strings.HasPrefix(v[0].String(), "internal/x/x.go:5: internal/x must not import unsafe [7: ") || v[0].Why == "" {
		t.Error(v)
	}
}

// good is the beginning of a file that breaks no rule.
func good(pkg string) string {
	return licence + "// Package " + pkg + " is an example.\npackage " + pkg + "\n"
}

func rulesBroken(t *testing.T, files map[string]string) []Violation {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, src := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(src)}
	}
	pkgs, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return Check(pkgs)
}

func TestEachImportRuleCatchesItsOffender(t *testing.T) {
	const own = module + "/"
	tests := []struct {
		file, imports string
		rule          string // beginning; empty: allowed
	}{
		{"internal/seal/a.go", own + "cmd/obscura", "1"},
		{"internal/seal/a_test.go", own + "test/conformance", "1"},
		{"bench/a.go", own + "internal/service/kms", ""},
		{"cmd/obscura/a.go", own + "internal/server", ""},
		{"internal/gateway/a.go", own + "internal/service/kms", "2"},
		{"internal/journal/a.go", own + "internal/meta/pebble", "2"},
		{"internal/journal/a.go", own + "internal/meta", ""},
		{"internal/journal/a_test.go", own + "internal/meta/mem", ""},
		{"internal/journal/a.go", own + "internal/meta/mem", "2"},
		{"internal/service/kms/a.go", own + "internal/service/iam", "2"},
		{"internal/service/kms/a_test.go", own + "internal/service/iam", "2"},
		{"internal/service/kms/a.go", own + "internal/service/kms/grant", ""},
		{"internal/service/kms/grant/a.go", own + "internal/service/kms", ""},
		{"internal/service/kms/a.go", own + "internal/blob/disk", "2"},
		{"internal/edge/a.go", own + "console", "2"},
		{"internal/server/a.go", own + "internal/service/kms", ""},
		{"internal/server/a.go", own + "console", ""},
		{"internal/service/kms/a.go", "net/http", "3"},
		{"internal/service/kms/a.go", "net/http/httputil", "3"},
		{"internal/service/kms/a_test.go", "net/http/httptest", ""},
		{"internal/service/kms/a.go", "net/netip", ""},
		{"internal/service/kms/a.go", own + "internal/gateway", "3"},
		{"internal/gateway/a.go", "net/http", ""},
		{"internal/awsapi/kms/a.go", own + "internal/access", "4"},
		{"internal/awsapi/kms/a.go", own + "internal/awsapi/protocol", ""},
		{"producer/a.go", own + "internal/access", "5"},
		{"producer/a.go", own + "internal/media/mkv", ""},
		{"producer/a.go", own + "e2ee", ""},
		{"consumer/a_test.go", own + "internal/server", "5"},
		{"household/a.go", own + "internal/access", "5"},
		{"household/a.go", own + "internal/awsapi/kms", ""},
		{"household/a.go", own + "e2ee", ""},
		{"household/a.go", "crypto/cipher", "7"},
		{"e2ee/a.go", own + "household", "5"},
		{"e2ee/a.go", own + "internal/seal", "5"},
		{"e2ee/a.go", "github.com/zalando/go-keyring", "5"},
		{"e2ee/a.go", "golang.org/x/crypto/cryptobyte", ""},
		{"e2ee/a.go", "crypto/aes", ""},
		{"internal/server/a.go", own + "e2ee", "6"},
		{"internal/media/mkv/a_test.go", own + "e2ee", "6"},
		{"internal/server/a.go", own + "household", "6"},
		{"internal/envelope/a.go", "crypto/aes", "7"},
		{"internal/service/iam/a.go", "crypto/cipher", "7"},
		{"internal/service/kms/a.go", "crypto/cipher", ""},
		{"internal/envelope/a.go", "golang.org/x/crypto/chacha20poly1305", "7"},
		{"internal/envelope/a.go", "crypto/sha256", ""},
		{"internal/service/sts/a.go", "github.com/go-jose/go-jose/v4/jwt", "8"},
		{"internal/oidc/a.go", "github.com/go-jose/go-jose/v4", ""},
		{"internal/oidc/oidctest/a.go", "github.com/go-jose/go-jose/v4", ""},
		{"internal/envelope/a.go", "math/rand", "7"},
		{"internal/envelope/a_test.go", "math/rand/v2", "7"},
		{"internal/envelope/a.go", "unsafe", "7"},
		{"cmd/obscura/a.go", "math/rand/v2", ""},
	}
	for _, tt := range tests {
		t.Run(tt.file+" imports "+tt.imports, func(t *testing.T) {
			v := rulesBroken(t, map[string]string{tt.file: good("x") + "import _ \"" + tt.imports + "\"\n"})
			switch {
			case tt.rule == "" && len(v) > 0:
				t.Errorf("not allowed: %v", v)
			case tt.rule != "" && (len(v) != 1 || !strings.HasPrefix(v[0].Rule, tt.rule+": ")):
				t.Errorf("want rule %s, got %v", tt.rule, v)
			}
		})
	}
}

func TestEachSourceRuleCatchesItsOffender(t *testing.T) {
	const name = "internal/x/x.go"
	tests := []struct {
		name  string
		files map[string]string
		rules []string
	}{
		{"good file", map[string]string{name: good("x")}, nil},
		{"no licence", map[string]string{name: "// Package x is.\npackage x\n"}, []string{"licence"}},
		{"licence is the package comment", map[string]string{name: strings.TrimSuffix(licence, "\n") + "package x\n"}, []string{"licence"}},
		{"no package comment", map[string]string{name: licence + "package x\n"}, []string{"package comment"}},
		{"package comment in another file", map[string]string{name: licence + "package x\n", "internal/x/doc.go": good("x")}, nil},
		{"package of tests", map[string]string{"test/a_test.go": licence + "package x\n"}, nil},
		{"generated, wrong name", map[string]string{name: good("x") + "\n// Code generated by x. DO NOT EDIT.\n"}, nil},
		{"generated file by another name", map[string]string{name: "// Code generated by x. DO NOT EDIT.\n\n// Package x is.\npackage x\n"}, []string{"generated"}},
		{"written file with a generated name", map[string]string{"internal/x/x_gen.go": good("x")}, []string{"generated"}},
		{"vague folder", map[string]string{"internal/util/x.go": good("util")}, []string{"names"}},
		{"vague folder above", map[string]string{"pkg/x/x.go": good("x")}, []string{"names"}},
		{"protocol of types", map[string]string{"internal/typesetting/x.go": good("x")}, nil},
		{"naked to-do", map[string]string{name: good("x") + "// TODO: later\n"}, []string{"to do"}},
		{"to-do with a name", map[string]string{name: good("x") + "// TODO(me): later\n"}, []string{"to do"}},
		{"to-do with an issue", map[string]string{name: good("x") + "// TODO(#12): later\n"}, nil},
		{"to-do in a text", map[string]string{name: good("x") + "const s = \"TODO\"\n"}, nil},
		{"init", map[string]string{name: good("x") + "func init() {}\n"}, []string{"no init"}},
		{"method init", map[string]string{name: good("x") + "type t int\nfunc (t) init() {}\n"}, nil},
		{"init in cmd", map[string]string{"cmd/obscura/x.go": good("main") + "func init() {}\n"}, nil},
		{"assertion, sentinel, table", map[string]string{name: good("x") + "import \"errors\"\nvar _ any = (*int)(nil)\nvar errX = errors.New(\"x\")\nvar table = map[int]int{1: 2}\nfunc f() int { return table[1] }\n"}, nil},
		{"assigned", map[string]string{name: good("x") + "var v int\nfunc f() { v = 1 }\n"}, []string{"7: no state in packages"}},
		{"assigned in another file", map[string]string{name: good("x") + "var v int\n", "internal/x/y.go": licence + "package x\nfunc f() { v += 1 }\n"}, []string{"7: no state in packages"}},
		{"counted", map[string]string{name: good("x") + "var v int\nfunc f() { v++ }\n"}, []string{"7: no state in packages"}},
		{"member assigned", map[string]string{name: good("x") + "var v struct{ a []int }\nfunc f() { v.a[0] = 1 }\n"}, []string{"7: no state in packages"}},
		{"map filled", map[string]string{name: good("x") + "var v = map[int]int{}\nfunc f() { (v)[1] = 1; delete(v, 1) }\n"}, []string{"7: no state in packages", "7: no state in packages"}},
		{"range over it", map[string]string{name: good("x") + "var v int\nfunc f() { for v = range 3 { _ = v } }\n"}, []string{"7: no state in packages"}},
		{"through a pointer", map[string]string{name: good("x") + "var v = new(int)\nfunc f() { *v = 1 }\n"}, []string{"7: no state in packages"}},
		{"another package's", map[string]string{name: good("x") + "import \"net/http\"\nfunc f() { http.DefaultClient = nil }\n"}, []string{"7: no state in packages"}},
		{"shadowed", map[string]string{name: good("x") + "var v int\nfunc f(v int) { v = 1; { v := 2; v = 3; _ = v } }\n"}, nil},
		{"shadowed by a result", map[string]string{name: good("x") + "var v int\nfunc f() (v int) { v = 1; return }\n"}, nil},
		{"field of the same name", map[string]string{name: good("x") + "var v int\ntype t struct{ v int }\nfunc (x *t) f() { x.v = 1 }\n"}, nil},
		{"atomic", map[string]string{name: good("x") + "import \"sync/atomic\"\nvar v atomic.Pointer[int]\n"}, []string{"7: no state in packages"}},
		{"mutex", map[string]string{name: good("x") + "import \"sync\"\nvar mu sync.Mutex\n"}, []string{"7: no state in packages"}},
		{"pool", map[string]string{name: good("x") + "import \"sync\"\nvar p sync.Pool\n"}, nil},
		{"in a test", map[string]string{name: good("x"), "internal/x/x_test.go": licence + "package x\nvar v int\nfunc f() { v = 1 }\n"}, nil},
		{"in cmd", map[string]string{"cmd/obscura/x.go": good("main") + "var v int\nfunc f() { v = 1 }\n"}, nil},
		{"in testdata", map[string]string{name: good("x"), "internal/x/testdata/y.go": "package y\nfunc init() {}\n"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, v := range rulesBroken(t, tt.files) {
				got = append(got, v.Rule)
			}
			if !slices.Equal(got, tt.rules) {
				t.Errorf("got %q, want %q", got, tt.rules)
			}
		})
	}
}
