// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"os"
	"reflect"
	"strings"
	"testing"

	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
)

func TestCompatibilityPageTellsTheTruth(t *testing.T) {
	page, err := os.ReadFile("../../../docs/compat/kms.md")
	if err != nil {
		t.Fatal(err)
	}
	built := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 {
			built[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[2]) == "yes"
		}
	}
	api := reflect.TypeFor[kmsapi.Server]()
	own := ownMethods(t)
	for i := range api.NumMethod() {
		name := api.Method(i).Name
		yes, listed := built[name]
		if !listed || yes != own[name] {
			t.Errorf("%s: listed %v as built %v, built %v", name, listed, yes, own[name])
		}
	}
}

// ownMethods are the operations that this package declares on Service.
func ownMethods(t *testing.T) map[string]bool {
	t.Helper()
	own := map[string]bool{}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		source, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(source)) {
			if rest, ok := strings.CutPrefix(line, "func (s *Service) "); ok {
				name, _, _ := strings.Cut(rest, "(")
				own[name] = true
			}
		}
	}
	return own
}
