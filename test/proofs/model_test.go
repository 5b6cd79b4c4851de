// SPDX-License-Identifier: Apache-2.0

package proofs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// model is a file *.pv, as far as the tests must understand it:
//
//	(* Q1: text *)                 the query that follows must be proved
//	(* R1: text *)                 the event of the query that follows must be reachable: a model in which nothing happens proves everything
//	…code…   (*- name -*)          a check: the control of that name is the model without the line
//	(*+ name: …code… +*)           a line that only the control has
//	   name breaks Q1 Q2           in the list of controls: these queries, and no others, have an attack in it
//	   name breaks nothing: why    a check that another one makes needless
type model struct {
	name     string
	source   string
	queries  []string            // labels, in order
	controls []string            // names, in order
	breaks   map[string][]string // by control, labels
}

var (
	queryLine   = regexp.MustCompile(`(?m)^\(\* ([QR]\d+): `)
	queryStart  = regexp.MustCompile(`(?m)^query\b`)
	controlLine = regexp.MustCompile(`(?m)^   ([a-z0-9-]+) breaks ((?:Q\d+ ?)+|nothing: )`)
	dropped     = regexp.MustCompile(`\(\*- ([a-z0-9-]+) -\*\)`)
	added       = regexp.MustCompile(`(?m)^ *\(\*\+ ([a-z0-9-]+): (.*) \+\*\)$`)
)

func readModels(t *testing.T) (all []*model) {
	t.Helper()
	files, err := filepath.Glob("*.pv")
	if err != nil || len(files) == 0 {
		t.Fatal("no models", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parseModel(strings.TrimSuffix(f, ".pv"), string(b)))
	}
	return all
}

func parseModel(name, source string) *model {
	m := &model{name: name, source: source, breaks: map[string][]string{}}
	for _, q := range queryLine.FindAllStringSubmatch(source, -1) {
		m.queries = append(m.queries, q[1])
	}
	for _, c := range controlLine.FindAllStringSubmatch(source, -1) {
		m.controls = append(m.controls, c[1])
		m.breaks[c[1]] = nil
		if strings.HasPrefix(c[2], "Q") {
			m.breaks[c[1]] = strings.Fields(c[2])
		}
	}
	return m
}

// without is the model's source as a control.
func (m *model) without(control string) string {
	var out []string
	for line := range strings.Lines(m.source) {
		if d := dropped.FindStringSubmatch(line); d != nil && d[1] == control {
			continue
		}
		if a := added.FindStringSubmatch(strings.TrimSuffix(line, "\n")); a != nil && a[1] == control {
			line = a[2] + "\n"
		}
		out = append(out, line)
	}
	return strings.Join(out, "")
}

// marks are the names of controls that stand at lines of the model.
func (m *model) marks() map[string]bool {
	all := map[string]bool{}
	for _, r := range []*regexp.Regexp{dropped, added} {
		for _, x := range r.FindAllStringSubmatch(m.source, -1) {
			all[x[1]] = true
		}
	}
	return all
}

// TestModelsAreWhole needs no prover: each query has a label and each mark an expectation, so that none is left out of the proof by a
// slip of the pen.
func TestModelsAreWhole(t *testing.T) {
	for _, m := range readModels(t) {
		if n := len(queryStart.FindAllString(m.source, -1)); n != len(m.queries) || n == 0 {
			t.Errorf("%s: %d queries, %d labels", m.name, n, len(m.queries))
		}
		if strings.Count(m.source, "(*+ ") != len(added.FindAllString(m.source, -1)) {
			t.Errorf("%s: a line of a control has more on it", m.name)
		}
		marks := m.marks()
		for _, c := range m.controls {
			if !marks[c] || m.without(c) == m.source {
				t.Errorf("%s: control %s changes nothing", m.name, c)
			}
			delete(marks, c)
			for _, q := range m.breaks[c] {
				if !strings.Contains(m.source, "(* "+q+": ") {
					t.Errorf("%s: control %s breaks %s, which there is not", m.name, c, q)
				}
			}
		}
		for c := range marks {
			t.Errorf("%s: nothing is expected of control %s", m.name, c)
		}
		for _, q := range m.queries {
			if strings.HasPrefix(q, "Q") && !strings.Contains(fmt.Sprint(m.breaks), q) {
				t.Errorf("%s: no control breaks %s", m.name, q)
			}
		}
	}
}
