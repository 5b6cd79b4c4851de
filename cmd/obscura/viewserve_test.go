// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/internal/media/hls"
	"github.com/obscura-video/obscura/internal/server"
)

// player is a view serve that runs, as its players see it.
type player struct {
	t      *testing.T
	base   string // ends in a slash
	cancel context.CancelFunc
	ended  chan error
	stderr *os.File
}

// play runs view serve until the test ends. The address is read from its standard output.
func play(t *testing.T, o *viewServeOptions) *player {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := &player{t: t, ended: make(chan error, 1)}
	if p.stderr, err = os.Create(filepath.Join(t.TempDir(), "stderr")); err != nil {
		t.Fatal(err)
	}
	o.strict, o.listen, o.giveUp, o.window = true, "127.0.0.1:0", time.Minute, time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	p.cancel = cancel
	go func() {
		p.ended <- viewServe(ctx, newTerminal(os.Stdin, w, p.stderr), o)
		w.Close()
	}()
	t.Cleanup(func() { cancel(); p.stderr.Close() })
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("no address: %v\n%s", <-p.ended, p.said())
	}
	p.base = strings.TrimSuffix(strings.TrimSpace(line), masterName)
	return p
}

func (p *player) said() string {
	b, err := os.ReadFile(p.stderr.Name())
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

func (p *player) get(name string) (string, int) {
	p.t.Helper()
	resp, err := http.Get(p.base + name)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b), resp.StatusCode
}

func (p *player) must(name string) string {
	p.t.Helper()
	b, status := p.get(name)
	if status != http.StatusOK {
		p.t.Fatalf("%s: %d %s\n%s", name, status, b, p.said())
	}
	return b
}

// load fetches all segments of a playlist, each with its init segment.
func (p *player) load(playlist string) (segments []string) {
	p.t.Helper()
	for line := range strings.Lines(playlist) {
		line = strings.TrimSpace(line)
		if uri, ok := strings.CutPrefix(line, `#EXT-X-MAP:URI="`); ok {
			if head := p.must(strings.TrimSuffix(uri, `"`)); !strings.Contains(head, "moov") {
				p.t.Errorf("%s is no init segment", uri)
			}
		} else if line != "" && line[0] != '#' {
			segments = append(segments, p.must(line))
		}
	}
	return segments
}

// holdsTheClip checks that segments hold the frames of the demo's clip, byte for byte and in order, so many times.
func holdsTheClip(t *testing.T, segments []string, times int) {
	t.Helper()
	all := strings.Join(segments, "")
	for _, track := range []uint64{1, 2} {
		rest := all
		for n := range times {
			for i, f := range framesOf(t, demoClip, track) {
				at := strings.Index(rest, string(f.data))
				if at < 0 {
					t.Errorf("frame %d of track %d, time %d, is missing or in a wrong place", i, track, n+1)
					return
				}
				if rest = rest[at+len(f.data):]; track == 2 {
					rest = all[len(all)-len(rest):]
				}
			}
		}
	}
}

// await asks until it is answered: what is too far ahead now need not be so when the view has connected again.
func (p *player) await(name string) string {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if b, status := p.get(name); status != http.StatusBadRequest || time.Now().After(end) {
			if status != http.StatusOK {
				p.t.Fatalf("%s: %d %s\n%s", name, status, b, p.said())
			}
			return b
		}
	}
}

func (p *player) end() error {
	p.cancel()
	err := <-p.ended
	if _, refused := http.Get(p.base); refused == nil {
		p.t.Error("it is served still")
	}
	return err
}

