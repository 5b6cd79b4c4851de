// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/binary"
	"slices"
	"strconv"
	"time"
)

// An event is written for each call, so the usual one is encoded by hand, in a third of the time that reflection takes.
// The bytes are those of encoding/json (a test compares them); what is unusual is left to it.

// encoded is an event that was encoded by hand.
type encoded struct {
	bytes []byte
	// timeAt and idAt are where the event's time and ID begin in bytes. Both always have the same length, so that they
	// can be written over.
	timeAt, idAt int
}

// recordBytes is what the usual record takes, and room for a little more; largeRecord is what is not kept to be used again.
const (
	recordBytes = 1280
	largeRecord = 4 << 10
)

// timeBytes is the length of a time in a record: whole seconds in UTC, of a year with four digits.
const timeBytes = len("2006-01-02T15:04:05Z")

func appendTime(b []byte, t time.Time) []byte { return t.AppendFormat(b, time.RFC3339) }

// move gives the event another time, in Unix milliseconds, and the ID that goes with it.
func (r encoded) move(t int64) {
	copy(r.bytes[r.timeAt:][:timeBytes], appendTime(nil, second(t)))
	var id [idTimeBytes]byte
	copy(r.bytes[r.idAt:], idTime(&id, t))
}

// byHand encodes e, whose time has whole seconds, into room if that suffices; false when it is one for encoding/json.
func byHand(room []byte, e *Event) (r encoded, ok bool) {
	b := appendMember(room[:0], `{"eventVersion":`, e.EventVersion)
	b, ok = appendIdentity(append(b, `,"userIdentity":`...), &e.UserIdentity)
	b = append(b, `,"eventTime":"`...)
	r.timeAt = len(b)
	b = append(appendTime(b, e.EventTime), '"')
	b = appendMember(b, `,"eventSource":`, e.EventSource)
	b = appendMember(b, `,"eventName":`, e.EventName)
	b = appendMember(b, `,"awsRegion":`, e.AWSRegion)
	b = appendMember(b, `,"sourceIPAddress":`, e.SourceIPAddress)
	b = appendMember(b, `,"userAgent":`, e.UserAgent)
	b = appendIf(b, `,"errorCode":`, e.ErrorCode)
	b = appendIf(b, `,"errorMessage":`, e.ErrorMessage)
	b, ok = appendDocument(append(b, `,"requestParameters":`...), e.RequestParameters, ok)
	b, ok = appendDocument(append(b, `,"responseElements":`...), e.ResponseElements, ok)
	b, ok = appendDetails(b, `,"additionalEventData":`, e.AdditionalEventData, ok)
	b = appendIf(b, `,"requestID":`, e.RequestID)
	b = append(b, `,"eventID":"`...)
	r.idAt = len(b)
	b = append(append(b, e.EventID...), '"')
	b = strconv.AppendBool(append(b, `,"readOnly":`...), e.ReadOnly)
	b = appendResources(b, e.Resources)
	b = appendMember(b, `,"eventType":`, string(e.EventType))
	b = strconv.AppendBool(append(b, `,"managementEvent":`...), e.ManagementEvent)
	b = appendMember(b, `,"recipientAccountId":`, e.RecipientAccountID)
	b = appendIf(b, `,"sharedEventID":`, e.SharedEventID)
	b = appendMember(b, `,"eventCategory":`, string(e.EventCategory))
	b = appendTLS(b, e.TLSDetails)
	b, ok = appendDetails(b, `,"serviceEventDetails":`, e.ServiceEventDetails, ok)
	r.bytes = append(b, '}')
	return r, ok
}

func appendIdentity(b []byte, u *UserIdentity) ([]byte, bool) {
	b = appendMember(b, `{"type":`, u.Type)
	b = appendIf(b, `,"principalId":`, u.PrincipalID)
	b = appendIf(b, `,"arn":`, u.ARN)
	b = appendIf(b, `,"accountId":`, u.AccountID)
	b = appendIf(b, `,"accessKeyId":`, u.AccessKeyID)
	b = appendIf(b, `,"userName":`, u.UserName)
	b = appendIf(b, `,"identityProvider":`, u.IdentityProvider)
	b = appendIf(b, `,"invokedBy":`, u.InvokedBy)
	return append(b, '}'), u.SessionContext == nil
}

