// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxFormFields = 20000 // parameters of one request
	maxFormDepth  = 32    // dots in one name
)

// Form is a node of the tree that query parameters spell: Tags.member.1.Key is
// four levels below the root. A node may be nil: it has no value and no children.
type Form struct {
	value    string
	present  bool
	children map[string]*Form
	fault    *error // shared by the tree
}

// ParseForm builds the tree. Errors: too many or too deep parameters, a repeated
// one, and text that is not UTF-8.
func ParseForm(values url.Values) (*Form, error) {
	if len(values) > maxFormFields {
		return nil, fmt.Errorf("more than %d parameters", maxFormFields)
	}
	root := &Form{fault: new(error)}
	for name, v := range values {
		if len(v) != 1 {
			return nil, fmt.Errorf("parameter %s is repeated", clip(name))
		}
		if !utf8.ValidString(name) || !utf8.ValidString(v[0]) {
			return nil, fmt.Errorf("a parameter is not UTF-8")
		}
		if strings.Count(name, ".") > maxFormDepth {
			return nil, fmt.Errorf("a parameter is nested too deeply")
		}
		root.set(name, v[0])
	}
	return root, nil
}

func (f *Form) set(name, value string) {
	for part := range strings.SplitSeq(name, ".") {
		next := f.children[part]
		if next == nil {
			next = &Form{fault: f.fault}
			if f.children == nil {
				f.children = map[string]*Form{}
			}
			f.children[part] = next
		}
		f = next
	}
	f.value, f.present = value, true
}

// Err is the first error of any node of the tree.
func (f *Form) Err() error { return *f.fault }

func (f *Form) fail(name, want string) {
	if *f.fault == nil {
		*f.fault = fmt.Errorf("parameter %s is not %s", clip(name), want)
	}
}

// child is the node below f, or nil.
func (f *Form) child(name string) *Form {
	if f == nil {
		return nil
	}
	return f.children[name]
}

// FormValue reads a scalar member, nil when it is absent.
func FormValue[T any](f *Form, name string, read func(*Form) (T, bool)) *T {
	c := f.child(name)
	if c == nil || !c.present {
		return nil
	}
	v, ok := read(c)
	if !ok {
		c.fail(name, "well formed")
		return nil
	}
	return &v
}

// FormString reads text.
func FormString(f *Form) (string, bool) { return f.value, f.present }

// FormInt reads a whole number of 32 bits.
func FormInt(f *Form) (int64, bool) {
	n, err := strconv.ParseInt(f.value, 10, 32)
	return n, err == nil
}

// FormLong reads a whole number of 64 bits.
func FormLong(f *Form) (int64, bool) {
	n, err := strconv.ParseInt(f.value, 10, 64)
	return n, err == nil
}

// FormFloat reads a number.
func FormFloat(f *Form) (float64, bool) {
	n, err := strconv.ParseFloat(f.value, 64)
	return n, err == nil
}

// FormBool reads true or false, in any case.
func FormBool(f *Form) (bool, bool) {
	return strings.EqualFold(f.value, "true"), strings.EqualFold(f.value, "true") || strings.EqualFold(f.value, "false")
}

// FormTime reads an ISO 8601 timestamp.
func FormTime(f *Form) (time.Time, bool) {
	t, err := parseISO(f.value)
	return t, err == nil
}

// FormBytes reads base64 text.
func FormBytes(f *Form) ([]byte, bool) {
	b, err := base64.StdEncoding.DecodeString(f.value)
	return b, err == nil
}

// FormBlob reads a blob member, nil when it is absent.
func FormBlob(f *Form, name string) []byte {
	if b := FormValue(f, name, FormBytes); b != nil {
		return *b
	}
	return nil
}

// FormObject reads a structure member, nil when no part of it is present.
func FormObject[T any](f *Form, name string, read func(*T, *Form)) *T {
	c := f.child(name)
	if c == nil {
		return nil
	}
	v := new(T)
	read(v, c)
	return v
}

// FormList reads a list member, whose elements are called member in the parameters:
// Tags.member.1 and so on, in the order of the numbers. Name= alone is the empty list.
func FormList[T any](f *Form, name, member string, read func(*Form) (T, bool)) []T {
	c := f.child(name)
	if c == nil {
		return nil
	}
	out := []T{}
	for _, e := range c.numbered(member) {
		v, ok := read(e)
		if !ok {
			c.fail(name, "well formed")
			return nil
		}
		out = append(out, v)
	}
	return out
}

// numbered is the children of the child member, or of f itself when member is
// empty, in the order of their numbers.
func (f *Form) numbered(member string) []*Form {
	list := f
	if member != "" {
		list = f.child(member)
	}
	if list == nil {
		return nil
	}
	byNumber := make(map[int]*Form, len(list.children))
	for text, c := range list.children {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || strconv.Itoa(n) != text {
			f.fail(text, "a list index")
			return nil
		}
		byNumber[n] = c
	}
	var out []*Form
	for _, n := range slices.Sorted(maps.Keys(byNumber)) {
		out = append(out, byNumber[n])
	}
	return out
}

// FormMap reads a map member: Name.entry.1.key and Name.entry.1.value.
func FormMap[T any](f *Form, name, key, value string, read func(*Form) (T, bool)) map[string]T {
	c := f.child(name)
	if c == nil {
		return nil
	}
	out := map[string]T{}
	for _, e := range c.numbered("entry") {
		k, v := e.child(key), e.child(value)
		if k == nil || v == nil {
			c.fail(name, "well formed")
			return nil
		}
		val, ok := read(v)
		if _, dup := out[k.value]; dup || !ok {
			c.fail(name, "well formed")
			return nil
		}
		out[k.value] = val
	}
	return out
}

// FormStruct makes the reader of an element out of that of a structure.
func FormStruct[T any](read func(*T, *Form)) func(*Form) (*T, bool) {
	return func(f *Form) (*T, bool) {
		v := new(T)
		read(v, f)
		return v, true
	}
}
