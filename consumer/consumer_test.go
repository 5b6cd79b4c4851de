// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/obscura-video/obscura/internal/media/mkv"
)

const zero = 1_700_000_000_000 // of all fragments, in milliseconds since the epoch

// chunk is a fragment as GetMedia sends it. Number n is at second n.
func chunk(n int, complete bool) []byte {
	ms := zero + int64(n)*1000
	b := mkv.AppendHeader(nil, mkv.Info{}, []Track{{Number: 1, Type: Video, CodecID: "V_TEST", Width: 2, Height: 2}})
	b = mkv.AppendTags(b, mkv.Tag{Name: mkv.FragmentNumber, Value: strconv.Itoa(100 + n)},
		mkv.Tag{Name: mkv.ServerTimestamp, Value: fmt.Sprintf("%d.%03d", ms/1000, ms%1000)},
		mkv.Tag{Name: mkv.ProducerTimestamp, Value: fmt.Sprintf("%d.%03d", ms/1000, ms%1000)})
	b = mkv.AppendClusterStart(b, uint64(ms))
	for i := range 3 {
		b = mkv.AppendSimpleBlock(b, 1, int16(100*i), i == 0, fmt.Appendf(nil, "%d/%d", n, i))
	}
	if complete {
		b = mkv.AppendTags(b, mkv.Tag{Name: "room", Value: "hall"})
		b = mkv.AppendTags(b, mkv.Tag{Name: mkv.MillisBehindNow, Value: "7"},
			mkv.Tag{Name: mkv.ContinuationToken, Value: strconv.Itoa(100 + n)})
	}
	return b
}

// failure is a chunk that says why no more follows.
func failure(id int, code string) []byte {
	return mkv.AppendTags(mkv.AppendPreamble(nil), mkv.Tag{Name: mkv.FragmentNumber, Value: "1"},
		mkv.Tag{Name: mkv.ErrorID, Value: strconv.Itoa(id)}, mkv.Tag{Name: mkv.ErrorCode, Value: code})
}

// answer is what a GetMedia gets: bytes, and then the end of the body or of the connection.
type answer struct {
	body []byte
	cut  bool
}

