// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/e2ee/e2eetest"
	"github.com/obscura-video/obscura/household"
	"github.com/obscura-video/obscura/internal/media/mkv"
	"github.com/obscura-video/obscura/test/rig"
)

// ran is what became of a run of the program.
type ran struct {
	code      int
	out, errs string
}

// run runs the program against a malicious server, with the keys of a folder.
func (p *proxy) run(t testing.TB, keys string, args ...string) ran {
	t.Helper()
	args = append(args, "--endpoint", p.ts.URL, "--ca", p.caFile(t), "--region", rig.Region, "--keys", keys)
	cmd := exec.CommandContext(t.Context(), rig.Binary(t), args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home,
		"AWS_ACCESS_KEY_ID="+p.server.Root.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+p.server.Root.SecretAccessKey, "AWS_SESSION_TOKEN=")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		t.Fatal(err)
	}
	return ran{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func (r *ran) says(t testing.TB, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(r.errs, w) {
			t.Errorf("it does not say %q:\n%s", w, r.errs)
		}
	}
}

// programAttack is an attack on somebody who runs obscura view.
type programAttack struct {
	name   string
	lies   func(w *world) lies
	stream string                  // by default door
	args   func(w *world) []string // by default all, from the earliest, into a file
	viewer string                  // by default Vera
	code   int
	words  []string
	frames int // in what was written
	// provisional: what was written may be forged, for it was never called confirmed.
	provisional bool
}

// viewing are the exit codes of obscura view.
const (
	viewed   = 0
	tampered = 7
	noKey    = 8
)

const perFragment = 2 * pictures

// idle is after what time without media a view is over: a busy machine may take that long to begin.
const idle = "2500ms"

func attacksOnTheProgram() []programAttack {
	toPipe := func(*world) []string { return []string{"--from", "earliest", "--until-idle", idle, "--output", "-"} }
	liveToFile := func(*world) []string { return []string{"--from", "now", "--until-idle", idle} }
	between := func(from, until int) func(w *world) []string {
		return func(w *world) []string {
			moment := func(i int) string { return w.of("door")[i].link.Capture.Format(time.RFC3339Nano) }
			return []string{"--from", moment(from), "--until", moment(until), "--until-idle", idle}
		}
	}
	return []programAttack{
		{
			name: "none", lies: func(*world) lies { return lies{} }, frames: total * perFragment,
			words: []string{`confirmed: signed by "Front door"`, "stopped: at", "14 fragments confirmed, 0 missing, 0 refused"},
		},
		{
			name: "flips a bit of a frame", lies: bit(2, 1, e2eetest.Frame, func(*world, *fragment) int { return 40 }), code: tampered, frames: 5 * perFragment,
			words: []string{"tampered: fragment …", "is not what the camera signed; playback stopped", "ERR_FRAME", "the last that is good is of"},
		},
		{
			name: "drops a fragment", lies: drop(5), frames: 13 * perFragment,
			words: []string{"gap: 1 fragment numbered by the camera not delivered, before", "13 fragments confirmed, 1 missing, 0 refused"},
		},
		{
			name: "goes silent", lies: drop(total-2, total-1), frames: 12 * perFragment,
			args:  func(*world) []string { return []string{"--from", "earliest", "--until-idle", "6s"} },
			words: []string{"silent: nothing confirmed since", "offline, or withheld"},
		},
		{
			name: "gives what can be read", lies: every(func(_ *world, _ int, f *fragment) { readable(f) }), code: tampered,
			words: []string{"plaintext refused: this stream is end-to-end encrypted, but the server sent a readable fragment; not shown", "ERR_DOWNGRADE"},
		},
		{
			name: "strips tags and codecs", frames: total * perFragment, words: []string{"14 fragments confirmed, 0 missing, 0 refused"},
			lies: every(func(_ *world, _ int, f *fragment) {
				f.before, f.after = withoutTag(f.before, e2ee.TagName), withoutTag(f.after, e2ee.TagName)
				for i := range f.tracks {
					f.tracks[i].CodecID, f.tracks[i].CodecPrivate = tracks[i].CodecID, tracks[i].CodecPrivate
				}
			}),
		},
		{
			name: "moves all by an hour", frames: total * perFragment, words: []string{"warning: the server shows times that are -1h0m0s off; the camera's own, which are sealed, count"},
			lies: every(func(_ *world, _ int, f *fragment) { moved(f, time.UnixMilli(int64(f.timecode)).Add(-time.Hour)) }),
		},
		{
			name: "takes the key packages away", lies: every(func(_ *world, _ int, f *fragment) { without(f, e2eetest.Keys) }), code: noKey,
			words: []string{"no key: the fragment that has it, of", "is not there any more"},
		},
		{
			name: "helps her who was removed", lies: drop(0, 1, 2, 3, 4, 5, 6), viewer: "Mallory", code: noKey,
			words: []string{"this device was removed from the roster", "ERR_REVOKED"},
		},
		{
			name: "serves old footage as live", args: liveToFile, code: noKey, words: []string{"not live: the camera recorded this too long ago"},
			lies: whole(func(w *world, all []*fragment) []*fragment {
				for i, f := range all[:session2] {
					moved(f, w.now.Add(time.Duration(i)*time.Second))
				}
				return all[:session2]
			}),
		},
		{
			name: "swaps frames in the first live fragment", stream: "porch", args: liveToFile, code: tampered, words: []string{"tampered: fragment …", "ERR_ORDER"},
			lies: func(w *world) lies {
				f := w.film(w.door, "porch", "live", 2*time.Second-time.Since(w.now), true)
				f.take(2)
				f.end()
				w.fetch("porch", 2)
				return whole(func(w *world, all []*fragment) []*fragment {
					all[0].blocks[4], all[0].blocks[6] = all[0].blocks[6], all[0].blocks[4]
					return all
				})(w)
			},
		},
		{
			name: "drops the end of what was asked for", lies: drop(0, 1, 2, 3, session3-1), args: between(session2, session3), frames: 5 * perFragment,
			words: []string{"gap: 1 fragment numbered by the camera not delivered, before", "5 fragments confirmed, 1 missing, 0 refused"},
		},
		{
			name: "drops the beginning of what was asked for", lies: drop(0, 1, 2, 3, session2, session2+1, session2+2), args: between(session2, session3), frames: 3 * perFragment,
			words: []string{"gap: this begins with fragment 3 of its session, of", "expired, or withheld"},
		},
		{
			name: "serves old footage of a camera that has no clock", stream: "garden", args: liveToFile, frames: 3 * perFragment,
			words: []string{"warning: the camera's clock is not synchronised, so nothing proves that this is live; by that clock it is of"},
			lies:  every(func(w *world, i int, f *fragment) { moved(f, w.now.Add(time.Duration(i)*time.Second)) }),
		},
		{
			name: "forges a fragment with a viewer", args: toPipe, code: tampered, frames: 2 * perFragment, provisional: true,
			words: []string{"tampered: fragment …", "ERR_SIGNATURE", "1 fragment confirmed"},
			lies:  on(1, 1, func(w *world, f *fragment) { forged(f, w.forgery(w.at(1, 1), w.malloryKnows(1))) }),
		},
		{
			// Half of a forged fragment, then the connection breaks, then the genuine one: which is not what was shown.
			name: "forges half a fragment with a viewer, then gives the genuine one", args: toPipe, code: tampered, frames: perFragment + perFragment/2, provisional: true,
			words: []string{"tampered: ", "1 fragment confirmed"},
			lies:  forgesHalf,
		},
	}
}

