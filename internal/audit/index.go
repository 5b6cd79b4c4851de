// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/obscura-video/obscura/internal/meta"
)

// Attribute is something that events are found by. The numbers are stored: never change one.
type Attribute byte

// The attributes of LookupEvents. Any finds every management event. EventID needs no rows of its own,
// because an event's ID tells its time.
const (
	Any          Attribute = 0
	EventID      Attribute = 1
	EventName    Attribute = 2
	ReadOnly     Attribute = 3
	Username     Attribute = 4
	ResourceType Attribute = 5
	ResourceName Attribute = 6
	EventSource  Attribute = 7
	AccessKeyID  Attribute = 8
)

type term struct {
	attribute Attribute
	value     string
}

// terms lists what e is found by, possibly with repetitions: nothing when it is no management event.
func (e *Event) terms() []term { return e.appendTerms(nil) }

func (e *Event) appendTerms(ts []term) []term {
	if !e.ManagementEvent {
		return ts
	}
	ts = append(slices.Grow(ts, 6+3*len(e.Resources)),
		term{Any, ""},
		term{EventName, e.EventName},
		term{ReadOnly, strconv.FormatBool(e.ReadOnly)},
		term{EventSource, e.EventSource},
	)
	if u := e.Username(); u != "" {
		ts = append(ts, term{Username, u})
	}
	if k := e.UserIdentity.AccessKeyID; k != "" {
		ts = append(ts, term{AccessKeyID, k})
	}
	for _, r := range e.Resources {
		ts = append(ts, term{ResourceType, r.Type}, term{ResourceName, r.ARN})
		if n := resourceName(r.ARN); n != r.ARN {
			ts = append(ts, term{ResourceName, n})
		}
	}
	return ts
}

// matches says whether e is found by t, letter for letter.
func (e *Event) matches(t term) bool {
	if t.attribute == EventID {
		return e.ManagementEvent && e.EventID == t.value
	}
	for _, own := range e.terms() {
		if own == t {
			return true
		}
	}
	return false
}

// Username is the name by which LookupEvents knows who made the event: the IAM user, the session's name, or
// "root"; empty for a service.
func (e *Event) Username() string {
	u := &e.UserIdentity
	switch u.Type {
	case "Root":
		return "root"
	case "AssumedRole", "FederatedUser":
		_, name, _ := strings.Cut(u.PrincipalID, ":")
		return name
	case "AWSService":
		return ""
	}
	return u.UserName
}

// resourceName returns the name in an ARN: what follows the type, without path or creation time. A text that
// is no ARN is its own name.
func resourceName(arn string) string {
	service, id, ok := cutARN(arn)
	if !ok {
		return arn
	}
	if service == "kinesisvideo" { // stream/name/creation time
		if p := strings.Split(id, "/"); len(p) == 3 {
			return p[1]
		}
	}
	if i := strings.LastIndexAny(id, "/:"); i >= 0 {
		id = id[i+1:]
	}
	return id
}

// cutARN returns the third and the sixth field of an ARN.
func cutARN(arn string) (service, id string, ok bool) {
	id = arn
	for i := range 5 {
		var field string
		if field, id, ok = strings.Cut(id, ":"); !ok {
			return "", "", false
		}
		if i == 2 {
			service = field
		}
	}
	return service, id, true
}

// bitmap says which events of a block are meant, by their place in it.
type bitmap [maxBlockEvents / 8]byte

func (m *bitmap) set(i int) { m[i/8] |= 1 << (i % 8) }

// last returns the highest place in m below limit, -1 when there is none.
func (m *bitmap) last(limit int) int {
	for i := min(limit, maxBlockEvents) - 1; i >= 0; i-- {
		if m[i/8] == 0 {
			i -= i % 8
			continue
		}
		if m[i/8]&(1<<(i%8)) != 0 {
			return i
		}
	}
	return -1
}

func (m *bitmap) len() (n int) {
	for _, b := range m {
		n += bits.OnesCount8(b)
	}
	return n
}

// index collects the terms of a block's events.
type index map[term]*bitmap

func (x index) add(terms []term, place int) {
	for _, t := range terms {
		m := x[t]
		if m == nil {
			m = new(bitmap)
			x[t] = m
		}
		m.set(place)
	}
}

// rows returns the index rows of b. The value is the block's span in milliseconds as a varint, then the
// bitmap without its trailing zeros.
func (x index) rows(b *block) []meta.KV {
	rows := make([]meta.KV, 0, len(x))
	span := binary.AppendUvarint(nil, uint64(b.lastT-b.firstT))
	for t, m := range x {
		end := len(m)
		for end > 0 && m[end-1] == 0 {
			end--
		}
		rows = append(rows, meta.KV{
			Key:   indexKey(indexPrefix(t.attribute, t.value), b.lastT, b.seq),
			Value: append(span[:len(span):len(span)], m[:end]...),
		})
	}
	return rows
}

func parseIndexValue(v []byte) (spanMS int64, m bitmap, ok bool) {
	span, n := binary.Uvarint(v)
	if n <= 0 || span > uint64(maxBlockSpan.Milliseconds()) || len(v)-n > len(m) {
		return 0, m, false
	}
	copy(m[:], v[n:])
	return int64(span), m, m.len() > 0
}
