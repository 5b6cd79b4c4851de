// SPDX-License-Identifier: Apache-2.0

package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// model is the part of an api-2.json that the generator reads.
type model struct {
	Metadata struct {
		APIVersion      string
		ServiceFullName string
		EndpointPrefix  string
		SigningName     string
		Protocol        string
		TargetPrefix    string
		XMLNamespace    string
	}
	Operations map[string]*operation
	Shapes     map[string]*shape
}

type operation struct {
	Name string
	HTTP struct{ Method, RequestURI string }
	// Authtype "none" means that the request carries no signature.
	Authtype string
	Input    *ref
	Output   *ref
	Errors   []*ref
}

type shape struct {
	Type      string
	Members   map[string]*ref
	Required  []string
	Member    *ref
	Key       *ref
	Value     *ref
	Enum      []string
	Min       *float64
	Max       *float64
	Pattern   string
	RE2       string // patch only: Pattern in Go's syntax, where they differ
	Sensitive bool
	Streaming bool
	Payload   string
	Flattened bool
	Exception bool
	Fault     bool
	Error     struct {
		Code           string
		HTTPStatusCode int
		SenderFault    bool
	}
	TimestampFormat string
}

// ref is the use of a shape as a member.
type ref struct {
	Shape        string
	Location     string
	LocationName string
	// ResultWrapper is the element around an output of the query protocol.
	ResultWrapper string
	// Secret is the patch's own: the member stays out of audit events.
	Secret bool
}

//go:embed patch.json
var patchJSON []byte

// ownModels are the models of APIs that are ours alone.
//
//go:embed models
var ownModels embed.FS

// patch is what the models lack.
type patch struct {
	// Secrets are member names, of any service, that never enter an audit event.
	Secrets []string
	// Bodies bounds the request body per package, in bytes.
	Bodies map[string]int64
	// Only lists the operations that are generated of a model, with the shapes and errors that they
	// reach; a model without a list is generated whole.
	Only map[string][]string
	// Models holds a merge patch (RFC 7386) per model.
	Models map[string]any
}

func loadPatch() (*patch, error) {
	p := new(patch)
	if err := json.Unmarshal(patchJSON, p); err != nil {
		return nil, fmt.Errorf("patch.json: %w", err)
	}
	return p, nil
}

// readModel reads our own model of that name, or else the newest version of the module's.
func readModel(dir, name string) ([]byte, error) {
	data, err := ownModels.ReadFile("models/" + name + ".json")
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	found, err := filepath.Glob(filepath.Join(dir, "models", "apis", name, "*", "api-2.json"))
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("no model of that name in %s", dir)
	}
	return os.ReadFile(slices.Max(found))
}

// load reads a model and merges the patch over it.
func load(dir, name string, p *patch) (*model, error) {
	data, err := readModel(dir, name)
	if err != nil {
		return nil, err
	}
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if over, ok := p.Models[name]; ok {
		doc = merge(doc, over)
	}
	if data, err = json.Marshal(doc); err != nil {
		return nil, err
	}
	m := new(model)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, err
	}
	if only, ok := p.Only[name]; ok {
		if err := m.keep(only); err != nil {
			return nil, err
		}
	}
	m.markSecrets(p.Secrets)
	return m, nil
}

// keep drops every operation but those named, and the shapes that these do not reach.
func (m *model) keep(names []string) error {
	kept, shapes := map[string]*operation{}, map[string]*shape{}
	for _, name := range names {
		o, ok := m.Operations[name]
		if !ok {
			return fmt.Errorf("the patch selects %s, which the model does not have", name)
		}
		kept[name] = o
		for _, r := range append([]*ref{o.Input, o.Output}, o.Errors...) {
			m.collect(r, shapes)
		}
	}
	m.Operations, m.Shapes = kept, shapes
	return nil
}

// collect notes the shape of r and every one below it.
func (m *model) collect(r *ref, into map[string]*shape) {
	if r == nil || into[r.Shape] != nil {
		return
	}
	s := m.Shapes[r.Shape]
	into[r.Shape] = s
	for _, below := range []*ref{s.Member, s.Key, s.Value} {
		m.collect(below, into)
	}
	for _, below := range s.Members {
		m.collect(below, into)
	}
}

// merge is a JSON merge patch: null deletes, objects merge, the rest replaces.
func merge(doc, over any) any {
	o, ok := over.(map[string]any)
	if !ok {
		return over
	}
	d, ok := doc.(map[string]any)
	if !ok {
		d = map[string]any{}
	}
	for k, v := range o {
		if v == nil {
			delete(d, k)
			continue
		}
		d[k] = merge(d[k], v)
	}
	return d
}

func (m *model) markSecrets(names []string) {
	for _, s := range m.Shapes {
		for name, r := range s.Members {
			r.Secret = slices.Contains(names, name) || m.sensitive(r.Shape)
		}
	}
}

// sensitive says whether a shape, or the elements of a list, are marked so.
func (m *model) sensitive(name string) bool {
	s := m.Shapes[name]
	return s.Sensitive || s.Type == "list" && m.Shapes[s.Member.Shape].Sensitive
}

// sorted is the keys of a map in order, so that the output is stable.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// structs lists the structures to emit: each operation's input and output under
// the operation's name, and what they reach under the model's own name.
func (m *model) structs() []structure {
	var out []structure
	seen := map[string]bool{}
	for _, op := range sorted(m.Operations) {
		o := m.Operations[op]
		for _, dir := range []struct {
			suffix string
			use    *ref
		}{{"Input", o.Input}, {"Output", o.Output}} {
			s := structure{name: upper(op) + dir.suffix, operation: op, suffix: dir.suffix, shape: &shape{Type: "structure"}}
			if dir.use != nil {
				s.shape = m.Shapes[dir.use.Shape]
			}
			out = append(out, s)
			m.reach(s.shape, seen)
		}
	}
	for _, name := range sorted(seen) {
		out = append(out, structure{name: upper(name), shape: m.Shapes[name]})
	}
	slices.SortFunc(out, func(a, b structure) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return out
}

// structure is one Go struct to emit.
type structure struct {
	name      string
	operation string // set for inputs and outputs
	suffix    string // Input or Output
	shape     *shape
}

func (s structure) input() bool  { return s.suffix == "Input" }
func (s structure) output() bool { return s.suffix == "Output" }

// reach notes every structure below s.
func (m *model) reach(s *shape, seen map[string]bool) {
	refs := []*ref{s.Member, s.Key, s.Value}
	for _, r := range s.Members {
		refs = append(refs, r)
	}
	for _, r := range refs {
		if r == nil || seen[r.Shape] {
			continue
		}
		next := m.Shapes[r.Shape]
		if next.Type == "structure" {
			seen[r.Shape] = true
		}
		m.reach(next, seen)
	}
}

// exceptions lists the modelled errors by name.
func (m *model) exceptions() []string {
	var out []string
	for _, name := range sorted(m.Shapes) {
		if m.Shapes[name].Exception {
			out = append(out, name)
		}
	}
	return out
}
