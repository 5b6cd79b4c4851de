// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// exampleInput makes an input of an operation that the wire's validation lets through: it starts from nothing
// and does what each of the validation's complaints asks for. It fails on one that it does not understand, so
// a new operation cannot slip through undecided behind a validation error.
func exampleInput(t *testing.T, op *protocol.Operation) any {
	t.Helper()
	in, err := op.Decode(emptyRequest(op))
	for range 12 {
		if err == nil {
			return in
		}
		heed(t, op.Name, reflect.ValueOf(in).Elem(), err.Error())
		var c protocol.Check
		in.(interface{ Validate(*protocol.Check) }).Validate(&c)
		if c.Err() == "" {
			return in
		}
		err = protocol.NewError("ValidationException", http.StatusBadRequest, c.Err())
	}
	t.Fatalf("%s: no valid input found: %v", op.Name, err)
	return nil
}

// emptyRequest has no members, in its path neither.
func emptyRequest(op *protocol.Operation) *protocol.Request {
	body := "{}"
	if op.Service.Protocol == protocol.Query {
		body = "Action=" + op.Name
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return &protocol.Request{HTTP: r, Body: []byte(body)}
}

var (
	complaint = regexp.MustCompile(`(?s)Value (?:null |'.*?' )?at '([\w.]+)' failed to satisfy constraint: (.*?)(?:; Value |$)`)
	atLeast   = regexp.MustCompile(`greater than or equal to (\d+)`)
	atMost    = regexp.MustCompile(`(?:less|fewer) than or equal to (\d+)`)
	enumSet   = regexp.MustCompile(`enum value set: \[([^,\]]+)`)
	pattern   = regexp.MustCompile(`regular expression pattern: (.*)`)
)

// heed changes in by the first complaint.
func heed(t *testing.T, op string, in reflect.Value, text string) {
	t.Helper()
	m := complaint.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%s: not understood: %s", op, text)
	}
	v, ok := member(in, strings.Split(m[1], "."))
	if !ok {
		t.Fatalf("%s: no member %s (%s)", op, m[1], text)
	}
	want := m[2]
	if all, ok := strings.CutPrefix(want, "Member must satisfy constraint: ["); ok { // each element
		v, want = v.Index(0).Addr(), strings.TrimSuffix(all, "]")
	}
	switch {
	case want == "Member must not be null":
		v.Set(something(v.Type()))
	case enumSet.MatchString(want):
		setText(v, enumSet.FindStringSubmatch(want)[1])
	case pattern.MatchString(want):
		setText(v, matching(t, op+" "+m[1], pattern.FindStringSubmatch(want)[1]))
	case atLeast.MatchString(want):
		n, _ := strconv.Atoi(atLeast.FindStringSubmatch(want)[1])
		grow(v, n)
	case atMost.MatchString(want):
		n, _ := strconv.Atoi(atMost.FindStringSubmatch(want)[1])
		shrink(v, n)
	default:
		t.Fatalf("%s: not understood: %s", op, want)
	}
}

// member finds what a complaint names: fields by name, regardless of case, and list elements by number.
func member(v reflect.Value, path []string) (reflect.Value, bool) {
	for i := 0; i < len(path); i++ {
		for v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() == reflect.Struct {
			v = v.Elem()
		}
		if v.Kind() == reflect.Slice {
			n, err := strconv.Atoi(path[i])
			if err != nil || n > v.Len() {
				return v, false
			}
			v = v.Index(n - 1)
			i++ // "member"
			continue
		}
		if v.Kind() != reflect.Struct {
			return v, false
		}
		v = v.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, path[i]) })
		if !v.IsValid() {
			return v, false
		}
	}
	return v, true
}

// something is a value that is there: text that many patterns allow, one element in a list.
func something(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.Pointer:
		p := reflect.New(t.Elem())
		if t.Elem() == reflect.TypeFor[time.Time]() {
			p.Elem().Set(reflect.ValueOf(time.Now()))
		} else if t.Elem().Kind() != reflect.Struct {
			p.Elem().Set(something(t.Elem()))
		}
		return p
	case reflect.String:
		v.SetString("nothing-of-this-name")
	case reflect.Int64, reflect.Int:
		v.SetInt(1)
	case reflect.Slice:
		v.Set(reflect.Append(v, something(t.Elem())))
	case reflect.Map:
		v.Set(reflect.MakeMap(t))
		v.SetMapIndex(something(t.Key()), something(t.Elem()))
	}
	return v
}

func setText(v reflect.Value, text string) {
	v.Elem().SetString(text)
}

// matching is the first of what such things are called that a pattern allows.
func matching(t *testing.T, what, expression string) string {
	t.Helper()
	re, err := regexp.Compile(`^(?:` + expression + `)$`)
	if err != nil {
		return "x" // one that the generator had to translate
	}
	for _, s := range []string{
		"x", "nothing", "123456789012", "alias/nothing", "/", "/nothing/", "arn:aws:iam::000000000000:role/nothing",
		"arn:aws:kinesisvideo:us-east-1:000000000000:stream/nothing/1700000000000",
		"arn:aws:kinesisvideo:us-east-1:000000000000:channel/nothing/1700000000000",
		"arn:aws:iot:us-east-1:000000000000:thing/nothing", "arn:aws:secretsmanager:us-east-1:000000000000:secret:nothing",
		"arn:aws:kms:us-east-1:000000000000:key/12345678-1234-1234-1234-123456789012",
		"AKIA1234567890ABCDEF", "123456", "v1", "12345678-1234-1234-1234-123456789012", "nothing.example.org", "nothing.amazonaws.com", "eu-west-1", "o-0123456789/r-0123", "<a/>", "s3://nothing/x",
	} {
		if re.MatchString(s) {
			return s
		}
	}
	t.Errorf("%s: nothing matches %s", what, expression)
	return ""
}

func grow(v reflect.Value, n int) {
	switch {
	case v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.String:
		setText(v, strings.Repeat("a", n))
	case v.Kind() == reflect.Pointer:
		v.Elem().SetInt(int64(n))
	case v.Kind() == reflect.Slice:
		for v.Len() < n {
			v.Set(reflect.Append(v, something(v.Type().Elem())))
		}
	}
}

func shrink(v reflect.Value, n int) {
	switch {
	case v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.String:
		setText(v, v.Elem().String()[:n])
	case v.Kind() == reflect.Pointer:
		v.Elem().SetInt(int64(n))
	}
}

// form spells an input of the query protocol. The names of the wire are those of the members here.
func form(op *protocol.Operation, in any) string {
	values := url.Values{"Action": {op.Name}, "Version": {op.Service.APIVersion}}
	spell(values, "", reflect.ValueOf(in).Elem())
	return values.Encode()
}

func spell(values url.Values, name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			spell(values, name, v.Elem())
		}
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok {
			values.Set(name, at.UTC().Format(time.RFC3339))
			return
		}
		for i := range v.NumField() {
			spell(values, strings.TrimPrefix(name+"."+v.Type().Field(i).Name, "."), v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			spell(values, name+".member."+strconv.Itoa(i+1), v.Index(i))
		}
	case reflect.String:
		values.Set(name, v.String())
	case reflect.Int64:
		values.Set(name, strconv.FormatInt(v.Int(), 10))
	case reflect.Bool:
		values.Set(name, strconv.FormatBool(v.Bool()))
	}
}
