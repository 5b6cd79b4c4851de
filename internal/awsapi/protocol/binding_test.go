// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"net/http/httptest"
	"testing"
)

// placed is an input with a member in every place.
type placed struct {
	name  *string
	most  *int64
	since *int64
	all   *bool
	who   *string
}

func (v *placed) Bind(b *Binding) {
	b.String(InPath, "name", &v.name)
	b.Int(InQuery, "most", &v.most)
	b.Long(InQuery, "since", &v.since)
	b.Bool(InQuery, "all", &v.all)
	b.String(InHeader, "x-who", &v.who)
}

func placedOperation() *Operation {
	op := &Operation{Name: "Op", Method: "GET", Path: "/things/{name}/parts"}
	NewService(Service{Name: "x", Protocol: RestJSON}, op)
	return op
}

func TestBindingRoundTripsThroughARequest(t *testing.T) {
	op := placedOperation()
	in := &placed{new("a/b %2F+é?"), new(int64(7)), new(int64(1 << 40)), new(true), new("arn:aws:iot:::cert/1")}
	w := NewBinding()
	in.Bind(w)
	r := httptest.NewRequest("GET", w.target(op), nil)
	r.Header = w.header
	if !op.matches("GET", r.URL.EscapedPath()) {
		t.Fatalf("%s is not the operation's", r.URL)
	}
	b, err := op.Bound(r)
	if err != nil {
		t.Fatal(err)
	}
	var out placed
	out.Bind(b)
	if b.fault != "" || *out.name != *in.name || *out.most != 7 || *out.since != 1<<40 || !*out.all || *out.who != *in.who {
		t.Errorf("%s became %+v, %s", r.URL, out, b.fault)
	}
}

func TestBindingRefusesWhatItCannotRead(t *testing.T) {
	for _, target := range []string{
		"/things/a/parts?most=x", "/things/a/parts?most=2147483648", "/things/a/parts?since=9223372036854775808",
		"/things/a/parts?all=yes", "/things/a/parts?most=1&most=2", "/things/a/parts?%zz=1",
	} {
		b, err := placedOperation().Bound(httptest.NewRequest("GET", target, nil))
		if err != nil {
			continue
		}
		if new(placed).Bind(b); b.fault == "" {
			t.Errorf("%s was read", target)
		}
	}
}

func TestBindingLeavesAbsentMembersNil(t *testing.T) {
	b, err := placedOperation().Bound(httptest.NewRequest("GET", "/things/a/parts", nil))
	if err != nil {
		t.Fatal(err)
	}
	var out placed
	out.Bind(b)
	if out.most != nil || out.since != nil || out.all != nil || out.who != nil || b.fault != "" {
		t.Errorf("%+v, %s", out, b.fault)
	}
}