// forgesHalf gives a forged fragment up to its middle, and in the next answer the genuine one.
func forgesHalf(world *world) lies {
	var rest []byte
	return lies{
		wire: func(w writer, _ request, all []*fragment) {
			rest = join(all[1:])
			half := forged(all[1].clone(), world.forgery(world.at(1, 1), world.malloryKnows(1)))
			half.blocks, half.after = half.blocks[:perFragment/2], nil
			_, _ = w.Write(append(all[0].bytes(), half.bytes()...))
		},
		again: func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(rest)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	}
}

func (w *world) attackProgram(t *testing.T, a *programAttack) {
	l := a.lies(w)
	l.open = true
	p := w.lieTo(t, l)
	name := "Vera"
	if a.viewer != "" {
		name = a.viewer
	}
	d, keys := w.copyOf(t, name)
	if a.viewer != "" {
		if err := d.Sync(t.Context(), w.box); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--from", "earliest", "--until-idle", idle}
	if a.args != nil {
		args = a.args(w)
	}
	file := filepath.Join(t.TempDir(), "a.mkv")
	if args[len(args)-1] != "-" {
		args = append(args, "--output", file)
	}
	r := p.run(t, keys, append([]string{"view", "--stream", cmp.Or(a.stream, "door")}, args...)...)
	if r.code != a.code {
		t.Errorf("exit %d, want %d:\n%s", r.code, a.code, r.errs)
	}
	r.says(t, a.words...)
	if a.name != "none" && p.altered.Load() == 0 {
		t.Error("the harness altered nothing")
	}
	written := []byte(r.out)
	if args[len(args)-1] != "-" {
		written, _ = os.ReadFile(file)
		if len(written) == 0 { // what came before a problem stays beside
			if parts, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); len(parts) == 1 {
				written, _ = os.ReadFile(parts[0])
			}
		}
	}
	w.checkWritten(t, a, written)
}

