// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Place is where a member of a REST input lies when it is not in the body.
type Place int

// The places.
const (
	InPath Place = iota
	InQuery
	InHeader
)

// Binding carries the members of an input that lie outside its body, from a request or into one. A generated
// input has one method, Bind, for both ways. Members that are absent stay nil, and nil members are not sent.
type Binding struct {
	writing bool
	path    map[string]string // value by label of the template
	query   url.Values
	header  http.Header
	fault   string // of the first member that cannot be read
}

// bound is an input with members outside its body.
type bound interface{ Bind(*Binding) }

// NewBinding makes an empty binding that inputs are written into.
func NewBinding() *Binding {
	return &Binding{writing: true, path: map[string]string{}, query: url.Values{}, header: http.Header{}}
}

// Reading is what was written into b, to be read.
func (b *Binding) Reading() *Binding { return &Binding{path: b.path, query: b.query, header: b.header} }

// Bound takes apart a request that op matches. Errors: Serialization.
func (op *Operation) Bound(r *http.Request) (*Binding, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, op.Service.Error(Serialization, "The query string is malformed.")
	}
	b := &Binding{path: map[string]string{}, query: query, header: r.Header}
	labels, got := strings.Split(op.Path, "/"), strings.Split(r.URL.EscapedPath(), "/")
	for i, label := range labels {
		if !strings.HasPrefix(label, "{") || i >= len(got) {
			continue
		}
		value, err := url.PathUnescape(got[i])
		if err != nil {
			return nil, op.Service.Error(Serialization, "The path is malformed.")
		}
		b.path[strings.Trim(label, "{}")] = value
	}
	return b, nil
}

// target is the path and query that a written binding makes of op's template.
func (b *Binding) target(op *Operation) string {
	path := op.Path
	for label, value := range b.path {
		path = strings.ReplaceAll(path, "{"+label+"}", url.PathEscape(value))
	}
	if len(b.query) > 0 {
		path += "?" + b.query.Encode()
	}
	return path
}

func (b *Binding) get(p Place, name string) (string, bool) {
	var values []string
	switch p {
	case InPath:
		v, ok := b.path[name]
		return v, ok
	case InQuery:
		values = b.query[name]
	case InHeader:
		values = b.header.Values(name)
	}
	if len(values) > 1 {
		b.fail(name, "once")
	}
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

func (b *Binding) set(p Place, name, value string) {
	switch p {
	case InPath:
		b.path[name] = value
	case InQuery:
		b.query.Set(name, value)
	case InHeader:
		b.header.Set(name, value)
	}
}

func (b *Binding) fail(name, want string) {
	if b.fault == "" {
		b.fault = "The parameter " + name + " must be given " + want + "."
	}
}

// String binds a text.
func (b *Binding) String(p Place, name string, v **string) {
	bind(b, p, name, v, "as text", func(s string) (string, error) { return s, nil }, func(s string) string { return s })
}

// Int binds a whole number of 32 bits.
func (b *Binding) Int(p Place, name string, v **int64) { b.whole(p, name, v, 32) }

// Long binds a whole number of 64 bits.
func (b *Binding) Long(p Place, name string, v **int64) { b.whole(p, name, v, 64) }

func (b *Binding) whole(p Place, name string, v **int64, bits int) {
	bind(b, p, name, v, "as a whole number",
		func(s string) (int64, error) { return strconv.ParseInt(s, 10, bits) },
		func(n int64) string { return strconv.FormatInt(n, 10) })
}

// Bool binds true or false.
func (b *Binding) Bool(p Place, name string, v **bool) {
	bind(b, p, name, v, "as true or false", parseBool, strconv.FormatBool)
}

func parseBool(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, strconv.ErrSyntax
	}
	return s == "true", nil
}

func bind[T any](b *Binding, p Place, name string, v **T, want string, read func(string) (T, error), write func(T) string) {
	if b.writing {
		if *v != nil {
			b.set(p, name, write(**v))
		}
		return
	}
	text, ok := b.get(p, name)
	if !ok {
		return
	}
	value, err := read(text)
	if err != nil {
		b.fail(name, want)
		return
	}
	*v = &value
}
