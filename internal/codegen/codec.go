// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A direction is one of the four ways over the wire. The runtime has a function
// per type for each, and the generated methods put them together.
type direction struct {
	scalar map[string]string // runtime function by model type
	// nested is the function for an element that is a structure.
	nested func(typ string) string
	// list and mapping are the functions for an element that is itself a collection.
	list    func(typ, elem string) string
	mapping func(typ, elem string) string
}

var jsonWrite = direction{
	scalar: map[string]string{
		"string": "protocol.AppendString", "integer": "protocol.AppendInt", "long": "protocol.AppendInt",
		"double": "protocol.AppendFloat", "float": "protocol.AppendFloat", "boolean": "protocol.AppendBool",
		"timestamp": "protocol.AppendTime", "blob": "protocol.AppendBlob",
	},
	nested: func(typ string) string { return "protocol.AppendStruct((*" + typ + ").AppendJSON)" },
	list: func(typ, elem string) string {
		return "func(b []byte, v " + typ + ") []byte { return protocol.AppendList(b, v, " + elem + ") }"
	},
	mapping: func(typ, elem string) string {
		return "func(b []byte, v " + typ + ") []byte { return protocol.AppendMap(b, v, " + elem + ") }"
	},
}

var jsonRead = direction{
	scalar: map[string]string{
		"string": "(*protocol.JSONReader).String", "integer": "(*protocol.JSONReader).Int", "long": "(*protocol.JSONReader).Long",
		"double": "(*protocol.JSONReader).Float", "float": "(*protocol.JSONReader).Float", "boolean": "(*protocol.JSONReader).Bool",
		"timestamp": "(*protocol.JSONReader).Time", "blob": "(*protocol.JSONReader).Blob",
	},
	nested: func(typ string) string { return "protocol.ReadStruct((*" + typ + ").DecodeJSON)" },
	list: func(typ, elem string) string {
		return "func(r *protocol.JSONReader) " + typ + " { return protocol.ReadList(r, " + elem + ") }"
	},
	mapping: func(typ, elem string) string {
		return "func(r *protocol.JSONReader) " + typ + " { return protocol.ReadMap(r, " + elem + ") }"
	},
}

var formRead = direction{
	scalar: map[string]string{
		"string": "protocol.FormString", "integer": "protocol.FormInt", "long": "protocol.FormLong",
		"double": "protocol.FormFloat", "float": "protocol.FormFloat", "boolean": "protocol.FormBool",
		"timestamp": "protocol.FormTime", "blob": "protocol.FormBytes",
	},
	nested: func(typ string) string { return "protocol.FormStruct((*" + typ + ").DecodeForm)" },
}

var xmlWrite = direction{
	scalar: map[string]string{
		"string": "protocol.AppendText", "integer": "protocol.XMLInt", "long": "protocol.XMLInt",
		"double": "protocol.XMLFloat", "float": "protocol.XMLFloat", "boolean": "protocol.XMLBool",
		"timestamp": "protocol.XMLTime", "blob": "protocol.XMLBytes",
	},
	nested: func(typ string) string { return "protocol.XMLStruct((*" + typ + ").AppendXML)" },
}

// elem is the runtime function for an element of the given shape.
func (f *file) elem(d direction, name string) (string, error) {
	s := f.m.Shapes[name]
	if fn, ok := d.scalar[s.Type]; ok {
		return fn, nil
	}
	if s.Type == "structure" {
		return d.nested(upper(name)), nil
	}
	typ, err := f.m.goType(name)
	if err != nil {
		return "", err
	}
	wrap, inner := d.list, s.Member
	if s.Type == "map" {
		wrap, inner = d.mapping, s.Value
	}
	if wrap == nil {
		return "", fmt.Errorf("%s: a collection inside a collection", name)
	}
	fn, err := f.elem(d, inner.Shape)
	return wrap(typ, fn), err
}

// members calls emit for every member that is in the body, with its Go name, its
// name on the wire, its shape, and the function for it or its elements.
func (f *file) members(s *shape, d direction, emit func(field, wire string, use *shape, typ, fn string)) error {
	for _, name := range sorted(s.Members) {
		r := s.Members[name]
		if r.Location != "" && f.m.Metadata.Protocol == "query" {
			return fmt.Errorf("%s: location %q in the query protocol", name, r.Location)
		}
		if r.Location != "" || s.Payload == name {
			continue // in bindings
		}
		use := f.m.Shapes[r.Shape]
		target := r.Shape
		switch use.Type {
		case "list":
			target = use.Member.Shape
		case "map":
			target = use.Value.Shape
		}
		fn, err := f.elem(d, target)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		emit(upper(name), cmp.Or(r.LocationName, name), use, upper(r.Shape), fn)
	}
	return nil
}

