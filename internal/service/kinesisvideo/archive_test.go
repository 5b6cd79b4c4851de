// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
)

func between(kind string, from, to time.Time) *archiveapi.FragmentSelector {
	return &archiveapi.FragmentSelector{
		FragmentSelectorType: ptr(kind),
		TimestampRange:       &archiveapi.TimestampRange{StartTimestamp: &from, EndTimestamp: &to},
	}
}

// pages lists by pages of limit fragments.
func (w *world) pages(f *archiveapi.FragmentSelector, limit int64) (numbers []string) {
	w.t.Helper()
	in := &archiveapi.ListFragmentsInput{StreamName: ptr("s"), FragmentSelector: f, MaxResults: &limit}
	for {
		out, err := w.ListFragments(w.as(viewer), in)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(out.Fragments) > int(limit) || len(out.Fragments) == 0 && out.NextToken != nil {
			w.t.Fatalf("page of %d fragments for %d", len(out.Fragments), limit)
		}
		for _, f := range out.Fragments {
			numbers = append(numbers, *f.FragmentNumber)
		}
		if out.NextToken == nil {
			return numbers
		}
		if len(*out.NextToken) > 4096 {
			w.t.Fatal("token is too long")
		}
		in = &archiveapi.ListFragmentsInput{StreamName: ptr("s"), NextToken: out.NextToken, MaxResults: &limit}
	}
}

func TestFragmentsAreListedByEitherTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		start := time.Now()
		var n []string
		put := func(timecodes ...uint64) {
			p := w.put("s").send(header())
			for _, timecode := range timecodes {
				p.send(cluster(timecode, "a", "b"), endOfFragment())
				time.Sleep(time.Second)
			}
			if err := p.end(); err != nil {
				t.Fatal(err)
			}
			n = append(n, p.acks.numbers("PERSISTED")...)
		}
		put(10_000, 12_000, 14_000)
		put(12_000, 14_000, 16_000) // sends two again
		put(2_000, 4_000)           // back-fill
		const byServer, byProducer = "SERVER_TIMESTAMP", "PRODUCER_TIMESTAMP"
		ms := time.UnixMilli
		for _, tc := range []struct {
			name     string
			selector *archiveapi.FragmentSelector
			want     []string
		}{
			{"all", nil, n},
			{"server, all", between(byServer, start, start.Add(time.Hour)), n},
			{"server, both ends included", between(byServer, start.Add(time.Second), start.Add(3*time.Second)), n[1:4]},
			{"server, between two", between(byServer, start.Add(1500*time.Millisecond), start.Add(1900*time.Millisecond)), nil},
			{"producer, all", between(byProducer, ms(0), ms(99_000)), []string{n[6], n[7], n[0], n[3], n[4], n[5]}},
			{"producer, both ends included", between(byProducer, ms(4_000), ms(12_000)), []string{n[7], n[0], n[3]}},
			{"producer, one", between(byProducer, ms(14_000), ms(14_000)), []string{n[4]}},
		} {
			for _, limit := range []int64{1, 2, 3, 1000} {
				if got := w.pages(tc.selector, limit); fmt.Sprint(got) != fmt.Sprint(tc.want) {
					t.Errorf("%s by %d:\n got %v\nwant %v", tc.name, limit, got, tc.want)
				}
			}
		}
		f := w.fragments("s", nil)[1]
		if *f.FragmentLengthInMilliseconds != 80 || f.ProducerTimestamp.UnixMilli() != 12_000 ||
			!f.ServerTimestamp.Equal(start.Add(time.Second)) || *f.FragmentSizeInBytes != int64(len(cluster(0, "a", "b"))+len(endOfFragment())) {
			t.Errorf("%v %v %v %v", *f.FragmentLengthInMilliseconds, f.ProducerTimestamp, f.ServerTimestamp, *f.FragmentSizeInBytes)
		}
	})
}

func TestListFragmentsRefusesForeignTokens(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	w.create("other", 1)
	w.putAll("s", header(), cluster(1000, "a"), cluster(2000, "b"))
	out, err := w.ListFragments(w.as(viewer), &archiveapi.ListFragmentsInput{StreamName: ptr("s"), MaxResults: ptr(int64(1))})
	if err != nil || out.NextToken == nil {
		t.Fatalf("%v, %v", out, err)
	}
	_, err = w.ListFragments(w.as(viewer), &archiveapi.ListFragmentsInput{StreamName: ptr("other"), NextToken: out.NextToken})
	wantCode(t, err, "InvalidArgumentException")
	for _, token := range []string{"", "?", "e30", base64.RawURLEncoding.EncodeToString([]byte(`{"v":2}`)), strings.Repeat("A", 4096)} {
		_, err = w.ListFragments(w.as(viewer), &archiveapi.ListFragmentsInput{StreamName: ptr("s"), NextToken: &token})
		wantCode(t, err, "InvalidArgumentException")
	}
	_, err = w.ListFragments(w.as(viewer), &archiveapi.ListFragmentsInput{
		StreamName: ptr("s"), FragmentSelector: between("SERVER_TIMESTAMP", time.UnixMilli(2), time.UnixMilli(1)),
	})
	wantCode(t, err, "InvalidArgumentException")
}

func FuzzListingToken(f *testing.F) {
	st := &stream{ID: "id"}
	l := listing{Version: 1, Stream: "id", Index: indexServer, Start: 1, End: 2, Begun: true, Time: 1, Seq: 3}
	token, _ := l.token()
	f.Add(token)
	f.Add("e30")
	f.Fuzz(func(t *testing.T, token string) {
		l, err := parseListing(st, token)
		if err != nil {
			return
		}
		again, err := l.token()
		if err != nil {
			t.Fatal(err)
		}
		if same, err := parseListing(st, again); err != nil || *same != *l {
			t.Fatalf("%+v, %+v, %v", l, same, err)
		}
	})
}
