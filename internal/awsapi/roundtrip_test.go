// SPDX-License-Identifier: Apache-2.0

package awsapi_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"pgregory.net/rapid"
)

// drawn are leaves that rapid chooses.
type drawn struct{ t *rapid.T }

func (d drawn) text() string { return rapid.String().Draw(d.t, "text") }
func (d drawn) whole(bits int) int64 {
	return rapid.Int64Range(-1<<(bits-1), 1<<(bits-1)-1).Draw(d.t, "whole")
}
func (d drawn) real() float64 { return rapid.Float64().Draw(d.t, "real") }
func (d drawn) flag() bool    { return rapid.Bool().Draw(d.t, "flag") }
func (d drawn) bytes() []byte { return rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(d.t, "bytes") }
func (d drawn) size() int     { return 1 }
func (d drawn) instant() time.Time {
	return time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(d.t, "instant")).UTC()
}

type jsonType interface {
	AppendJSON([]byte) []byte
	DecodeJSON(*protocol.JSONReader)
}

type bound interface{ Bind(*protocol.Binding) }

// TestJSONRoundTripsEveryOperation: any input and output of the JSON services is
// read back as it was written.
func TestJSONRoundTripsEveryOperation(t *testing.T) {
	for _, a := range apis() {
		if a.service.Protocol == protocol.Query {
			continue
		}
		for _, op := range a.service.Operations {
			in, out, ok := a.types(op.Name)
			if !ok {
				continue
			}
			rapid.Check(t, func(t *rapid.T) {
				for _, typ := range []reflect.Type{in, out} {
					roundTrip(t, op.Name, typ)
				}
			})
		}
	}
}

func roundTrip(t *rapid.T, name string, typ reflect.Type) {
	want := reflect.New(typ)
	fill(want.Elem(), drawn{t})
	clearHeaders(want.Elem())
	got := reflect.New(typ)
	text := want.Interface().(jsonType).AppendJSON(nil)
	r := protocol.NewJSONReader(text)
	got.Interface().(jsonType).DecodeJSON(r)
	if in, ok := want.Interface().(bound); ok {
		b := protocol.NewBinding()
		in.Bind(b)
		got.Interface().(bound).Bind(b.Reading())
	}
	if err := r.Finish(); err != nil {
		t.Fatalf("%s: %v in %s", name, err, text)
	}
	if d := cmp.Diff(want.Interface(), got.Interface()); d != "" {
		t.Fatalf("%s: %s", name, d)
	}
}

// clearHeaders drops what streaming outputs carry outside their body.
func clearHeaders(v reflect.Value) {
	if payload := v.FieldByName("Payload"); payload.IsValid() {
		payload.SetZero()
		v.FieldByName("ContentType").SetZero()
	}
}