// checkWritten holds what the program has written to be what the camera sent, in its order.
func (w *world) checkWritten(t *testing.T, a *programAttack, written []byte) {
	t.Helper()
	var sent [][]byte
	for _, x := range w.of(cmp.Or(a.stream, "door")) {
		for _, s := range x.samples {
			sent = append(sent, s.Data)
		}
	}
	in, frames := mkv.NewReader(bytes.NewReader(written), mkv.Options{}), 0
	for {
		ev, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, ok := ev.(*mkv.Block)
		if !ok {
			continue
		}
		frames++
		at := 0
		for at < len(sent) && !bytes.Equal(sent[at], b.Payload) {
			at++
		}
		if at == len(sent) && !a.provisional {
			t.Errorf("frame %d is none that the camera sent, or comes in another order", frames)
		}
		sent = sent[min(at+1, len(sent)):]
	}
	if frames != a.frames {
		t.Errorf("%d frames were written, want %d", frames, a.frames)
	}
}

// rosterLies are what a server does to a device that asks for roster 7, where there is none, and what that says.
func (w *world) rosterLies(t testing.TB) map[string]struct {
	lies lies
	says string
} {
	mallory, _ := w.copyOf(t, "Mallory")
	signed := w.owner.Trust().Signed()
	invented := outsiders(t, signed, mallory, "")
	version := w.owner.Trust().Pin().Version
	give := func(b []byte) lies {
		return lies{get: func(key string, honest []byte) []byte {
			if key == rosterKey(version+1) {
				return b
			}
			return honest
		}}
	}
	later := lies{objects: func(prefix string, keys []string) []string {
		if prefix == "roster/" {
			keys = append(keys, rosterKey(version+2))
		}
		return keys
	}}
	return map[string]struct {
		lies lies
		says string
	}{
		"invents a roster":    {give(invented), "kept v6: the new roster v7 is not signed by its owners. A server that invents rosters looks like this."},
		"gives an old roster": {give(w.fifth), "kept v6: the new roster v5 is older. A server replaying old rosters looks like this."},
		"keeps a roster back": {later, "kept v6: roster v7 is missing, though there are later ones. A server that keeps rosters back looks like this."},
		"gives half a roster": {give(signed[:len(signed)/2]), "kept v6: the new roster v7 is not a roster."},
	}
}

// attackRosters lies about rosters to obscura camera, which goes on to seal for the people on its own and nobody else, and to
// obscura view, which goes on to believe whom it believed.
func (w *world) attackRosters(t *testing.T) {
	for name, a := range w.rosterLies(t) {
		t.Run("obscura camera/"+name, func(t *testing.T) {
			t.Parallel()
			p := w.lieTo(t, a.lies)
			_, keys := w.copyOf(t, "Garden")
			r := p.run(t, keys, "camera", "--stream", "garden", "--input", "demo", "--fast", "--e2ee", "--buffer", t.TempDir(), "--buffer-key", filepath.Join(t.TempDir(), "key"))
			if r.code != 0 || p.altered.Load() == 0 {
				t.Errorf("exit %d:\n%s", r.code, r.errs)
			}
			r.says(t, "Garden "+a.says)
			w.onlyFor(t, "garden", w.owner.Trust().Pin().Version)
		})
		t.Run("obscura view/"+name, func(t *testing.T) {
			t.Parallel()
			w.attackProgram(t, &programAttack{
				name: name, lies: func(*world) lies { return a.lies }, frames: total * perFragment, words: []string{"Vera " + a.says, "14 fragments confirmed"},
			})
		})
	}
}

// onlyFor holds the newest fragment of a stream to be sealed under a roster of the owner's, and closed to Mallory.
func (w *world) onlyFor(t *testing.T, stream string, version uint32) {
	t.Helper()
	c := w.consumer(t, stream, w.server.API, w.roots(), true)
	var blocks []e2ee.Block
	for until := time.Now().Add(time.Minute); len(blocks) == 0 && time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		blocks, _, _ = household.NewFootage(c).Newest(t.Context(), w.now.Add(time.Hour), w.now.Add(100*24*time.Hour))
		if len(blocks) == 0 {
			blocks, _, _ = household.NewFootage(c).Newest(t.Context(), w.now, w.now.Add(time.Hour))
		}
	}
	if len(blocks) == 0 {
		t.Fatal("nothing was recorded")
	}
	st, _, _ := e2eetest.HeaderOf(blocks[0].Payload)
	if _, open := e2eetest.Unwrap(blocks[0].Payload, w.garden.Fingerprint(), w.mallory.Fingerprint(), w.malloryKey); open || st.RosterVersion != version || st.Recipients != 2 {
		t.Errorf("sealed under roster %d for %d; open to Mallory: %v", st.RosterVersion, st.Recipients, open)
	}
}
