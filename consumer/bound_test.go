// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/media/mkv"
)

// endless repeats bytes after a beginning.
type endless struct {
	begin, repeat, left []byte
	read                int
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.left) == 0 {
		e.left = e.repeat
		if e.read == 0 {
			e.left = e.begin
		}
	}
	n := copy(p, e.left)
	e.left, e.read = e.left[n:], e.read+n
	return n, nil
}

// TestEndlessAnswersAreGivenUp: what a service can make a reader hold is bounded, whatever it sends.
func TestEndlessAnswersAreGivenUp(t *testing.T) {
	header := mkv.AppendHeader(nil, mkv.Info{}, []Track{{Number: 1, Type: Video, CodecID: "V_TEST", Width: 2, Height: 2}})
	inside := chunk(0, false)
	frame := mkv.AppendSimpleBlock(nil, 1, 0, false, make([]byte, 1<<20))
	empty := mkv.AppendSimpleBlock(nil, 1, 0, false, nil)
	tag := mkv.AppendTags(nil, mkv.Tag{Name: "x", Value: strings.Repeat("y", 1000)})
	for name, tt := range map[string]struct {
		in   endless
		most int // bytes that may be read before it ends
	}{
		"frames":                {endless{begin: inside, repeat: frame}, maxFragmentBytes + 4<<20},
		"frames of nothing":     {endless{begin: inside, repeat: empty}, maxFragmentBytes},
		"tags in a header":      {endless{begin: header, repeat: tag}, 2 * maxTagBytes},
		"tags after a fragment": {endless{begin: chunk(0, true), repeat: tag}, 2 * maxTagBytes},
		"tags in a fragment":    {endless{begin: inside, repeat: tag}, 2 * maxTagBytes},
	} {
		t.Run(name, func(t *testing.T) {
			err := (&parser{emit: func(Event) error { return nil }}).parse(io.LimitReader(&tt.in, 1<<30))
			var header *mkv.LimitError
			if !errors.As(err, &header) && (!errors.Is(err, ErrTooLarge) || !permanent(err)) {
				t.Errorf("got %v", err)
			}
			if tt.in.read > tt.most {
				t.Errorf("%d bytes were read", tt.in.read)
			}
		})
	}
}

func TestTagsOfOneFragmentDoNotCountForTheNext(t *testing.T) {
	var b []byte
	for n := range 40 { // 2 MB of tags in all
		b = append(b, chunk(n, false)...)
		for range 50 {
			b = mkv.AppendTags(b, mkv.Tag{Name: "x", Value: strings.Repeat("y", 1000)})
		}
		b = mkv.AppendTags(b, mkv.Tag{Name: mkv.ContinuationToken, Value: "t"})
	}
	if err := (&parser{emit: func(Event) error { return nil }}).parse(strings.NewReader(string(b))); err != nil {
		t.Error(err)
	}
}

func TestEndlessListIsGivenUp(t *testing.T) {
	for name, page := range map[string]string{
		"full pages":  `{"NextToken":"more","Fragments":[{"FragmentNumber":"1"},{"FragmentNumber":"2"}]}`,
		"empty pages": `{"NextToken":"more","Fragments":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			pages := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/getDataEndpoint" {
					fmt.Fprintf(w, `{"DataEndpoint":"http://%s"}`, r.Host)
					return
				}
				pages++
				fmt.Fprint(w, page)
			}))
			defer server.Close()
			c := open(t, &script{}, Options{})
			c.o.Endpoint, c.maxListed = server.URL, 20
			if _, err := c.List(t.Context(), Range{Start: time.Unix(0, 0), End: time.Unix(9, 0)}); !errors.Is(err, ErrTooLarge) || pages > 22 {
				t.Errorf("after %d pages: %v", pages, err)
			}
		})
	}
}

// TestFragmentsThatWereNotAskedForAreNotAskedForAgain: a service that gives others does so again.
func TestFragmentsThatWereNotAskedForAreNotAskedForAgain(t *testing.T) {
	asked := 0
	s := &script{
		list: map[string]any{"Fragments": []map[string]any{{"FragmentNumber": "101", "ProducerTimestamp": 1}}},
		byList: func([]string) answer {
			asked++
			return answer{body: chunk(5, false)}
		},
	}
	c := open(t, s, Options{})
	for _, err := range c.Archive(t.Context(), Range{Start: time.Unix(0, 0), End: time.Unix(9, 0)}) {
		if !errors.Is(err, errNotAsked) || asked != 1 {
			t.Errorf("asked %d times: %v", asked, err)
		}
	}
}
