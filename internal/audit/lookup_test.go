// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/meta/mem"
)

// clock is a clock that tests turn by hand.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time { return time.UnixMilli(c.ms.Load()) }

// TestLookupAgreesWithAScanOfEverything compares random queries with a plain filter over all events.
func TestLookupAgreesWithAScanOfEverything(t *testing.T) {
	const start = 1_795_000_000_000
	values := map[Attribute][]string{
		EventName:    {"CreateKey", "Decrypt", "Nothing"},
		ReadOnly:     {"true", "false", "True"},
		Username:     {"alice", "bob", "root"},
		ResourceType: {"AWS::KMS::Key", "AWS::KinesisVideo::Stream"},
		ResourceName: {"arn:aws:kms:us-east-1:000000000000:key/1", "1", "door"},
		EventSource:  {"kms.amazonaws.com", "kinesisvideo.amazonaws.com"},
		AccessKeyID:  {"AKIAALICE", "AKIAEVE"},
		Any:          {""},
	}
	arns := []access.Resource{
		{ARN: "arn:aws:kms:us-east-1:000000000000:key/1", Type: "AWS::KMS::Key"},
		{ARN: "arn:aws:kms:us-east-1:000000000000:key/2", Type: "AWS::KMS::Key"},
		{ARN: "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/17", Type: "AWS::KinesisVideo::Stream"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		var clk clock
		clk.ms.Store(start)
		l, err := Open(t.Context(), Config{DB: mem.New(), Now: clk.now})
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		n := rapid.IntRange(0, 60).Draw(rt, "events")
		for range n {
			user := rapid.SampledFrom([]string{"alice", "bob", "carol"}).Draw(rt, "user")
			op := rapid.SampledFrom([][2]string{{"kms", "CreateKey"}, {"kms", "Decrypt"}, {"kinesisvideo", "PutMedia"}, {"kinesisvideo", "CreateStream"}}).Draw(rt, "op")
			c := call(user, op[0], op[1])
			ctx := access.NewContext(t.Context(), c)
			for _, r := range rapid.SliceOfN(rapid.SampledFrom(arns), 0, 2).Draw(rt, "resources") {
				access.AddResource(ctx, r.ARN, r.Type)
			}
			if err := l.Record(ctx, NewEvent(c, Outcome{Region: "us-east-1", Account: testAccount})); err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "flush") {
				if err := l.Flush(ctx); err != nil {
					rt.Fatal(err)
				}
				clk.ms.Add(rapid.Int64Range(0, 3000).Draw(rt, "pause"))
			}
		}
		if err := l.Flush(t.Context()); err != nil {
			rt.Fatal(err)
		}
		every := all(t, l, Query{Limit: 50})
		for range 20 {
			attribute := rapid.SampledFrom([]Attribute{Any, EventID, EventName, ReadOnly, Username, ResourceType, ResourceName, EventSource, AccessKeyID}).Draw(rt, "attribute")
			q := Query{Attribute: attribute, Limit: rapid.IntRange(1, 5).Draw(rt, "limit")}
			if attribute == EventID {
				if q.Value = newID(start); len(every) > 0 {
					q.Value = rapid.SampledFrom(every).Draw(rt, "event").EventID
				}
			} else {
				q.Value = rapid.SampledFrom(values[attribute]).Draw(rt, "value")
			}
			if rapid.Bool().Draw(rt, "bounded") {
				q.Start = time.UnixMilli(start + rapid.Int64Range(-2000, 40_000).Draw(rt, "from"))
				q.End = q.Start.Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "seconds")) * time.Second)
			}
			var want []string
			for _, f := range every {
				in := q.Start.IsZero() || f.EventTime.Unix() >= q.Start.Unix() && f.EventTime.Unix() <= q.End.Unix()
				if in && f.matches(term{q.Attribute, q.Value}) {
					want = append(want, f.EventID)
				}
			}
			var got []string
			for _, f := range all(t, l, q) {
				got = append(got, f.EventID)
			}
			if !slices.Equal(got, want) {
				rt.Fatalf("%+v: got %v, want %v", q, got, want)
			}
		}
		if _, err := l.Verify(t.Context()); err != nil {
			rt.Fatal(err)
		}
	})
}

