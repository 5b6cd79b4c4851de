// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/audit"
	"github.com/obscura-video/obscura/internal/audit/digest"
	api "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	"github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/policy"
)

const account = "000000000000"

// gate is an Authorizer that notes what it was asked and denies what deny says.
type gate struct {
	asked []access.Request
	deny  func(access.Request) bool
}

func (g *gate) Authorize(_ context.Context, r access.Request) error {
	g.asked = append(g.asked, r)
	if g.deny != nil && g.deny(r) {
		return &access.Denied{Message: "no"}
	}
	return nil
}

// buckets is a BucketProber that knows one good bucket and one without a policy.
type buckets struct{}

func (buckets) ProbeBucket(_ context.Context, bucket, _, _ string) error {
	switch bucket {
	case "trails":
		return nil
	case "closed":
		return errors.New("denied")
	}
	return ErrNoBucket
}

type keys struct{}

func (keys) KeyARN(_ context.Context, id, trailARN string) (string, error) {
	switch id {
	case "alias/trails":
		return "arn:aws:kms:us-east-1:000000000000:key/1", nil
	case "for " + trailARN:
		return "", ErrKeyPolicy
	}
	return "", coded(id)
}

// coded is an error of the KMS.
type coded string

func (c coded) Error() string     { return string(c) }
func (c coded) ErrorCode() string { return string(c) }

// plainRoot wraps nothing.
type plainRoot struct{}

func (plainRoot) Wrap(_ context.Context, p, _ []byte) ([]byte, error) { return slices.Clone(p), nil }

func (plainRoot) Unwrap(_ context.Context, w, _ []byte) ([]byte, error) { return slices.Clone(w), nil }

