// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Fault is the first place at which the log is not what was written.
type Fault struct {
	// Block and Event count from 1 and name the place; 0 when it is not known. Last is the last event that may
	// be meant, 0 when it is Event alone.
	Block uint64 `json:"block,omitempty"`
	Event uint64 `json:"event,omitempty"`
	Last  uint64 `json:"lastEvent,omitempty"`
	// EventID, EventName and EventTime are those of the event now in this place, if it can be read.
	EventID   string    `json:"eventId,omitempty"`
	EventName string    `json:"eventName,omitempty"`
	EventTime time.Time `json:"eventTime,omitzero"`
	// Digest is the digest that does not fit, File the log file in it that does not; both by their objects' names.
	Digest string `json:"digest,omitempty"`
	File   string `json:"file,omitempty"`
	Reason string `json:"reason"`
	// Err is why a part cannot be read; nil otherwise.
	Err error `json:"-"`
}

// Error names the place and the reason.
func (f *Fault) Error() string {
	var place []string
	if f.Event > 0 {
		place = append(place, fmt.Sprintf("event %d", f.Event))
	}
	if f.Block > 0 {
		place = append(place, fmt.Sprintf("block %d", f.Block))
	}
	if f.Digest != "" {
		place = append(place, "digest "+f.Digest)
	}
	return "audit: " + strings.Join(append(place, ""), ": ") + f.Reason
}

// Unwrap returns Err.
func (f *Fault) Unwrap() error { return f.Err }

// At completes f with the event now in its place, and returns f.
func (f *Fault) At(record []byte) *Fault {
	var e Event
	if json.Unmarshal(record, &e) == nil {
		f.EventID, f.EventName, f.EventTime = e.EventID, e.EventName, e.EventTime
	}
	return f
}

// unreadable is the fault of a block that cannot be read.
func unreadable(block, event uint64, err error) *Fault {
	return &Fault{Block: block, Event: event, Reason: "block cannot be read: " + err.Error(), Err: err}
}

// fault checks b's links by its chain and returns the first event that they do not fit, nil when all do.
func (b *block) fault(hashes []digest) *Fault {
	for i, h := range hashes[1:] {
		if !bytes.Equal(h[:linkBytes], b.links[i][:]) {
			f := &Fault{Block: b.seq, Event: b.first + uint64(i), Reason: b.tampering(i, hashes[i])}
			return f.At(b.events[i])
		}
	}
	return nil
}

// tampering tells from the links what was done at the first place that does not fit; before is the hash there.
func (b *block) tampering(at int, before digest) string {
	for i := at + 1; i < len(b.events); i++ {
		order := append([][]byte{b.events[i]}, b.events[at+1:i]...)
		switch {
		case b.runs(before, append(order, b.events[at]), at):
			return fmt.Sprintf("event has changed places with event %d", b.first+uint64(i))
		case b.runs(before, order[:1], at), b.runs(before, order[:1], i):
			if i == at+1 {
				return "event was inserted"
			}
			return fmt.Sprintf("%d events were inserted, beginning with this one", i-at)
		}
	}
	if at == 0 {
		return "event or the time of its block was altered, or an event was dropped here"
	}
	return "event was altered, or one was dropped here"
}

// runs reports whether records fit the links from a place on, behind a hash.
func (b *block) runs(behind digest, records [][]byte, from int) bool {
	for i, record := range records {
		h := sha256.New()
		h.Write(behind[:])
		h.Write(record)
		h.Sum(behind[:0])
		if from+i >= len(b.links) || !bytes.Equal(behind[:linkBytes], b.links[from+i][:]) {
			return false
		}
	}
	return true
}
