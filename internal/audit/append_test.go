// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// document draws what parameters are made of, and now and then what is left to encoding/json.
func document(t *rapid.T, depth int) any {
	kinds := 8
	if depth == 0 {
		kinds = 6
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Int64().Draw(t, "int64")
	case 3:
		return rapid.Float64Range(-1e9, 1e9).Draw(t, "float")
	case 4, 5:
		return rapid.String().Draw(t, "text")
	case 6:
		list := make([]any, rapid.IntRange(0, 3).Draw(t, "length"))
		for i := range list {
			list[i] = document(t, depth-1)
		}
		return list
	}
	return members(t, depth-1)
}

func members(t *rapid.T, depth int) map[string]any {
	m := map[string]any{}
	for range rapid.IntRange(0, 4).Draw(t, "members") {
		m[rapid.String().Draw(t, "name")] = document(t, depth)
	}
	return m
}

func someEvent(t *rapid.T) *Event {
	text := func(name string) string {
		return rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[a-zA-Z0-9:/._-]{1,20}`), rapid.String()).Draw(t, name)
	}
	e := &Event{
		EventVersion: eventVersion, EventTime: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "time"), 0).UTC(),
		UserIdentity: UserIdentity{
			Type: text("type"), PrincipalID: text("principal"), ARN: text("arn"), AccountID: text("account"), AccessKeyID: text("key"),
			UserName: text("user"), IdentityProvider: text("provider"), InvokedBy: text("by"),
		},
		EventSource: text("source"), EventName: text("event"), AWSRegion: text("region"), SourceIPAddress: text("address"), UserAgent: text("agent"),
		ErrorCode: text("code"), ErrorMessage: text("message"), RequestID: text("request"), EventID: rapid.OneOf(rapid.Just(newID(1)), rapid.StringMatching(`[a-z0-9-]{0,40}`)).Draw(t, "id"), ReadOnly: rapid.Bool().Draw(t, "reads"),
		EventType: EventType(text("kind")), ManagementEvent: rapid.Bool().Draw(t, "management"), RecipientAccountID: text("recipient"),
		SharedEventID: text("shared"), EventCategory: Category(text("category")),
		RequestParameters: document(t, 2), ResponseElements: document(t, 2), AdditionalEventData: members(t, 1), ServiceEventDetails: members(t, 1),
	}
	for range rapid.IntRange(0, 3).Draw(t, "resources") {
		e.Resources = append(e.Resources, Resource{text("owner"), text("resource type"), text("resource")})
	}
	if rapid.Bool().Draw(t, "TLS") {
		e.TLSDetails = &TLSDetails{text("version"), text("suite"), text("host")}
	}
	if rapid.IntRange(0, 9).Draw(t, "session") == 0 {
		e.UserIdentity.SessionContext = &SessionContext{SourceIdentity: text("source identity")}
	}
	return e
}

// TestByHandIsEncodingJSON: what is written by hand is byte for byte what encoding/json writes, also once it was moved to
// another time.
func TestByHandIsEncodingJSON(t *testing.T) {
	some, room := 0, []byte(nil) // of the last event
	rapid.Check(t, func(t *rapid.T) {
		e := someEvent(t)
		var c encoder
		want := string(c.json(e))
		got, ok := byHand(room, e)
		if !ok {
			return
		}
		some, room = some+1, got.bytes
		if string(got.bytes) != want {
			t.Fatalf("by hand\n%s\nencoding/json\n%s", got.bytes, want)
		}
		if len(e.EventID) != idBytes {
			return
		}
		to := rapid.Int64Range(0, 1<<43).Draw(t, "moved to")
		e.EventTime, e.EventID = second(to), newID(to)[:idTimeBytes]+e.EventID[idTimeBytes:]
		if got.move(to); string(got.bytes) != string(c.json(e)) {
			t.Fatalf("moved\n%s\nencoding/json\n%s", got.bytes, c.json(e))
		}
	})
	if some == 0 {
		t.Error("nothing was written by hand")
	}
}

// TestPlainIsWhatNeedsNoEscape: what is found out for eight bytes at once is what each byte says.
func TestPlainIsWhatNeedsNoEscape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(rapid.OneOf(rapid.StringMatching(`[ -~]{0,40}`), rapid.StringMatching(`[ !#-\[\]-~]{0,40}`)).Draw(t, "text"))
		if len(text) > 0 && rapid.Bool().Draw(t, "altered") {
			text[rapid.IntRange(0, len(text)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		if got, want := plain(text), plainBytes(text); got != want {
			t.Fatalf("%q: plain %v, byte by byte %v", text, got, want)
		}
	})
	for c := range 256 { // alone among others, at each place
		for at := range 8 {
			text := []byte("aaaaaaaa")
			text[at] = byte(c)
			if got, want := plain(text), plainBytes(text); got != want {
				t.Errorf("%q: plain %v, byte by byte %v", text, got, want)
			}
		}
	}
}