type fixture struct {
	*Service
	log  *audit.Log
	gate *gate
	now  time.Time
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{gate: &gate{}, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	db := mem.New()
	var err error
	if f.log, err = audit.Open(t.Context(), audit.Config{DB: db, Now: func() time.Time { return f.now }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.log.Close() })
	digests := digest.New(digest.Config{DB: db, Root: plainRoot{}, Log: f.log, Account: account, Region: "us-east-1", Now: func() time.Time { return f.now }})
	f.Service, err = New(Config{
		DB: db, Events: f.log, Digests: digests, Authorizer: f.gate, Buckets: buckets{}, Keys: keys{}, Account: account, Region: "us-east-1",
		Now: func() time.Time { return f.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) record(t *testing.T, user, service, operation string) {
	t.Helper()
	c := &access.Call{
		Principal: access.Principal{Principal: policy.Principal{Kind: policy.User, Account: account}, UserName: user, AccessKeyID: "AKIA" + user},
		Service:   service, Operation: operation,
	}
	access.AddResource(access.NewContext(t.Context(), c), "arn:aws:kms:us-east-1:000000000000:key/1", "AWS::KMS::Key")
	if err := f.log.Record(t.Context(), audit.NewEvent(c, audit.Outcome{Region: "us-east-1", Account: account})); err != nil {
		t.Fatal(err)
	}
	if err := f.log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var c interface{ ErrorCode() string }
	got := ""
	if errors.As(err, &c) {
		got = c.ErrorCode()
	} else if err != nil {
		got = err.Error()
	}
	if got != code {
		t.Fatalf("got %v, want %q", err, code)
	}
}

func attr(key, value string) []*api.LookupAttribute {
	return []*api.LookupAttribute{{AttributeKey: new(key), AttributeValue: new(value)}}
}

func TestLookupEventsFindsByEveryAttribute(t *testing.T) {
	f := setup(t)
	f.record(t, "alice", "kms", "CreateKey")
	f.record(t, "bob", "kms", "Decrypt")
	var id string
	for _, tt := range []struct{ key, value, want string }{
		{"EventName", "CreateKey", "CreateKey"},
		{"EventId", "", "CreateKey"},
		{"ReadOnly", "false", "CreateKey"},
		{"ReadOnly", "true", "Decrypt"},
		{"Username", "bob", "Decrypt"},
		{"Username", "Bob", ""},
		{"ResourceType", "AWS::KMS::Key", "Decrypt CreateKey"},
		{"ResourceName", "arn:aws:kms:us-east-1:000000000000:key/1", "Decrypt CreateKey"},
		{"ResourceName", "1", "Decrypt CreateKey"},
		{"EventSource", "kms.amazonaws.com", "Decrypt CreateKey"},
		{"AccessKeyId", "AKIAalice", "CreateKey"},
		{"AccessKeyId", "AKIA", ""},
	} {
		if tt.key == "EventId" {
			tt.value = id
		}
		out, err := f.LookupEvents(t.Context(), &api.LookupEventsInput{LookupAttributes: attr(tt.key, tt.value)})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range out.Events {
			names = append(names, *e.EventName)
			id = *e.EventId
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%s=%s: %q, want %q", tt.key, tt.value, got, tt.want)
		}
	}
	out, err := f.LookupEvents(t.Context(), &api.LookupEventsInput{})
	if err != nil || len(out.Events) != 2 {
		t.Fatal(out, err)
	}
	e := out.Events[0]
	if *e.ReadOnly != "true" || *e.Username != "bob" || *e.AccessKeyId != "AKIAbob" || !e.EventTime.Equal(f.now) ||
		*e.Resources[0].ResourceType != "AWS::KMS::Key" || !json.Valid([]byte(*e.CloudTrailEvent)) {
		t.Errorf("%+v", e)
	}
}

func TestLookupEventsRefusesWhatItCannotAnswer(t *testing.T) {
	f := setup(t)
	two := append(attr("EventName", "a"), attr("EventName", "b")...)
	for _, tt := range []struct {
		in   api.LookupEventsInput
		code string
	}{
		{api.LookupEventsInput{LookupAttributes: two}, "InvalidLookupAttributesException"},
		{api.LookupEventsInput{LookupAttributes: attr("Nonsense", "b")}, "InvalidLookupAttributesException"},
		{api.LookupEventsInput{StartTime: new(f.now), EndTime: new(f.now.Add(-time.Second))}, "InvalidTimeRangeException"},
		{api.LookupEventsInput{StartTime: new(f.now), EndTime: new(f.now)}, ""},
		{api.LookupEventsInput{MaxResults: new(int64(51))}, "InvalidMaxResultsException"},
		{api.LookupEventsInput{MaxResults: new(int64(0))}, "InvalidMaxResultsException"},
		{api.LookupEventsInput{EventCategory: new("data")}, "InvalidEventCategoryException"},
		{api.LookupEventsInput{EventCategory: new("insight")}, ""},
		{api.LookupEventsInput{NextToken: new("nonsense")}, "InvalidNextTokenException"},
	} {
		_, err := f.LookupEvents(t.Context(), &tt.in)
		wantCode(t, err, tt.code)
	}
}

func TestNextTokenIsBoundToItsParameters(t *testing.T) {
	f := setup(t)
	for i := range 5 {
		f.record(t, "alice", "kms", fmt.Sprintf("Create%d", i))
	}
	first := &api.LookupEventsInput{LookupAttributes: attr("Username", "alice"), MaxResults: new(int64(2))}
	out, err := f.LookupEvents(t.Context(), first)
	if err != nil || out.NextToken == nil || len(out.Events) != 2 {
		t.Fatal(out, err)
	}
	token := out.NextToken
	for name, in := range map[string]*api.LookupEventsInput{
		"other value":   {LookupAttributes: attr("Username", "bob"), NextToken: token},
		"no attribute":  {NextToken: token},
		"other range":   {LookupAttributes: attr("Username", "alice"), StartTime: new(f.now), NextToken: token},
		"altered token": {LookupAttributes: attr("Username", "alice"), NextToken: new("B" + (*token)[1:])},
	} {
		_, err := f.LookupEvents(t.Context(), in)
		if wantCode(t, err, "InvalidNextTokenException"); err == nil {
			t.Error(name)
		}
	}
	names := []string{}
	for first.NextToken = token; first.NextToken != nil; first.NextToken = out.NextToken {
		if out, err = f.LookupEvents(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		for _, e := range out.Events {
			names = append(names, *e.EventName)
		}
	}
	if fmt.Sprint(names) != "[Create2 Create1 Create0]" {
		t.Error(names)
	}
}

func TestLookupWithoutStartGoesBackNinetyDays(t *testing.T) {
	f := setup(t)
	f.record(t, "alice", "kms", "CreateKey")
	f.now = f.now.Add(defaultRange + time.Second)
	out, err := f.LookupEvents(t.Context(), &api.LookupEventsInput{})
	if err != nil || len(out.Events) != 0 {
		t.Fatal(out, err)
	}
	out, err = f.LookupEvents(t.Context(), &api.LookupEventsInput{StartTime: new(f.now.Add(-defaultRange * 2))})
	if err != nil || len(out.Events) != 1 {
		t.Fatal(out, err)
	}
}

// TestEveryOperationAsksBeforeItAnswers calls every operation that is built with a caller that may do
// nothing, for trails that exist, do not exist and cannot exist: the answers must not differ.
func TestEveryOperationAsksBeforeItAnswers(t *testing.T) {
	f := setup(t)
	f.create(t, "known")
	f.gate.deny = func(access.Request) bool { return true }
	arn := func(name string) string { return f.trailARN(name) }
	tags := []*api.Tag{{Key: new("k")}}
	for _, name := range []string{"known", "unknown", "?", "arn:aws:cloudtrail:eu-west-1:000000000000:trail/known"} {
		n, a := new(name), new(arn(name))
		calls := map[string]func() error{
			"LookupEvents": func() error { _, err := f.LookupEvents(t.Context(), &api.LookupEventsInput{}); return err },
			"CreateTrail": func() error {
				_, err := f.CreateTrail(t.Context(), &api.CreateTrailInput{Name: n, S3BucketName: n})
				return err
			},
			"UpdateTrail": func() error { _, err := f.UpdateTrail(t.Context(), &api.UpdateTrailInput{Name: n}); return err },
			"DeleteTrail": func() error { _, err := f.DeleteTrail(t.Context(), &api.DeleteTrailInput{Name: n}); return err },
			"DescribeTrails": func() error {
				_, err := f.DescribeTrails(t.Context(), &api.DescribeTrailsInput{TrailNameList: []string{name}})
				return err
			},
			"GetTrail":       func() error { _, err := f.GetTrail(t.Context(), &api.GetTrailInput{Name: n}); return err },
			"ListTrails":     func() error { _, err := f.ListTrails(t.Context(), &api.ListTrailsInput{}); return err },
			"GetTrailStatus": func() error { _, err := f.GetTrailStatus(t.Context(), &api.GetTrailStatusInput{Name: n}); return err },
			"StartLogging":   func() error { _, err := f.StartLogging(t.Context(), &api.StartLoggingInput{Name: n}); return err },
			"StopLogging":    func() error { _, err := f.StopLogging(t.Context(), &api.StopLoggingInput{Name: n}); return err },
			"PutEventSelectors": func() error {
				_, err := f.PutEventSelectors(t.Context(), &api.PutEventSelectorsInput{TrailName: n})
				return err
			},
			"GetEventSelectors": func() error {
				_, err := f.GetEventSelectors(t.Context(), &api.GetEventSelectorsInput{TrailName: n})
				return err
			},
			"GetInsightSelectors": func() error {
				_, err := f.GetInsightSelectors(t.Context(), &api.GetInsightSelectorsInput{TrailName: n})
				return err
			},
			"AddTags": func() error {
				_, err := f.AddTags(t.Context(), &api.AddTagsInput{ResourceId: a, TagsList: tags})
				return err
			},
			"RemoveTags": func() error {
				_, err := f.RemoveTags(t.Context(), &api.RemoveTagsInput{ResourceId: a, TagsList: tags})
				return err
			},
			"ListTags": func() error {
				_, err := f.ListTags(t.Context(), &api.ListTagsInput{ResourceIdList: []string{*a}})
				return err
			},
			"ListPublicKeys": func() error { _, err := f.ListPublicKeys(t.Context(), &api.ListPublicKeysInput{}); return err },
		}
		for op, do := range calls {
			f.gate.asked = nil
			if _, denied := errors.AsType[*access.Denied](do()); !denied {
				t.Errorf("%s of %s was not denied", op, name)
			}
			if len(f.gate.asked) != 1 || f.gate.asked[0].Action != "cloudtrail:"+op {
				t.Errorf("%s asked %v", op, f.gate.asked)
			}
		}
	}
	// Nothing changed.
	f.gate.deny = nil
	if _, err := f.GetTrail(t.Context(), &api.GetTrailInput{Name: new("known")}); err != nil {
		t.Error(err)
	}
}

func FuzzToken(f *testing.F) {
	in := &api.LookupEventsInput{LookupAttributes: attr("EventName", "x")}
	f.Add(encodeToken(audit.Cursor{LastT: 1, Block: 2, Place: 3}, in))
	f.Fuzz(func(t *testing.T, token string) {
		if c, ok := decodeToken(token, in); ok && encodeToken(c, in) != token {
			t.Error("two tokens for one place")
		}
	})
}