func TestPagesStayStableWhileEventsArrive(t *testing.T) {
	l := open(t, mem.New())
	for i := range 100 {
		record(t, l, event("alice", "kms", fmt.Sprintf("Describe%d", i)))
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var names []string
	q := Query{Limit: 7}
	for {
		p, err := l.Lookup(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range p.Events {
			names = append(names, f.EventName)
		}
		if p.Next == (Cursor{}) {
			break
		}
		q.After = p.Next
		record(t, l, event("bob", "kms", "CreateKey")) // arrives between two pages
	}
	if len(names) != 100 || names[0] != "Describe99" || names[99] != "Describe0" {
		t.Fatalf("%d events, %v…", len(names), names[:1])
	}
}

func TestDataEventsAreRecordedButNeverFound(t *testing.T) {
	l := open(t, mem.New())
	record(t, l, event("alice", "kinesisvideo", "PutMedia"), event("alice", "kinesisvideo", "GetMedia"), event("alice", "kinesisvideo", "CreateStream"))
	if got := all(t, l, Query{Limit: 50}); len(got) != 1 || got[0].EventName != "CreateStream" {
		t.Fatalf("found %d", len(got))
	}
	if r, err := l.Verify(t.Context()); err != nil || r.Events != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestRecordShowsWhoWhatAndWhere(t *testing.T) {
	var clk clock
	clk.ms.Store(1_795_000_000_123)
	l, err := Open(t.Context(), Config{DB: mem.New(), Now: clk.now})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := call("alice", "kms", "Decrypt")
	c.TLSVersion, c.CipherSuite, c.Host = "TLS 1.3", "TLS_AES_128_GCM_SHA256", "localhost:8443"
	ctx := access.NewContext(t.Context(), c)
	access.AddResource(ctx, "arn:aws:kms:us-east-1:000000000000:key/1", "AWS::KMS::Key")
	record(t, l, NewEvent(c, Outcome{
		Region: "us-east-1", Account: testAccount,
		Params:   map[string]any{"keyId": "alias/a<b", "encryptionContext": map[string]string{"k": "v"}},
		Response: map[string]any{"keyId": "x"},
	}))
	if err := l.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	f := all(t, l, Query{Limit: 1})[0]
	want := `{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDAALICE",` +
		`"arn":"arn:aws:iam::000000000000:user/alice","accountId":"000000000000","accessKeyId":"AKIAALICE","userName":"alice"},` +
		`"eventTime":"2026-11-18T11:06:40Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"us-east-1",` +
		`"sourceIPAddress":"192.0.2.1","userAgent":"test",` +
		`"requestParameters":{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":{"k":"v"},"keyId":"alias/a<b"},"responseElements":null,` +
		`"requestID":"req","eventID":"` + f.EventID + `","readOnly":true,` +
		`"resources":[{"accountId":"000000000000","type":"AWS::KMS::Key","ARN":"arn:aws:kms:us-east-1:000000000000:key/1"}],` +
		`"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"000000000000","eventCategory":"Management",` +
		`"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"localhost:8443"}}`
	if string(f.Record) != want {
		t.Errorf("got  %s\nwant %s", f.Record, want)
	}
	if t0, ok := timeOfID(f.EventID); !ok || t0 != 1_795_000_000_123 {
		t.Errorf("ID %s tells %d", f.EventID, t0)
	}
}

func TestEncodeKeepsToTheSizeCaps(t *testing.T) {
	var c encoder
	e := event("alice", "kms", "CreateKey")
	long := strings.Repeat("é", 200<<10)
	e.UserAgent, e.ErrorCode, e.ErrorMessage = long, long, long
	e.RequestParameters = map[string]any{"policy": long}
	e.ResponseElements = map[string]any{"bad": func() {}}
	e.AdditionalEventData = map[string]any{"x": long}
	for i := range 5000 {
		e.Resources = append(e.Resources, Resource{ARN: fmt.Sprintf("arn:aws:kms:us-east-1:000000000000:key/%d", i)})
	}
	b := c.encode(&e)
	if len(b) > maxRecord {
		t.Errorf("%d bytes", len(b))
	}
	var got Event
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.RequestParameters != nil || got.ResponseElements != nil || got.AdditionalEventData != nil {
		t.Error("a member beyond its cap was kept")
	}
	for _, s := range []string{got.UserAgent, got.ErrorCode, got.ErrorMessage} {
		if len(s) != maxText {
			t.Errorf("%d bytes of text", len(s))
		}
	}
	if len(got.Resources) != maxResources {
		t.Errorf("%d resources", len(got.Resources))
	}
	e = event("alice", "kms", "CreateKey")
	e.AdditionalEventData = map[string]any{"n": new(big.Float).SetInf(true)}
	if b := c.encode(&e); !json.Valid(b) {
		t.Errorf("%s", b)
	}
}
