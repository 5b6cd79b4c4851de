// SPDX-License-Identifier: Apache-2.0

package hls

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// piece is a segment of so many bytes and two seconds.
func piece(bytes int) *Piece { return &Piece{Data: make([]byte, bytes), Duration: 2 * time.Second} }

func first(bytes int) *Piece {
	p := piece(bytes)
	p.Init, p.Codecs, p.Width, p.Height = []byte("init"), "avc1.42c01f", 320, 180
	return p
}

func playlist(t *testing.T, w *Window, upTo uint64) string {
	t.Helper()
	b, err := w.Playlist(t.Context(), upTo)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWindowSlidesAndKeepsWhatPlayersMayStillAskFor(t *testing.T) {
	w := NewWindow(Limits{Length: 10 * time.Second, Bytes: 1 << 20})
	for i := range 40 {
		p := piece(100)
		if i == 0 {
			p = first(100)
		}
		p.Discontinuity = i == 3 || i == 37
		w.Add(p)
	}
	text := playlist(t, w, 0)
	for _, want := range []string{
		"#EXT-X-TARGETDURATION:2\n", "#EXT-X-MEDIA-SEQUENCE:35\n", "#EXT-X-DISCONTINUITY-SEQUENCE:1\n", `#EXT-X-MAP:URI="init-0.mp4"`,
		"36.m4s\n#EXT-X-DISCONTINUITY\n#EXTINF:2.000,\n37.m4s", "\n39.m4s\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "34.m4s") || strings.Contains(text, "ENDLIST") {
		t.Error(text)
	}
	for uri, there := range map[string]bool{"39.m4s": true, "34.m4s": true, "30.m4s": true, "20.m4s": false, "init-0.mp4": true, "40.m4s": false, "../39.m4s": false} {
		if _, ok := w.Find(uri); ok != there {
			t.Errorf("%s: %t", uri, ok)
		}
	}
	master, err := w.Master(t.Context(), "media.m3u8")
	if err != nil || !strings.Contains(string(master), `BANDWIDTH=400,CODECS="avc1.42c01f",RESOLUTION=320x180`+"\nmedia.m3u8\n") {
		t.Errorf("%v %s", err, master)
	}
}

// A camera that sends a lot must not take more memory than it was given, nor leave a player with nothing.
func TestWindowIsBoundedInBytes(t *testing.T) {
	const limit = 10_000
	w := NewWindow(Limits{Length: time.Hour, Bytes: limit})
	w.Add(first(10))
	for i := range 200 {
		w.Add(piece(i * 37 % 3000))
		if n := w.Bytes(); n > limit {
			t.Fatalf("%d bytes are kept", n)
		}
	}
	w.Add(piece(5 * limit))
	if text := playlist(t, w, 0); strings.Count(text, ".m4s") != 1 || w.Bytes() != 5*limit || !strings.Contains(text, "SEQUENCE:201") {
		t.Errorf("one that is larger than the bound stands alone: %d bytes\n%s", w.Bytes(), text)
	}
	if b, ok := w.Find("init-0.mp4"); !ok || string(b) != "init" {
		t.Error("its init segment is gone")
	}
}

func TestLongerFragmentRaisesTheTarget(t *testing.T) {
	w := NewWindow(Limits{Length: time.Second, Bytes: 1 << 20})
	w.Add(first(1))
	p := piece(1)
	p.Duration = 4001 * time.Millisecond
	w.Add(p)
	for range 30 {
		w.Add(piece(1))
	}
	if text := playlist(t, w, 0); !strings.Contains(text, "TARGETDURATION:5\n") || strings.Count(text, ".m4s") != 10 {
		t.Errorf("at least four targets are listed:\n%s", text)
	}
}

func TestPlayersWaitForNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWindow(Limits{Length: 10 * time.Second, Bytes: 1 << 20})
		answers := make(chan string, 3)
		for _, upTo := range []uint64{0, 1} {
			go func() {
				b, err := w.Playlist(t.Context(), upTo)
				answers <- fmt.Sprint(upTo, err, strings.Count(string(b), ".m4s"))
			}()
		}
		synctest.Wait()
		w.Add(first(1))
		if got := <-answers; got != "0 <nil> 1" {
			t.Error(got)
		}
		synctest.Wait()
		if len(answers) > 0 {
			t.Error("was told too early")
		}
		w.Add(piece(1))
		if got := <-answers; got != "1 <nil> 2" {
			t.Error(got)
		}
		if _, err := w.Playlist(t.Context(), 4); !errors.Is(err, ErrTooFar) {
			t.Errorf("too far: %v", err)
		}
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Playlist(late, 3); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing came: %v", err)
		}
		w.End()
		w.Add(piece(1))
		if text := playlist(t, w, 99); !strings.HasSuffix(text, "1.m4s\n#EXT-X-ENDLIST\n") {
			t.Errorf("at the end nobody waits, and nothing is added:\n%s", text)
		}
	})
	w := NewWindow(Limits{})
	w.End()
	if _, err := w.Playlist(t.Context(), 0); !errors.Is(err, ErrPlaylist) {
		t.Errorf("ended with nothing: %v", err)
	}
}
