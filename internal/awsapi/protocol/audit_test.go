// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAuditParamsShowsNamesAsCloudTrailDoes(t *testing.T) {
	type inner struct {
		SAMLAssertionDocument *string
		Secret                *string `audit:"-"`
	}
	type input struct {
		KeyId   *string
		Count   *int64
		When    *time.Time
		Flag    *bool
		Secrets []string `audit:"-"`
		Blob    []byte
		Absent  *string
		Nested  *inner
		List    []*inner
		Names   []string
		Context map[string]string
		Payload Stream
		Body    io.Reader
	}
	in := &input{
		KeyId: new("k"), Count: new(int64(3)), Flag: new(false),
		When:    new(time.Date(2022, 8, 10, 22, 38, 27, 0, time.UTC)),
		Secrets: []string{"hidden"}, Blob: []byte("hidden"),
		Nested:  &inner{SAMLAssertionDocument: new("d"), Secret: new("hidden")},
		List:    []*inner{{Secret: new("hidden")}},
		Names:   []string{"a"},
		Context: map[string]string{"Key": "v"},
		Payload: func(StreamWriter) error { return nil },
		Body:    strings.NewReader("hidden"),
	}
	want := map[string]any{
		"keyId": "k", "count": int64(3), "flag": false, "when": "Aug 10, 2022, 10:38:27 PM",
		"nested": map[string]any{"sAMLAssertionDocument": "d"}, "list": []any{map[string]any{}},
		"names": []any{"a"}, "context": map[string]string{"Key": "v"},
	}
	s := NewService(Service{})
	for _, show := range []func(any) map[string]any{AuditParams, s.AuditParams, s.AuditParams} { // the last remembers
		if d := cmp.Diff(want, show(in)); d != "" {
			t.Error(d)
		}
	}
}

func TestAuditParamsIsNilForNothingAndForTooMuch(t *testing.T) {
	type input struct{ Text *string }
	for _, v := range []any{nil, (*input)(nil), &input{}, 7, &input{Text: new(strings.Repeat("x", maxAudit+1))}} {
		if got := AuditParams(v); got != nil {
			t.Errorf("%T: got %d members", v, len(got))
		}
	}
}