// json emits both ways of every structure of a JSON service.
func (f *file) json() error {
	if f.m.Metadata.Protocol == "query" {
		return nil
	}
	for _, s := range f.m.structs() {
		if err := f.jsonAppend(s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := f.jsonDecode(s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := f.bindings(s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (f *file) jsonAppend(s structure) error {
	f.p("// AppendJSON adds v as a JSON object.")
	f.p("func (v *%s) AppendJSON(b []byte) []byte {", s.name)
	f.p("b = protocol.OpenObject(b)")
	err := f.members(s.shape, jsonWrite, func(field, wire string, use *shape, typ, fn string) {
		switch use.Type {
		case "structure":
			f.p("b = protocol.WriteObject(b, %q, v.%s, (*%s).AppendJSON)", wire, field, typ)
		case "blob":
			f.p("b = protocol.WriteBlob(b, %q, v.%s)", wire, field)
		case "list":
			f.p("b = protocol.WriteList(b, %q, v.%s, %s)", wire, field, fn)
		case "map":
			f.p("b = protocol.WriteMap(b, %q, v.%s, %s)", wire, field, fn)
		default:
			f.p("b = protocol.WriteValue(b, %q, v.%s, %s)", wire, field, fn)
		}
	})
	f.p("return protocol.CloseObject(b)\n}\n")
	return err
}

func (f *file) jsonDecode(s structure) error {
	body := &file{m: f.m, svc: f.svc}
	err := f.members(s.shape, jsonRead, func(field, wire string, use *shape, typ, fn string) {
		body.p("case %q:", wire)
		switch use.Type {
		case "structure":
			body.p("v.%s = protocol.ReadObject(r, (*%s).DecodeJSON)", field, typ)
		case "blob":
			body.p("v.%s = protocol.ReadBlob(r)", field)
		case "list":
			body.p("v.%s = protocol.ReadList(r, %s)", field, fn)
		case "map":
			body.p("v.%s = protocol.ReadMap(r, %s)", field, fn)
		default:
			body.p("v.%s = protocol.ReadValue(r, %s)", field, fn)
		}
	})
	f.p("// DecodeJSON reads v from a JSON object.")
	f.p("func (v *%s) DecodeJSON(r *protocol.JSONReader) {", s.name)
	if body.Len() == 0 {
		f.p("for range r.Names() {\nr.Skip()\n}\n}\n")
		return err
	}
	f.p("for name := range r.Names() {\nswitch string(name) {\n%sdefault:\nr.Skip()\n}\n}\n}\n", body.String())
	return err
}

// bindings emits what an input or output has outside its JSON body.
func (f *file) bindings(s structure) error {
	var names []string
	for _, name := range sorted(s.shape.Members) {
		if s.shape.Members[name].Location != "" {
			names = append(names, name)
		}
	}
	if s.input() {
		if err := f.bind(s, names); err != nil {
			return err
		}
	} else if len(names) > 0 {
		if err := f.headers(s, names); err != nil {
			return err
		}
	}
	if s.shape.Payload == "" {
		return nil
	}
	if payload := f.m.Shapes[s.shape.Members[s.shape.Payload].Shape]; !s.output() || !payload.Streaming {
		return fmt.Errorf("only a streaming output is generated as a payload")
	}
	f.p("// Stream is the body of the response.")
	f.p("func (v *%s) Stream() protocol.Stream { return v.%s }\n", s.name, upper(s.shape.Payload))
	return nil
}

// bind emits the one method that reads and writes the members of an input that lie in path, query and headers.
func (f *file) bind(s structure, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if f.m.Metadata.Protocol != "rest-json" {
		return fmt.Errorf("%s: a location in protocol %s", names[0], f.m.Metadata.Protocol)
	}
	f.p("// Bind reads or writes the members that lie outside the body.")
	f.p("func (v *%s) Bind(b *protocol.Binding) {", s.name)
	for _, name := range names {
		r := s.shape.Members[name]
		wire := cmp.Or(r.LocationName, name)
		place, err := f.place(s.operation, r.Location, wire)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		kind := map[string]string{"string": "String", "integer": "Int", "long": "Long", "boolean": "Bool"}[f.m.Shapes[r.Shape].Type]
		if kind == "" {
			return fmt.Errorf("%s: a %s in location %s is not generated yet", name, f.m.Shapes[r.Shape].Type, r.Location)
		}
		f.p("b.%s(protocol.%s, %q, &v.%s)", kind, place, wire, upper(name))
	}
	f.p("}\n")
	return nil
}

// place is the runtime's name for a location; a label of the path must be a whole segment of the template.
func (f *file) place(op, location, wire string) (string, error) {
	switch location {
	case "uri":
		template := f.m.Operations[op].HTTP.RequestURI
		if !slices.Contains(strings.Split(template, "/"), "{"+wire+"}") {
			return "", fmt.Errorf("%s has no segment {%s}", template, wire)
		}
		return "InPath", nil
	case "querystring":
		return "InQuery", nil
	case "header":
		return "InHeader", nil
	}
	return "", fmt.Errorf("location %q is not generated yet", location)
}

func (f *file) headers(s structure, names []string) error {
	for _, name := range names {
		if r := s.shape.Members[name]; !s.output() || r.Location != "header" || f.m.Shapes[r.Shape].Type != "string" {
			return fmt.Errorf("%s: location %q of %s is not generated yet", name, r.Location, s.name)
		}
	}
	f.p("// EncodeHeader sets the members that are headers.")
	f.p("func (v *%s) EncodeHeader(h http.Header) {", s.name)
	for _, name := range names {
		f.p("protocol.SetHeader(h, %q, v.%s)", s.shape.Members[name].LocationName, upper(name))
	}
	f.p("}\n")
	f.p("// DecodeHeader reads the members that are headers.")
	f.p("func (v *%s) DecodeHeader(h http.Header) {", s.name)
	for _, name := range names {
		f.p("v.%s = protocol.Header(h, %q)", upper(name), s.shape.Members[name].LocationName)
	}
	f.p("}\n")
	return nil
}

// query emits the parameters of inputs and the XML of outputs.
func (f *file) query() error {
	if f.m.Metadata.Protocol != "query" {
		return nil
	}
	in, out := f.m.below(structure.input), f.m.below(structure.output)
	for _, s := range f.m.structs() {
		if s.input() || in[s.name] {
			if err := f.formDecode(s); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		if s.output() || out[s.name] {
			if err := f.xmlAppend(s); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return nil
}

// below is the Go names of the structures that those of one direction hold.
func (m *model) below(which func(structure) bool) map[string]bool {
	seen := map[string]bool{}
	for _, s := range m.structs() {
		if which(s) {
			m.reach(s.shape, seen)
		}
	}
	out := map[string]bool{}
	for name := range seen {
		out[upper(name)] = true
	}
	return out
}

func (f *file) formDecode(s structure) error {
	f.p("// DecodeForm reads v from the parameters of a request.")
	f.p("func (v *%s) DecodeForm(f *protocol.Form) {", s.name)
	err := f.members(s.shape, formRead, func(field, wire string, use *shape, typ, fn string) {
		switch use.Type {
		case "structure":
			f.p("v.%s = protocol.FormObject(f, %q, (*%s).DecodeForm)", field, wire, typ)
		case "blob":
			f.p("v.%s = protocol.FormBlob(f, %q)", field, wire)
		case "list":
			f.p("v.%s = protocol.FormList(f, %q, %q, %s)", field, wire, use.memberName(), fn)
		case "map":
			key, value := use.entryNames()
			f.p("v.%s = protocol.FormMap(f, %q, %q, %q, %s)", field, wire, key, value, fn)
		default:
			f.p("v.%s = protocol.FormValue(f, %q, %s)", field, wire, fn)
		}
		if use.Flattened {
			f.p("flattened lists are not generated yet")
		}
	})
	f.p("}\n")
	return err
}

func (f *file) xmlAppend(s structure) error {
	f.p("// AppendXML adds the elements of v.")
	f.p("func (v *%s) AppendXML(b []byte) []byte {", s.name)
	err := f.members(s.shape, xmlWrite, func(field, wire string, use *shape, typ, fn string) {
		switch use.Type {
		case "structure":
			f.p("b = protocol.XMLObject(b, %q, v.%s, (*%s).AppendXML)", wire, field, typ)
		case "blob":
			f.p("b = protocol.XMLBlob(b, %q, v.%s)", wire, field)
		case "list":
			f.p("b = protocol.XMLList(b, %q, %q, v.%s, %s)", wire, use.memberName(), field, fn)
		case "map":
			key, value := use.entryNames()
			f.p("b = protocol.XMLMap(b, %q, %q, %q, v.%s, %s)", wire, key, value, field, fn)
		default:
			f.p("b = protocol.XMLValue(b, %q, v.%s, %s)", wire, field, fn)
		}
	})
	f.p("return b\n}\n")
	return err
}

// memberName is what the elements of a list are called in the query protocol.
func (s *shape) memberName() string { return cmp.Or(s.Member.LocationName, "member") }

func (s *shape) entryNames() (key, value string) {
	return cmp.Or(s.Key.LocationName, "key"), cmp.Or(s.Value.LocationName, "value")
}