func TestRecordingIsServedToPlayers(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	serveIn(t, data)
	mustRun(t, "camera", "--data", data, "--stream", "door", "--input", "demo", "--fast", "--fragment", "2s")
	p := play(t, &viewServeOptions{viewOptions: viewOptions{target: target{data: data}, stream: "door", from: "-1m", until: "+1m"}})
	if master := p.must(masterName); !strings.Contains(master, `CODECS="avc1.`) || !strings.Contains(master, "\nmedia.m3u8\n") {
		t.Error(master)
	}
	list := p.must(mediaName)
	for _, want := range []string{"PLAYLIST-TYPE:VOD", "ENDLIST", "PROGRAM-DATE-TIME"} {
		if !strings.Contains(list, want) {
			t.Errorf("%s is missing in\n%s", want, list)
		}
	}
	segments := p.load(list)
	holdsTheClip(t, segments, 1)
	// From the end to the beginning, as a person searches.
	for i := len(segments) - 1; i >= 0; i-- {
		if got := p.must(fmt.Sprintf("%d.m4s", i)); got != segments[i] {
			t.Errorf("segment %d is another one when it is asked for again", i)
		}
	}
	for _, name := range []string{fmt.Sprintf("%d.m4s", len(segments)), "-1.m4s", "0x.m4s", "00.m4s", "init-1.mp4", "init-0.m4s", "1.mp4"} {
		if b, status := p.get(name); status != http.StatusNotFound {
			t.Errorf("%s: %d %.20q", name, status, b)
		}
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

func TestHolesInARecordingBeginAnew(t *testing.T) {
	at := func(ms int64) consumer.FragmentInfo {
		return consumer.FragmentInfo{Producer: time.UnixMilli(ms), Length: 2 * time.Second}
	}
	a := &archivePlay{list: []consumer.FragmentInfo{at(0), at(2040), at(9000), at(11_000), at(11_500)}}
	a.plan(false)
	text, err := a.playlist(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#EXT-X-PROGRAM") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := strings.Fields(`#EXTM3U #EXT-X-VERSION:7 #EXT-X-TARGETDURATION:3 #EXT-X-PLAYLIST-TYPE:VOD #EXT-X-INDEPENDENT-SEGMENTS
		#EXT-X-MAP:URI="init-0.mp4" #EXTINF:2.040, 0.m4s #EXTINF:2.000, 1.m4s
		#EXT-X-DISCONTINUITY #EXT-X-MAP:URI="init-2.mp4" #EXTINF:2.000, 2.m4s #EXTINF:2.000, 3.m4s
		#EXT-X-DISCONTINUITY #EXT-X-MAP:URI="init-4.mp4" #EXTINF:2.000, 4.m4s #EXT-X-ENDLIST`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLiveStreamIsServedOverARestartOfTheServer(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	stop := serveAgain(t, data)
	mustRun(t, "camera", "--data", data, "--stream", "door", "--input", "demo", "--fast", "--fragment", "2s")
	p := play(t, &viewServeOptions{viewOptions: viewOptions{target: target{data: data}, stream: "door", from: "now"}})
	mustRun(t, "camera", "--data", data, "--stream", "door", "--input", "demo", "--fast", "--fragment", "2s")
	const each = 3 // fragments of the clip; the newest one of before comes first
	list := p.must(mediaName + fmt.Sprintf("?_HLS_msn=%d", each))
	if strings.Count(list, "#EXT-X-DISCONTINUITY\n") != 1 || strings.Contains(list, "ENDLIST") {
		t.Error(list)
	}
	holdsTheClip(t, p.load(list), 1)
	stop()
	stop = serveAgain(t, data)
	defer stop()
	mustRun(t, "camera", "--data", data, "--stream", "door", "--input", "demo", "--fast", "--fragment", "2s")
	list = p.await(mediaName + fmt.Sprintf("?_HLS_msn=%d", 2*each))
	if strings.Count(list, "#EXT-X-DISCONTINUITY\n") != 2 || strings.Count(list, "EXT-X-MAP") != 1 {
		t.Error(list)
	}
	holdsTheClip(t, p.load(list), 2)
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

// serveAgain is serveIn at the addresses where the data was served before.
func serveAgain(t *testing.T, data string) (stop func()) {
	t.Helper()
	api, media := freeAddress(t), freeAddress(t)
	if e, err := server.ReadEndpoints(data); err == nil {
		api, media = strings.TrimPrefix(e.API, "https://"), strings.TrimPrefix(e.Media, "https://")
	}
	off := server.Listener{Listen: server.Off}
	s, err := server.Open(t.Context(), server.Config{
		Data: data, API: server.Listener{Listen: api}, Media: server.Listener{Listen: media}, Device: off, Admin: off,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestSealedStreamIsServedConfirmed(t *testing.T) {
	t.Parallel()
	h := newSealedHome(t)
	h.record("door", "--fragment", "4s")
	whole := h.sealedFragments("door")
	t.Run("recording", func(t *testing.T) {
		p := play(t, &viewServeOptions{viewOptions: viewOptions{target: target{data: h.data}, stream: "door", from: "earliest", until: "+1m", folder: h.viewerKeys}})
		list := p.must(mediaName)
		if strings.Contains(list, "PROGRAM-DATE-TIME") {
			t.Error("the server's times are given out as the camera's")
		}
		holdsTheClip(t, p.load(list), 1)
		p.must("2.m4s")
		p.must("0.m4s") // back in time is no tampering
		if err := p.end(); err != nil {
			t.Error(err)
		}
		says(t, p.said(), `confirmed: signed by "Front door"`, " 0 missing, 0 refused")
	})
	live := func(spoil func([]*consumer.Fragment) []*consumer.Fragment) (served, string, *liveWindow) {
		w := newLiveWindow(hls.Limits{Length: time.Minute, Bytes: liveMemory})
		o := &viewOptions{from: "earliest", strict: true}
		got := h.serveInto(w, o, spoil(copyFragments(whole)))
		w.End()
		list, err := w.playlist(t.Context(), 0)
		if err != nil {
			t.Fatalf("%v, %v", err, got.err)
		}
		return got, string(list), w
	}
	t.Run("gap", func(t *testing.T) {
		got, list, _ := live(func(f []*consumer.Fragment) []*consumer.Fragment { return append(f[:1], f[2:]...) })
		if got.err != nil || strings.Count(list, ".m4s") != 2 || strings.Count(list, "#EXT-X-DISCONTINUITY\n") != 1 {
			t.Errorf("%v\n%s", got.err, list)
		}
		says(t, got.stderr, "gap: 1 fragment numbered by the camera not delivered")
	})
	t.Run("tampering", func(t *testing.T) {
		got, list, w := live(func(f []*consumer.Fragment) []*consumer.Fragment { f[1].Frames[9].Data[30] ^= 1; return f })
		if exitOf(got.err) != exitDamaged || strings.Count(list, ".m4s") != 1 || !strings.HasSuffix(list, "#EXT-X-ENDLIST\n") {
			t.Errorf("%v\n%s", got.err, list)
		}
		if b, ok := w.Find("0.m4s"); !ok || !bytes.Contains(b, framesOf(t, demoClip, 1)[0].data) {
			t.Error("what was confirmed before cannot be shown any more")
		}
	})
	t.Run("readable media", func(t *testing.T) {
		other := filepath.Join(h.dir, "other")
		serveIn(t, other)
		mustRun(t, "camera", "--data", other, "--stream", "door", "--input", "demo", "--fast")
		p := play(t, &viewServeOptions{viewOptions: viewOptions{target: target{data: other}, stream: "door", from: "earliest", until: "+1m", folder: h.viewerKeys}})
		if b, status := p.get("0.m4s"); status != http.StatusNotFound {
			t.Errorf("%d, %d bytes", status, len(b))
		}
		var told *problem
		if err := <-p.ended; !errors.As(err, &told) || told.Exit != exitDamaged || !strings.Contains(told.Why, "plaintext refused") {
			t.Errorf("%v", err)
		}
	})
	t.Run("without keys", func(t *testing.T) {
		o := &viewServeOptions{viewOptions: viewOptions{target: target{data: h.data}, stream: "door", from: "earliest"}, listen: "127.0.0.1:0"}
		if err := viewServe(t.Context(), newTerminal(os.Stdin, os.Stderr, os.Stderr), o); exitOf(err) != exitNoKey {
			t.Errorf("%v", err)
		}
	})
}
