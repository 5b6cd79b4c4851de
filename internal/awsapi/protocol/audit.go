// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"reflect"
	"strings"
	"sync"
	"time"
)

// maxAudit bounds the text that goes into one audit rendering, in bytes: CloudTrail
// leaves request parameters out altogether when they are longer.
const maxAudit = 100 << 10

// AuditParams renders an input or output as an audit event shows it: names with a
// small first letter, blobs and streams left out, and so is every member that the
// model or the patch of the generator calls a secret. It returns nil for nothing
// to show, and for what is too long to show.
//
// Source: CloudTrail user guide, record contents (requestParameters, responseElements).
func AuditParams(v any) map[string]any { return auditParams(v, nil) }

// AuditParams is the function AuditParams for what is the service's own. It remembers what there is to know of a type.
func (s *Service) AuditParams(v any) map[string]any { return auditParams(v, s.shown) }

func auditParams(v any, shown *shownMembers) map[string]any {
	a := auditor{left: maxAudit, shown: shown}
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	if rv.Kind() != reflect.Struct {
		return nil
	}
	out := a.members(rv)
	if len(out) == 0 || a.left < 0 {
		return nil
	}
	return out
}

// shownMembers remembers the members of structures that are shown. It is safe for concurrent use; the nil one
// remembers nothing.
type shownMembers struct{ byType sync.Map } // of reflect.Type to []shownMember

// shownMember is a field, and its name in a record.
type shownMember struct {
	field int
	name  string
}

func (m *shownMembers) of(t reflect.Type) []shownMember {
	if m == nil {
		return membersShown(t)
	}
	if known, ok := m.byType.Load(t); ok {
		return known.([]shownMember)
	}
	members := membersShown(t)
	m.byType.Store(t, members)
	return members
}

func membersShown(t reflect.Type) []shownMember {
	var out []shownMember
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("audit") != "-" && f.IsExported() {
			out = append(out, shownMember{i, strings.ToLower(f.Name[:1]) + f.Name[1:]})
		}
	}
	return out
}

type auditor struct {
	left  int
	shown *shownMembers
}

func (a *auditor) members(v reflect.Value) map[string]any {
	out := map[string]any{}
	for _, m := range a.shown.of(v.Type()) {
		if shown, ok := a.value(v.Field(m.field)); ok {
			a.left -= len(m.name)
			out[m.name] = shown
		}
	}
	return out
}

// auditTime is how CloudTrail writes dates inside parameters.
const auditTime = "Jan 2, 2006, 3:04:05 PM"

// value renders one value; false when it is absent or never shown.
func (a *auditor) value(v reflect.Value) (any, bool) {
	if a.left -= 8; a.left < 0 {
		return nil, false
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil, false
		}
		return a.value(v.Elem())
	case reflect.String:
		a.left -= v.Len()
		return v.String(), v.Len() <= maxAudit
	case reflect.Int64, reflect.Float64, reflect.Bool:
		return v.Interface(), true
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return t.UTC().Format(auditTime), true
		}
		return a.members(v), true
	case reflect.Slice:
		return a.list(v)
	case reflect.Map:
		return a.pairs(v)
	}
	return nil, false // functions, interfaces
}

func (a *auditor) list(v reflect.Value) (any, bool) {
	if v.IsNil() || v.Type().Elem().Kind() == reflect.Uint8 {
		return nil, false
	}
	out := make([]any, 0, min(v.Len(), 1000))
	for i := range v.Len() {
		if a.left < 0 {
			break
		}
		if shown, ok := a.value(v.Index(i)); ok {
			out = append(out, shown)
		}
	}
	return out, true
}

func (a *auditor) pairs(v reflect.Value) (any, bool) {
	if v.IsNil() {
		return nil, false
	}
	if texts, ok := v.Interface().(map[string]string); ok {
		a.texts(texts)
		return texts, true
	}
	out := map[string]any{}
	for it := v.MapRange(); it.Next() && a.left >= 0; {
		a.left -= it.Key().Len()
		if shown, ok := a.value(it.Value()); ok {
			out[it.Key().String()] = shown
		}
	}
	return out, true
}

// texts is pairs for the usual map, which is shown as it is.
func (a *auditor) texts(texts map[string]string) {
	for name, text := range texts {
		a.left -= len(name) + 8 + len(text)
	}
}