func appendTLS(b []byte, t *TLSDetails) []byte {
	if t == nil {
		return b
	}
	b = append(b, `,"tlsDetails":{`...)
	start := len(b)
	b = appendIf(b, `,"tlsVersion":`, t.TLSVersion)
	b = appendIf(b, `,"cipherSuite":`, t.CipherSuite)
	b = appendIf(b, `,"clientProvidedHostHeader":`, t.ClientProvidedHostHeader)
	if len(b) > start {
		b = append(b[:start], b[start+1:]...) // the first comma
	}
	return append(b, '}')
}

func appendResources(b []byte, all []Resource) []byte {
	if len(all) == 0 {
		return b
	}
	b = append(b, `,"resources":[`...)
	for i, r := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if r.AccountID != "" {
			b = append(appendMember(b, `"accountId":`, r.AccountID), ',')
		}
		if r.Type != "" {
			b = append(appendMember(b, `"type":`, r.Type), ',')
		}
		b = append(appendMember(b, `"ARN":`, r.ARN), '}')
	}
	return append(b, ']')
}

func appendDetails(b []byte, prefix string, v map[string]any, ok bool) ([]byte, bool) {
	if len(v) == 0 {
		return b, ok
	}
	return appendDocument(append(b, prefix...), v, ok)
}

// appendDocument appends a document; the outcome is false when it is one for encoding/json, or ok was false.
func appendDocument(b []byte, v any, ok bool) ([]byte, bool) {
	b, fits := appendAny(b, v)
	return b, ok && fits
}

// appendAny appends what documents are made of; false for any other type.
func appendAny(b []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), true
	case string:
		return appendText(b, v), true
	case bool:
		return strconv.AppendBool(b, v), true
	case int64:
		return strconv.AppendInt(b, v, 10), true
	case int:
		return strconv.AppendInt(b, int64(v), 10), true
	case map[string]any:
		return appendMap(b, v)
	case map[string]string:
		return appendTexts(b, v), true
	case []any:
		return appendList(b, v)
	}
	return b, false
}

func appendMap(b []byte, v map[string]any) ([]byte, bool) {
	if v == nil {
		return append(b, "null"...), true
	}
	all := true
	b = append(b, '{')
	var room [16]string // no usual document has more members
	names := room[:0]
	for name := range v {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b, all = appendDocument(append(appendText(b, name), ':'), v[name], all)
	}
	return append(b, '}'), all
}

func appendTexts(b []byte, v map[string]string) []byte {
	if v == nil {
		return append(b, "null"...)
	}
	var room [16]string
	names := room[:0]
	for name := range v {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(appendText(b, name), ':'), v[name])
	}
	return append(b, '}')
}

func appendList(b []byte, v []any) ([]byte, bool) {
	if v == nil {
		return append(b, "null"...), true
	}
	all := true
	b = append(b, '[')
	for i, one := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b, all = appendDocument(b, one, all)
	}
	return append(b, ']'), all
}

// appendMember appends a member. prefix is its name as JSON has it, with the colon and what comes before.
func appendMember(b []byte, prefix, value string) []byte {
	return appendText(append(b, prefix...), value)
}

// appendIf is appendMember for a member that is left out when it is empty.
func appendIf(b []byte, prefix, value string) []byte {
	if value == "" {
		return b
	}
	return appendMember(b, prefix, value)
}

// appendText appends a JSON string. What needs an escape is left to encoding/json.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	b = append(b, s...)
	if !plain(b[len(b)-len(s):]) {
		return appendEscaped(b[:len(b)-len(s)-1], s)
	}
	return append(b, '"')
}

// plain says that a text needs no escape: printable ASCII without quotes and backslashes. It looks at eight bytes at once.
func plain(s []byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(s) >= 8; s = s[8:] {
		x := binary.LittleEndian.Uint64(s)
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		// Of a byte below 0x80 the high bit becomes set: by the first term when it is below 0x20, by the second when it
		// is 0x7f, by the others when it is the character. A byte above has it anyway.
		odd := (x - ones*0x20) | (x + ones) | (quote - ones) | (slash - ones) | x
		if odd&high != 0 {
			return plainBytes(s)
		}
	}
	return plainBytes(s)
}

func plainBytes(s []byte) bool {
	for _, c := range s {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func appendEscaped(b []byte, s string) []byte {
	var e encoder
	return append(b, e.json(s)...) // a string is always JSON
}
