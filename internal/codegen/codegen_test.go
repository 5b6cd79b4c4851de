// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestCommittedFilesAreCurrent(t *testing.T) {
	if err := run(true); err != nil {
		t.Error(err)
	}
}

func TestCheckNoticesStaleFiles(t *testing.T) {
	dir := t.TempDir()
	files := map[string][]byte{"types_gen.go": []byte("package x\n")}
	if err := write(dir, files); err != nil {
		t.Fatal(err)
	}
	if err := compare(dir, files); err != nil {
		t.Errorf("current files: %v", err)
	}
	for _, c := range []struct {
		name  string
		files map[string][]byte
	}{
		{"changed", map[string][]byte{"types_gen.go": []byte("package y\n")}},
		{"missing", map[string][]byte{"types_gen.go": files["types_gen.go"], "json_gen.go": nil}},
		{"superfluous", map[string][]byte{}},
	} {
		if compare(dir, c.files) == nil {
			t.Errorf("%s: not noticed", c.name)
		}
	}
	if err := write(dir, map[string][]byte{"json_gen.go": nil}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "types_gen.go")); !os.IsNotExist(err) {
		t.Error("a file that is no longer generated stays")
	}
}

func TestPatchMergesAsRFC7386(t *testing.T) {
	for _, c := range [][3]string{
		{`{"a":1,"b":2}`, `{"b":3}`, `{"a":1,"b":3}`},
		{`{"a":1}`, `{"a":null}`, `{}`},
		{`{"a":{"x":1}}`, `{"a":{"y":2}}`, `{"a":{"x":1,"y":2}}`},
		{`{"a":[1,2]}`, `{"a":[3]}`, `{"a":[3]}`},
		{`{"a":1}`, `{"a":{"y":2,"z":null}}`, `{"a":{"y":2}}`},
	} {
		var doc, over, want any
		for i, v := range []*any{&doc, &over, &want} {
			if err := json.Unmarshal([]byte(c[i]), v); err != nil {
				t.Fatal(err)
			}
		}
		if got := merge(doc, over); !reflect.DeepEqual(got, want) {
			t.Errorf("%s + %s = %v", c[0], c[1], got)
		}
	}
}

func TestPatternsAreAnchoredAndTranslated(t *testing.T) {
	for _, c := range []struct {
		shape shape
		yes   string
		no    string
	}{
		{shape{Pattern: `[a-z]+`}, "ab", "ab1"},
		{shape{Pattern: `^[a-z]+$`}, "ab", "ab\n"},
		{shape{Pattern: `a|b`}, "b", "ab"},
		{shape{Pattern: `[\u0009\u0020-\u00FF]*`}, "a\té", "\n"},
		{shape{Pattern: `[\p{L}\p{Z}]+`}, "é ", "1"},
		{shape{Pattern: `x(?!y)`, RE2: `x`}, "x", "xy"},
	} {
		text, err := translate(&c.shape)
		if err != nil {
			t.Errorf("%s: %v", c.shape.Pattern, err)
			continue
		}
		re := regexp.MustCompile(text)
		if !re.MatchString(c.yes) || re.MatchString(c.no) {
			t.Errorf("%s became %s", c.shape.Pattern, text)
		}
	}
}

func TestUntranslatablePatternsFailTheGeneration(t *testing.T) {
	for _, pattern := range []string{`x(?!y)`, `[\uD800\uDC00-\uDBFF\uDFFF]`, `[\u10000-\u10FFFF]`, `(?<a>`} {
		if got, err := translate(&shape{Pattern: pattern}); err == nil || !strings.Contains(err.Error(), "patch.json") {
			t.Errorf("%s: got %s, %v", pattern, got, err)
		}
	}
}

func TestEnumConstantsReadAsGo(t *testing.T) {
	for value, want := range map[string]string{
		"RSA_2048": "KeySpecRsa2048", "PendingDeletion": "KeySpecPendingDeletion", "aws:kms": "KeySpecAwsKms",
		"ECC_NIST_P256": "KeySpecEccNistP256", "video/mp2t": "KeySpecVideoMp2t", "DONE": "KeySpecDone",
	} {
		if got := enumConst("KeySpec", value); got != want {
			t.Errorf("%s: got %s, want %s", value, got, want)
		}
	}
}

