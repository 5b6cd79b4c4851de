// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// maxDepth is deeper than any policy: document, statement, condition, operator, values.
const maxDepth = 8

var (
	errJSON   = errors.New("policy: not JSON")
	errSyntax = errors.New("policy: not a policy's structure")
)

// A node is a JSON value whose objects keep their order and have no member twice. Policies are read through it
// and not into structs, because encoding/json would take "effect" for "Effect" and let a repeated member
// override the one a reviewer saw.
type node struct {
	kind    nodeKind
	text    string // of a scalar
	members []member
	items   []node
}

type member struct {
	name  string
	value node
}

type nodeKind int

const (
	scalarNode nodeKind = iota // string, number or boolean, as text
	stringNode
	arrayNode
	objectNode
)

// readJSON reads one JSON value that fills doc. It returns errJSON when doc is no JSON, errSyntax when it
// is JSON that no policy has: null, a member twice, or too deep.
func readJSON(doc []byte) (node, error) {
	if !utf8.Valid(doc) {
		return node{}, errJSON
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	n, err := readNode(d, 0)
	if err != nil {
		return node{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return node{}, errJSON
	}
	return n, nil
}

func readNode(d *json.Decoder, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, errSyntax
	}
	t, err := d.Token()
	if err != nil {
		return node{}, errJSON
	}
	switch t := t.(type) {
	case string:
		return node{kind: stringNode, text: t}, nil
	case json.Number:
		return node{text: t.String()}, nil
	case bool:
		if t {
			return node{text: "true"}, nil
		}
		return node{text: "false"}, nil
	case json.Delim:
		if t == '[' {
			return readArray(d, depth)
		}
		return readObject(d, depth)
	}
	return node{}, errSyntax
}

func readArray(d *json.Decoder, depth int) (node, error) {
	n := node{kind: arrayNode}
	for d.More() {
		item, err := readNode(d, depth+1)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, item)
	}
	return n, closing(d)
}

func readObject(d *json.Decoder, depth int) (node, error) {
	n := node{kind: objectNode}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return node{}, errJSON
		}
		if seen[name] {
			return node{}, errSyntax
		}
		seen[name] = true
		value, err := readNode(d, depth+1)
		if err != nil {
			return node{}, err
		}
		n.members = append(n.members, member{name, value})
	}
	return n, closing(d)
}

func closing(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return errJSON
	}
	return nil
}

// list returns an array's items, or the value itself as the only one.
func (n node) list() []node {
	if n.kind == arrayNode {
		return n.items
	}
	return []node{n}
}

// strings returns a string or an array of strings.
func (n node) strings() ([]string, bool) {
	out := make([]string, 0, len(n.items))
	for _, item := range n.list() {
		if item.kind != stringNode {
			return nil, false
		}
		out = append(out, item.text)
	}
	return out, true
}

// scalars returns a scalar or an array of scalars, numbers and booleans as their text.
func (n node) scalars() ([]string, bool) {
	out := make([]string, 0, len(n.items))
	for _, item := range n.list() {
		if item.kind != stringNode && item.kind != scalarNode {
			return nil, false
		}
		out = append(out, item.text)
	}
	return out, true
}
