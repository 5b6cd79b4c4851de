// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Size caps of a record, in bytes. A text that is longer is cut, a document that is longer is left out.
//
// Source: CloudTrail User Guide, "CloudTrail record contents".
const (
	maxText           = 1 << 10 // userAgent, errorCode, errorMessage
	maxParameters     = 100 << 10
	maxAdditionalData = 28 << 10
	maxRecord         = 256 << 10
	// maxResources is our own, so that one event cannot fill the index of a whole commit.
	maxResources = 1000
)

// encoder turns events into JSON. It is not for concurrent use.
type encoder struct{ buf bytes.Buffer }

// bound applies the size caps of texts and lists to e.
func (e *Event) bound() {
	e.UserAgent = cut(e.UserAgent)
	e.ErrorCode = cut(e.ErrorCode)
	e.ErrorMessage = cut(e.ErrorMessage)
	if e.TLSDetails != nil {
		e.TLSDetails.ClientProvidedHostHeader = cut(e.TLSDetails.ClientProvidedHostHeader)
	}
	e.Resources = e.Resources[:min(len(e.Resources), maxResources)]
}

// usual encodes an event whose texts are bound if it is one of the usual kind: without anything for encoding/json, and so
// small that no document in it can be too long. It lies in room if that suffices.
func usual(room []byte, e *Event) (encoded, bool) {
	if empty(e.RequestParameters) || empty(e.ResponseElements) || len(e.EventID) != idBytes {
		return encoded{}, false
	}
	if year := e.EventTime.Year(); year < 0 || year >= 9999 || e.EventTime.Nanosecond() != 0 {
		return encoded{}, false // within a second of 9998 the year has four digits still
	}
	r, ok := byHand(room, e)
	return r, ok && len(r.bytes) <= maxAdditionalData
}

// empty says that a document is there and has no members. It is written as null.
func empty(document any) bool {
	m, ok := document.(map[string]any)
	return ok && len(m) == 0
}

// encode returns the record of e in bytes of their own, and applies the size caps to e. It never fails: a
// member that cannot be encoded is left out, since an event without it is worth more than none.
func (c *encoder) encode(e *Event) []byte {
	e.bound()
	if r, ok := usual(make([]byte, 0, recordBytes), e); ok {
		return r.bytes
	}
	if b := c.small(e); b != nil {
		return b
	}
	e.RequestParameters = c.document(e.RequestParameters, maxParameters)
	e.ResponseElements = c.document(e.ResponseElements, maxParameters)
	if c.document(e.AdditionalEventData, maxAdditionalData) == nil {
		e.AdditionalEventData = nil
	}
	if c.document(e.ServiceEventDetails, maxParameters) == nil {
		e.ServiceEventDetails = nil
	}
	if b := c.json(e); b != nil && len(b) <= maxRecord {
		return bytes.Clone(b)
	}
	e.RequestParameters, e.ResponseElements, e.AdditionalEventData, e.ServiceEventDetails = nil, nil, nil, nil
	e.Resources = e.Resources[:min(len(e.Resources), 100)]
	return bytes.Clone(c.json(e))
}

// small encodes an event of which no document can be too long, since the whole is not, so that its documents need not
// be encoded by themselves. It returns nil for any other.
func (c *encoder) small(e *Event) []byte {
	if empty(e.RequestParameters) || empty(e.ResponseElements) {
		return nil
	}
	if b := c.json(e); b != nil && len(b) <= maxAdditionalData {
		return bytes.Clone(b)
	}
	return nil
}

// document encodes v alone; nil when it is empty, too long or no JSON.
func (c *encoder) document(v any, limit int) any {
	switch d := v.(type) {
	case nil:
		return nil
	case map[string]any:
		if len(d) == 0 {
			return nil
		}
	}
	b := c.json(v)
	if b == nil || len(b) > limit {
		return nil
	}
	return json.RawMessage(bytes.Clone(b))
}

// json encodes v into the buffer, where it stays until the next call; nil when v is no JSON.
func (c *encoder) json(v any) []byte {
	c.buf.Reset()
	enc := json.NewEncoder(&c.buf)
	enc.SetEscapeHTML(false) // policies and queries stay readable
	if enc.Encode(v) != nil {
		return nil
	}
	return bytes.TrimSuffix(c.buf.Bytes(), []byte("\n"))
}

// cut shortens s to maxText bytes of whole characters.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