// TestUnknownFeaturesFailTheGeneration: what the generator does not know it must
// not leave out.
func TestUnknownFeaturesFailTheGeneration(t *testing.T) {
	text := &shape{Type: "string"}
	for name, c := range map[string]struct {
		member *ref
		shapes map[string]*shape
	}{
		"type":           {&ref{Shape: "X"}, map[string]*shape{"X": {Type: "union"}}},
		"location":       {&ref{Shape: "X", Location: "uri"}, map[string]*shape{"X": text}},
		"status code":    {&ref{Shape: "X", Location: "statusCode"}, map[string]*shape{"X": text}},
		"header of list": {&ref{Shape: "X", Location: "header"}, map[string]*shape{"X": {Type: "list", Member: &ref{Shape: "Y"}}, "Y": text}},
		"range of float": {&ref{Shape: "X"}, map[string]*shape{"X": {Type: "double", Min: new(1.0)}}},
	} {
		m := &model{Shapes: c.shapes, Operations: map[string]*operation{"Op": {Name: "Op", Input: &ref{Shape: "In"}}}}
		m.Metadata.Protocol = "rest-json"
		m.Shapes["In"] = &shape{Type: "structure", Members: map[string]*ref{"M": c.member}}
		f := &file{m: m, patch: &patch{}, svc: service{model: "x", pkg: "x"}}
		if f.types() == nil && f.json() == nil && f.validate() == nil {
			t.Errorf("%s: generated %s", name, f)
		}
	}
}

func TestInputsBindWhatLiesOutsideTheBody(t *testing.T) {
	m := &model{
		Shapes: map[string]*shape{"T": {Type: "string"}, "N": {Type: "integer"}, "In": {Type: "structure", Members: map[string]*ref{
			"id": {Shape: "T", Location: "uri", LocationName: "id"}, "max": {Shape: "N", Location: "querystring"},
			"who": {Shape: "T", Location: "header", LocationName: "x-who"}, "body": {Shape: "T"},
		}}},
		Operations: map[string]*operation{"Op": {Name: "Op", Input: &ref{Shape: "In"}}},
	}
	m.Metadata.Protocol = "rest-json"
	m.Operations["Op"].HTTP.RequestURI = "/things/{id}"
	f := &file{m: m, patch: &patch{}, svc: service{model: "x", pkg: "x"}}
	if err := f.json(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`b.String(protocol.InPath, "id", &v.Id)`, `b.Int(protocol.InQuery, "max", &v.Max)`,
		`b.String(protocol.InHeader, "x-who", &v.Who)`, `b = protocol.WriteValue(b, "body", v.Body`,
	} {
		if !strings.Contains(f.String(), want) {
			t.Errorf("no %s in\n%s", want, f)
		}
	}
	if strings.Contains(f.String(), `case "id"`) {
		t.Error("a member of the path is read from the body too")
	}
	m.Metadata.Protocol = "query"
	if err := f.query(); err == nil {
		t.Error("the query protocol took a location")
	}
}

func TestSelectionKeepsOperationsAndWhatTheyReach(t *testing.T) {
	m := &model{
		Shapes: map[string]*shape{
			"In": {Type: "structure", Members: map[string]*ref{"l": {Shape: "L"}}}, "L": {Type: "list", Member: &ref{Shape: "In"}},
			"Err": {Type: "structure", Exception: true}, "Other": {Type: "structure"}, "OtherErr": {Type: "structure", Exception: true},
		},
		Operations: map[string]*operation{
			"A": {Name: "A", Input: &ref{Shape: "In"}, Errors: []*ref{{Shape: "Err"}}},
			"B": {Name: "B", Output: &ref{Shape: "Other"}, Errors: []*ref{{Shape: "OtherErr"}}},
		},
	}
	if err := m.keep([]string{"C"}); err == nil {
		t.Error("an unknown operation was selected")
	}
	if err := m.keep([]string{"A"}); err != nil {
		t.Fatal(err)
	}
	if got := sorted(m.Shapes); !reflect.DeepEqual(got, []string{"Err", "In", "L"}) || len(m.Operations) != 1 {
		t.Errorf("kept %v, %v", got, sorted(m.Operations))
	}
}
