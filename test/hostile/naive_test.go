// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/e2ee/e2eetest"
)

// believer is a client with Vera's keys that believes the server: it shows what comes, in the order in which it comes, at the times
// of the container, and asks nowhere whether something is authentic. It is what shows that an attack is one.
type believer struct {
	self    e2ee.Fingerprint
	seed    []byte
	camera  e2ee.Fingerprint
	secrets map[string]*e2eetest.Secret // by session and generation
	shown   []string
}

func (w *world) believer(t testing.TB) *believer {
	t.Helper()
	seed := w.secretOf("Vera", "kem-0000000001")
	return &believer{w.vera.Fingerprint(), seed, w.door.Fingerprint(), map[string]*e2eetest.Secret{}, nil}
}

// maxBelieved bounds what is read of an answer that has no end.
const maxBelieved = 8 << 20

// watch shows what one GetMedia gives.
func (b *believer) watch(t testing.TB, w *world, p *proxy) []string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.roots()}}}
	defer client.CloseIdleConnections()
	body := w.getMedia(t, client, p.ts.URL, "door")
	defer body.Close()
	all, err := readFragments(io.LimitReader(body, maxBelieved), 0)
	for _, f := range all {
		b.show(f)
	}
	if err != nil {
		b.shown = append(b.shown, "then the picture stops")
	}
	return b.shown
}

// watchArchive shows what an archive gives.
func (b *believer) watchArchive(t testing.TB, w *world, p *proxy) []string {
	t.Helper()
	c := w.consumer(t, "door", p.ts.URL, p.roots(), true)
	for f, err := range c.Archive(t.Context(), consumer.Range{Start: w.now.Add(-time.Hour), End: w.now.Add(time.Hour)}) {
		if err != nil {
			return append(b.shown, "then the picture stops")
		}
		x := &fragment{before: f.Tags, tracks: f.Tracks, timecode: uint64(f.Producer.UnixMilli())}
		for _, frame := range f.Frames {
			x.blocks = append(x.blocks, block{frame.Track, int16(frame.Time.Sub(f.Producer).Milliseconds()), frame.Key, frame.Data})
		}
		b.show(x)
	}
	return b.shown
}

func (b *believer) show(f *fragment) {
	if len(f.blocks) == 0 {
		return
	}
	st, h, ok := e2eetest.HeaderOf(f.blocks[0].payload)
	if f.tag(e2ee.TagName) == nil || !ok {
		for _, x := range f.blocks {
			b.frame(f, x, x.payload)
		}
		return
	}
	b.line("fragment %d of session %x by %x under roster %d, of %d", h.Sequence, st.Session[:4], st.Producer[:4], st.RosterVersion, h.Capture)
	place := fmt.Sprintf("%x/%d", st.Session, st.Generation)
	if s, ok := e2eetest.Unwrap(f.blocks[0].payload, b.camera, b.self, b.seed); ok {
		b.secrets[place] = s
	}
	secret := b.secrets[place]
	if secret == nil || h.Epoch > 1<<14 {
		b.line("no key")
		return
	}
	epoch := secret.Epoch(h.Epoch)
	for _, x := range f.blocks {
		for _, r := range e2eetest.Split(x.payload) {
			b.record(f, x, r, epoch)
		}
	}
}

func (b *believer) record(f *fragment, x block, r e2eetest.Record, epoch e2eetest.Epoch) {
	switch r.Kind {
	case e2eetest.Frame:
		plain, ok := epoch.Believe(byte(x.track), r.Body)
		if s, ok2 := e2eetest.SampleOf(plain, 0); ok && ok2 {
			b.frame(f, x, s.Data)
		}
	case e2eetest.Config, e2eetest.Meta:
		plain, _ := epoch.Believe(0, r.Body)
		b.line("record %d: %x", r.Kind, plain)
	case e2eetest.End:
		b.line("the end")
	}
}

func (b *believer) frame(f *fragment, x block, data []byte) {
	b.line("track %d at %d, key %v: %x", x.track, int64(f.timecode)+int64(x.at), x.key, data)
}

func (b *believer) line(format string, args ...any) {
	b.shown = append(b.shown, fmt.Sprintf(format, args...))
}

func hexOf(b []byte) string { return fmt.Sprintf(": %x", b) }
