// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"reflect"
	"strings"
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
func AuditParams(v any) map[string]any {
	a := auditor{left: maxAudit}
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

type auditor struct{ left int }

func (a *auditor) members(v reflect.Value) map[string]any {
	out := map[string]any{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Tag.Get("audit") == "-" || !f.IsExported() {
			continue
		}
		if shown, ok := a.value(v.Field(i)); ok {
			a.left -= len(f.Name)
			out[strings.ToLower(f.Name[:1])+f.Name[1:]] = shown
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
	out := map[string]any{}
	for it := v.MapRange(); it.Next() && a.left >= 0; {
		a.left -= it.Key().Len()
		if shown, ok := a.value(it.Value()); ok {
			out[it.Key().String()] = shown
		}
	}
	return out, true
}