// script answers one GetMedia after the other, and remembers what it was asked.
type script struct {
	mu      sync.Mutex
	answers []answer
	asked   []string // start selectors: type and token
	list    any      // the answer of ListFragments
	byList  func(numbers []string) answer
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		StartSelector struct{ StartSelectorType, ContinuationToken string }
		Fragments     []string
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.URL.Path {
	case "/getDataEndpoint":
		fmt.Fprintf(w, `{"DataEndpoint":"http://%s"}`, r.Host)
	case "/listFragments":
		_ = json.NewEncoder(w).Encode(s.list)
	case "/getMediaForFragmentList":
		send(w, s.byList(in.Fragments))
	case "/getMedia":
		s.asked = append(s.asked, in.StartSelector.StartSelectorType+in.StartSelector.ContinuationToken)
		if len(s.answers) == 0 {
			w.Header().Set("x-amzn-ErrorType", "ResourceNotFoundException")
			w.Header().Set("x-amzn-RequestId", "r-9")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		a := s.answers[0]
		s.answers = s.answers[1:]
		send(w, a)
	}
}

func send(w http.ResponseWriter, a answer) {
	_, _ = w.Write(a.body)
	_ = http.NewResponseController(w).Flush()
	if a.cut {
		panic(http.ErrAbortHandler)
	}
}

func open(t *testing.T, s *script, o Options) *Consumer {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	o.StreamName, o.Endpoint = "cam", server.URL
	o.Credentials = func(context.Context) (Credentials, error) {
		return Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret"}, nil
	}
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	c.backoff = time.Millisecond
	t.Cleanup(c.Close)
	return c
}

// collect reads until the error, and returns the numbers of the fragments.
func collect(t *testing.T, c *Consumer, start Start) (numbers []string, err error) {
	t.Helper()
	for f, err := range c.Fragments(t.Context(), start) {
		if err != nil {
			return numbers, err
		}
		if len(f.Frames) != 3 {
			t.Errorf("fragment %s has %d frames", f.Number, len(f.Frames))
		}
		numbers = append(numbers, f.Number)
	}
	return numbers, nil
}

func TestReadingGoesOnAfterTheLastCompleteFragment(t *testing.T) {
	half := chunk(3, true)[:250]
	s := &script{answers: []answer{
		{body: slices.Concat(chunk(1, true), chunk(2, true), half), cut: true},
		{body: nil, cut: true},
		{body: slices.Concat(chunk(3, false), chunk(3, true))}, // given up, and sent again
		{body: chunk(4, true)},
		{body: chunk(4, true)}, // a duplicate
	}}
	got, err := collect(t, open(t, s, Options{}), Earliest())
	var r *ResponseError
	if !errors.As(err, &r) || r.Code != "ResourceNotFoundException" || r.RequestID != "r-9" {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff([]string{"101", "102", "103", "104"}, got); diff != "" {
		t.Error(diff)
	}
	want := []string{
		"EARLIEST", "CONTINUATION_TOKEN102", "CONTINUATION_TOKEN102", "CONTINUATION_TOKEN103",
		"CONTINUATION_TOKEN104", "CONTINUATION_TOKEN104",
	}
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Error(diff)
	}
}

func TestFragmentIsWhatTheProducerSent(t *testing.T) {
	c := open(t, &script{answers: []answer{{body: chunk(5, true)}}}, Options{})
	for f, err := range c.Fragments(t.Context(), Now()) {
		if err != nil {
			t.Fatal(err)
		}
		at := time.UnixMilli(zero + 5000)
		if f.Number != "105" || !f.Producer.Equal(at) || !f.Server.Equal(at) || f.Behind != 7*time.Millisecond || f.Token != "105" {
			t.Errorf("%+v", f)
		}
		if diff := cmp.Diff([]Tag{{Name: "room", Value: "hall"}}, f.Tags); diff != "" {
			t.Error(diff)
		}
		for i, x := range f.Frames {
			if x.Track != 1 || x.Key != (i == 0) || string(x.Data) != fmt.Sprintf("5/%d", i) || !x.Time.Equal(at.Add(time.Duration(i)*100*time.Millisecond)) {
				t.Errorf("frame %d: %+v", i, x)
			}
		}
		return
	}
}

func TestEventsTellOfFragmentsThatAreGivenUp(t *testing.T) {
	s := &script{answers: []answer{{body: slices.Concat(chunk(1, false), chunk(2, true))}}}
	var kinds []EventKind
	for ev, err := range open(t, s, Options{}).Events(t.Context(), Now()) {
		if err != nil {
			break
		}
		kinds = append(kinds, ev.Kind)
	}
	want := []EventKind{Begin, Arrived, Arrived, Arrived, Aborted, Begin, Arrived, Arrived, Arrived, Complete}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestRefusalInTheMediaIsAnError(t *testing.T) {
	s := &script{answers: []answer{{body: slices.Concat(chunk(1, true), failure(4501, "KMS_KEY_DISABLED"))}}}
	got, err := collect(t, open(t, s, Options{}), Now())
	var m *MediaError
	if !errors.As(err, &m) || m.ID != 4501 || m.Code != "KMS_KEY_DISABLED" || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestReadingEndsWithItsContext(t *testing.T) {
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	s := &script{answers: []answer{{body: chunk(1, true)}}}
	for f, err := range open(t, s, Options{}).Fragments(ctx, Now()) {
		if f != nil {
			cancel(why)
			continue
		}
		if !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
	}
}

func TestArchiveIsInOrderAndWithoutDoubles(t *testing.T) {
	at := func(n int) float64 { return zero/1000 + float64(n) }
	s := &script{list: map[string]any{"Fragments": []map[string]any{
		{"FragmentNumber": "103", "ProducerTimestamp": at(3)},
		{"FragmentNumber": "99", "ProducerTimestamp": at(2)},
		{"FragmentNumber": "102", "ProducerTimestamp": at(2)},
		{"FragmentNumber": "101", "ProducerTimestamp": at(1)},
	}}}
	calls := 0
	s.byList = func(numbers []string) answer {
		calls++
		var body []byte
		for _, number := range numbers {
			n, _ := strconv.Atoi(number)
			body = append(body, chunk(n-100, false)...)
		}
		if calls == 1 {
			return answer{body: body[:len(body)-20], cut: true}
		}
		return answer{body: body}
	}
	var got []string
	for f, err := range open(t, s, Options{}).Archive(t.Context(), Range{Start: time.UnixMilli(zero), End: time.UnixMilli(zero + 9000)}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Number)
	}
	if diff := cmp.Diff([]string{"101", "102", "103"}, got); diff != "" || calls != 2 {
		t.Errorf("%d calls, %s", calls, diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(slices.Concat(chunk(1, true), chunk(2, false), failure(4000, "FRAGMENT_NOT_FOUND")))
	f.Add(chunk(1, true)[:200])
	f.Fuzz(func(_ *testing.T, b []byte) {
		open := false
		p := &parser{emit: func(ev Event) error {
			if open != (ev.Kind != Begin) {
				panic("events out of order")
			}
			open = ev.Kind == Begin || ev.Kind == Arrived
			return nil
		}}
		_ = p.parse(bytes.NewReader(b)) // whatever it says, it ends and does not panic
	})
}
