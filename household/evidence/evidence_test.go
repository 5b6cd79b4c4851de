// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household"
)

func TestFileProvesWhatTheCameraSigned(t *testing.T) {
	w := newWorld(t)
	w.record(100) // over three generations of a minute
	file := w.file(w.viewer, 10, 95)
	n := 10
	r := w.verify(file, Config{Each: func(c Confirmed) error {
		for i, s := range c.Samples {
			if !bytes.Equal(s.Data, w.sample(n, i)) || !s.Time.Equal(begun.Add(time.Duration(2*n+i)*time.Second)) {
				t.Errorf("fragment %d sample %d: %q at %s", n, i, s.Data, s.Time)
			}
		}
		if len(c.Samples) != 2 || c.Tracks[0].Codec != "V_MPEG4/ISO/AVC" {
			t.Errorf("fragment %d: %d samples of %+v", n, len(c.Samples), c.Tracks)
		}
		n++
		return nil
	}})
	if !r.Whole() || !r.Anchored() || n != 95 {
		t.Fatalf("%d fragments, %+v", n, r.Problems)
	}
	if a := r.Anchors[0]; a.Name != "Ana" || a.Version != 3 || !a.Owner {
		t.Errorf("%+v", a)
	}
	if r.Confirmed != 85 || r.Synced != 85 || r.Missing != 0 || !r.First.Equal(begun.Add(20*time.Second)) || !r.Last.Equal(begun.Add(188*time.Second)) || !r.End.Equal(begun.Add(190*time.Second)) {
		t.Errorf("%+v", r)
	}
	if len(r.Signers) != 1 || r.Signers[0] != (Signer{"Front door", w.camera.Fingerprint(), 85}) || !r.Signed || r.Maker != "Ana's laptop" {
		t.Errorf("%+v, made by %q", r.Signers, r.Maker)
	}
	if guest := w.verify(w.file(nil, 10, 20), Config{}); !guest.Whole() || guest.Signed {
		t.Errorf("without a maker: %+v", guest.Problems)
	}
}

// TestFileOpensNothingElse: with all that is in the file, the fragments of the minutes before and after stay closed.
func TestFileOpensNothingElse(t *testing.T) {
	w := newWorld(t)
	w.record(100)
	file := w.file(w.viewer, 31, 59) // the second minute; a fragment has two seconds
	v := &verifier{file: bytes.NewReader(file), r: &Result{}}
	entries, err := scan(v.file, int64(len(file)))
	w.ok(err)
	v.l, err = arrange(entries)
	w.ok(err)
	for _, step := range []func() error{v.facts, v.rosters, v.keys} {
		w.ok(step())
	}
	opened := 0
	for i, media := range w.recorded {
		v.open.Seek()
		_, err := v.fragment(media)
		if inside := i >= 30 && i < 60; (err == nil) != inside {
			t.Errorf("fragment %d: %v", i, err)
		}
		if err == nil {
			opened++
		}
	}
	if opened != 30 || len(v.r.Problems) > 0 {
		t.Errorf("%d opened, %v", opened, v.r.Problems)
	}
}

func TestWhatTheVerifierKnowsMustBeInTheFile(t *testing.T) {
	w := newWorld(t)
	w.record(2)
	file := w.file(w.viewer, 0, 2)
	hash := func(i int) [32]byte {
		_, h, err := e2ee.ReadRoster(w.rosters[i])
		w.ok(err)
		return h
	}
	pin := household.PinText(e2ee.Pin{Version: 2, Hash: hash(1)})
	for name, tt := range map[string]struct {
		Config
		holds bool
	}{
		"first owner":             {Config{Owners: []string{w.owner.Fingerprint().String()}}, true},
		"in small letters":        {Config{Owners: []string{" " + strings.ToLower(w.owner.Fingerprint().String()) + "\n"}}, true},
		"in hex":                  {Config{Owners: []string{whole(w.owner)}}, true},
		"second owner":            {Config{Owners: []string{w.second.Fingerprint().String()}}, true},
		"both":                    {Config{Owners: []string{w.owner.Fingerprint().String(), w.second.Fingerprint().String()}}, true},
		"a pin":                   {Config{Rosters: []string{pin}}, true},
		"a hash":                  {Config{Rosters: []string{fmt.Sprintf("%x", hash(3))}}, true},
		"a camera's":              {Config{Owners: []string{w.camera.Fingerprint().String()}}, false},
		"a viewer's":              {Config{Owners: []string{w.viewer.Fingerprint().String()}}, false},
		"somebody's":              {Config{Owners: []string{identity(t, e2ee.RoleOwner).Fingerprint().String()}}, false},
		"one of two":              {Config{Owners: []string{w.owner.Fingerprint().String(), w.viewer.Fingerprint().String()}}, false},
		"part of a fingerprint":   {Config{Owners: []string{w.owner.Fingerprint().Short()}}, false},
		"nothing":                 {Config{Owners: []string{""}}, false},
		"a pin of another number": {Config{Rosters: []string{"v1" + pin[2:]}}, false},
	} {
		r := w.verify(file, tt.Config)
		if r.Anchored() != tt.holds || r.Whole() != tt.holds {
			t.Errorf("%s: %+v", name, r.Problems)
		}
	}
	if r, err := Verify(bytes.NewReader(file), int64(len(file)), Config{}); err != nil || r.Anchored() || !r.Whole() {
		t.Errorf("who knows nothing: %v, %+v", err, r)
	}
}

// TestEveryChangedByteIsNamed: no bit of a file is without a meaning that is checked, whichever way it is changed.
func TestEveryChangedByteIsNamed(t *testing.T) {
	w := newWorld(t)
	w.record(2)
	for _, maker := range []*e2ee.Identity{w.viewer, nil} {
		file := w.file(maker, 0, 2)
		entries, err := scan(bytes.NewReader(file), int64(len(file)))
		w.ok(err)
		step := 61
		if os.Getenv("OBSCURA_TEST_REQUIRE") != "" && !testing.Short() && maker != nil {
			step = 1
		}
		for i := 0; i < len(file); i += step {
			file[i] ^= 1 << (i % 8)
			r := w.verify(file, Config{})
			file[i] ^= 1 << (i % 8)
			if r.Whole() || len(r.Problems) == 0 {
				t.Fatalf("byte %d of %d is not missed", i, len(file))
			}
			for _, e := range entries {
				if int64(i) < e.offset || int64(i) >= e.offset+e.size || e.name == nameSums {
					continue
				}
				if !names(r, e.name) {
					t.Fatalf("byte %d is in %s, and not named: %v", i, e.name, r.Problems)
				}
			}
		}
		for _, other := range [][]byte{file[:len(file)-1], file[:len(file)-512], append(bytes.Clone(file), 0), file[:700], nil} {
			if r := w.verify(other, Config{}); r.Whole() || !errors.Is(&r.Problems[0], ErrContainer) {
				t.Errorf("%d bytes of %d: %+v", len(other), len(file), r.Problems)
			}
		}
		if r := w.verify(file, Config{}); !r.Whole() {
			t.Fatalf("control: %+v", r.Problems)
		}
	}
}

// whole is a fingerprint in hex.
func whole(id *e2ee.Identity) string {
	fp := id.Fingerprint()
	return fmt.Sprintf("%x", fp[:])
}

func names(r *Result, entry string) bool {
	for i := range r.Problems {
		if r.Problems[i].Entry == entry || strings.Contains(r.Problems[i].Error(), entry) {
			return true
		}
	}
	return false
}

// content is what a file holds, for who makes it anew with all sums right.
type content struct {
	name string
	b    []byte
}

func (w *world) contents(file []byte) (out []content) {
	w.t.Helper()
	entries, err := scan(bytes.NewReader(file), int64(len(file)))
	w.ok(err)
	for _, e := range entries {
		if e.name != nameSums && e.name != nameSignature {
			out = append(out, content{e.name, bytes.Clone(file[e.offset : e.offset+e.size])})
		}
	}
	return out
}

// rebuilt is a file as somebody makes it who has changed what is in it, and can do everything but sign as another.
func (w *world) rebuilt(contents []content, sign *e2ee.Identity) []byte {
	w.t.Helper()
	var b bytes.Buffer
	c := container{w: &b}
	for _, x := range contents {
		w.ok(c.put(x.name, x.b))
	}
	out := &Writer{c: c}
	w.ok(out.sign(sign))
	return b.Bytes()
}

// edit changes the facts.
func edit(c []content, old, now string) []content {
	for i := range c {
		if c[i].name == nameFacts {
			c[i].b = bytes.Replace(c[i].b, []byte(old), []byte(now), 1)
		}
	}
	return c
}

// without leaves fragments out and numbers the rest anew.
func without(c []content, from, n int) (out []content) {
	number := 0
	for _, x := range c {
		if strings.HasPrefix(x.name, "fragments/") {
			if number++; number > from && number <= from+n {
				continue
			}
			x.name = fmt.Sprintf(fragmentName, count(out)+1)
		}
		out = append(out, x)
	}
	return edit(out, fmt.Sprintf("fragments %d", number), fmt.Sprintf("fragments %d", number-n))
}

func count(c []content) (n int) {
	for _, x := range c {
		if strings.HasPrefix(x.name, "fragments/") {
			n++
		}
	}
	return n
}

// TestForgedFileIsFoundOut: who makes a file anew, with all its sums right, is stopped by the signatures of cameras and owners, or leaves
// a gap that is named.
func TestForgedFileIsFoundOut(t *testing.T) {
	w := newWorld(t)
	w.record(6)
	mallory := newWorld(t)
	mallory.record(6)
	file, theirs := w.file(w.viewer, 0, 6), mallory.file(mallory.viewer, 0, 6)
	anonymous := func(c []content) []content {
		return edit(c, "maker "+whole(w.viewer), "maker -")
	}
	fragment := func(c []content, i int) *content { return &c[i+1] } // after README.txt
	swap := func(c []content, i, k int) []content {
		a, b := fragment(c, i), fragment(c, k)
		a.b, b.b = b.b, a.b
		return c
	}
	type forgery struct {
		make   func(c []content) []content
		signed bool // by the maker's key, that the forger has got hold of
		code   error
		entry  string
		gaps   int
	}
	for name, tt := range map[string]forgery{
		"a byte of a picture": {make: func(c []content) []content {
			b := fragment(c, 2).b
			picture := parsed(t, b).Frames[1].Data
			b[bytes.Index(b, picture)+20] ^= 1
			return anonymous(c)
		}, code: e2ee.ErrFrame, entry: "fragments/00000003.mkv"},
		"the signature of a fragment": {make: func(c []content) []content {
			b := fragment(c, 2).b
			b[len(b)-1] ^= 1
			return anonymous(c)
		}, code: e2ee.ErrSignature, entry: "fragments/00000003.mkv"},
		"a fragment twice":      {make: func(c []content) []content { fragment(c, 3).b = fragment(c, 2).b; return anonymous(c) }, code: e2ee.ErrOrder, entry: "fragments/00000004.mkv"},
		"two fragments swapped": {make: func(c []content) []content { return anonymous(swap(c, 2, 3)) }, code: e2ee.ErrOrder, entry: "fragments/00000004.mkv", gaps: 1},
		"another camera's fragment": {make: func(c []content) []content {
			fragment(c, 2).b = mallory.recorded[2]
			return anonymous(c)
		}, code: e2ee.ErrProducer, entry: "fragments/00000003.mkv"},
		"another stream's name":    {make: func(c []content) []content { return anonymous(edit(c, "front-door", "back-door")) }, code: e2ee.ErrStream, entry: "fragments/00000001.mkv"},
		"a fragment left out":      {make: func(c []content) []content { return anonymous(without(c, 2, 1)) }, gaps: 1},
		"two left out":             {make: func(c []content) []content { return anonymous(without(c, 2, 2)) }, gaps: 1},
		"all of another household": {make: func([]content) []content { return mallory.contents(theirs) }, code: ErrAnchor},
		"the rosters of another household": {make: func(c []content) []content {
			for i, x := range mallory.rosters {
				c[7+i].b = x
			}
			return anonymous(c)
		}, code: ErrFactWrong, entry: nameFacts},
		"a roster of an outsider at the end": {make: func(c []content) []content {
			r, hash, err := e2ee.ReadRoster(w.rosters[3])
			w.ok(err)
			next := r.Next(hash, w.now, w.now.AddDate(1, 0, 0))
			next.Admit(e2ee.Member{Role: e2ee.RoleOwner, Name: "Mallory", Key: mallory.owner.Public()})
			b, err := e2ee.SignRoster(next, mallory.owner)
			w.ok(err)
			out := append(append([]content{}, c[:11]...), content{fmt.Sprintf(rosterName, 5), b})
			return anonymous(append(out, c[11:]...))
		}, code: e2ee.ErrRosterSign, entry: "rosters/00000005.roster"},
		"a roster left out": {make: func(c []content) []content {
			out := append([]content{}, c[:8]...)
			for i, x := range c[9:11] {
				out = append(out, content{fmt.Sprintf(rosterName, 2+i), x.b})
			}
			return anonymous(append(out, c[11:]...))
		}, code: e2ee.ErrRosterGap, entry: "rosters/00000002.roster"},
		"another guest's key": {make: func(c []content) []content { c[11].b = e2ee.NewSeed(); return anonymous(c) }, code: e2ee.ErrNoWrap, entry: "keys/00000001.grant"},
		"another maker": {make: func(c []content) []content {
			return edit(c, whole(w.viewer), whole(w.owner))
		}, signed: true, code: ErrUnsigned, entry: nameSignature},
		"a maker who has not signed": {make: func(c []content) []content { return c }, code: ErrUnsigned, entry: nameSignature},
		"a signature of nobody":      {make: anonymous, signed: true, code: ErrUnsigned, entry: nameSignature},
		"a wrong number":             {make: func(c []content) []content { return anonymous(edit(c, "fragments 6", "fragments 7")) }, code: ErrFactWrong, entry: nameFacts},
		"a time asked for that ends before": {make: func(c []content) []content {
			return anonymous(edit(c, "until 2026-11-22T15:00:00.000Z", "until 2026-11-22T14:00:08.000Z"))
		}, code: ErrFactWrong, entry: "fragments/00000005.mkv"},
	} {
		t.Run(name, func(t *testing.T) {
			var sign *e2ee.Identity
			if tt.signed {
				sign = w.viewer
			}
			r := w.verify(w.rebuilt(tt.make(w.contents(file)), sign), Config{})
			if r.Whole() {
				t.Fatal("it passes")
			}
			if len(r.Gaps) != tt.gaps {
				t.Errorf("gaps: %+v", r.Gaps)
			}
			found := tt.code == nil
			for i := range r.Problems {
				p := &r.Problems[i]
				found = found || errors.Is(p, tt.code) && (p.Entry == tt.entry)
			}
			if !found {
				t.Errorf("%v is not among %v", tt.code, r.Problems)
			}
		})
	}
	gap := w.verify(w.rebuilt(anonymous(without(w.contents(file), 2, 2)), nil), Config{})
	if g := gap.Gaps[0]; gap.Missing != 2 || g.Missing != 2 || !g.After.Equal(begun.Add(2*time.Second)) || !g.Before.Equal(begun.Add(8*time.Second)) || len(gap.Problems) > 0 {
		t.Errorf("%+v %+v", gap.Gaps, gap.Problems)
	}
	// What nothing in the file can show: fragments left out at its ends, in one that nobody has signed.
	if r := w.verify(w.rebuilt(anonymous(without(w.contents(file), 4, 2)), nil), Config{}); !r.Whole() || r.Signed {
		t.Errorf("the limit that docs/formats/evidence.md names: %+v", r.Problems)
	}
	if r := w.verify(w.rebuilt(w.contents(file), w.viewer), Config{}); !r.Whole() || !r.Signed {
		t.Errorf("control: %+v", r.Problems)
	}
}

// TestAnotherSessionIsNoGap: a camera that was started anew says where it had stopped.
func TestAnotherSessionIsNoGap(t *testing.T) {
	w := newWorld(t)
	last := w.record(3)
	w.start(&last)
	w.record(3)
	if r := w.verify(w.file(w.viewer, 0, 6), Config{}); !r.Whole() || r.Confirmed != 6 {
		t.Errorf("%+v %+v", r.Problems, r.Gaps)
	}
	w.start(nil) // it has forgotten
	w.record(2)
	if r := w.verify(w.file(w.viewer, 0, 8), Config{}); len(r.Gaps) != 1 || r.Gaps[0].Missing != 0 || len(r.Problems) > 0 {
		t.Errorf("%+v %+v", r.Problems, r.Gaps)
	}
}

// TestManyGenerations: a file holds more minutes than one grant, and more generations than an Opener remembers.
func TestManyGenerations(t *testing.T) {
	w := newWorld(t)
	for range 2*maxGrantGenerations + 20 {
		w.record(1)
		w.now = w.now.Add(70 * time.Second) // a generation lives a minute
	}
	o := w.opener()
	var b bytes.Buffer
	out, err := NewWriter(&b, o)
	w.ok(err)
	for _, media := range w.recorded {
		r, err := open(o, media)
		w.ok(err)
		w.ok(out.Add(media, r))
	}
	f := w.factsFor()
	f.Until = w.now
	w.ok(out.Close(f, w.rosters, w.viewer))
	if r := w.verify(b.Bytes(), Config{}); !r.Whole() || r.Confirmed != len(w.recorded) {
		t.Errorf("%d of %d, %v", r.Confirmed, len(w.recorded), r.Problems)
	}
	if len(out.grants) != 3 {
		t.Errorf("%d grants", len(out.grants))
	}
}

// TestBoringToolsReadIt: tar and sha256sum understand the file as it is.
func TestBoringToolsReadIt(t *testing.T) {
	w := newWorld(t)
	w.record(3)
	file := w.file(w.viewer, 0, 3)
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("tar is absent")
	}
	dir := t.TempDir()
	cmd := exec.Command("tar", "-xf", "-", "-C", dir)
	cmd.Stdin = bytes.NewReader(file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(found) != 3+4+2 {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := exec.LookPath("sha256sum"); err != nil {
		t.Skip("sha256sum is absent")
	}
	cmd = exec.Command("sha256sum", "--strict", "-c", nameSums)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFactsAreWrittenInOneWay(t *testing.T) {
	w := newWorld(t)
	f := w.factsFor()
	f.Fragments, f.Maker = 3, w.viewer.Fingerprint()
	b, err := f.encode()
	w.ok(err)
	if got, err := parseFacts(b); err != nil || *got != f {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, other := range []string{
		strings.Replace(string(b), "fragments 3", "fragments 03", 1), strings.Replace(string(b), "\n", "\r\n", 1), string(b) + "\n",
		strings.Replace(string(b), "pin 4", "pin +4", 1), strings.ToUpper(string(b)), strings.Replace(string(b), "zone Europe/Berlin\n", "", 1), "",
		strings.Replace(string(b), "15:00:00.000Z", "15:00:00.0000Z", 1), strings.Replace(string(b), "evidence 1", "evidence 2", 1),
	} {
		if got, err := parseFacts([]byte(other)); err == nil {
			t.Errorf("%q: %+v", other, got)
		}
	}
	for _, bad := range []string{"", "a\nb", "a\x00", strings.Repeat("x", 300), "\xff"} {
		g := f
		g.Tool = bad
		if b, err := g.encode(); err == nil {
			t.Errorf("%q was written: %s", bad, b)
		}
	}
}

func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	w.record(2)
	good := w.file(w.viewer, 0, 2)
	guest := w.file(nil, 0, 1)
	owner := w.owner.Fingerprint().String()
	f.Add(good)
	f.Add(guest)
	f.Add(good[:5000])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Verify(bytes.NewReader(b), int64(len(b)), Config{Owners: []string{owner}})
		if err != nil {
			t.Fatal(err)
		}
		if r.Whole() && !bytes.Equal(b, good) && !bytes.Equal(b, guest) {
			t.Error("another file passes")
		}
	})
}

// FuzzContents goes behind the archive and the sums, to what is in them.
func FuzzContents(f *testing.F) {
	w := newWorld(f)
	w.record(1)
	contents := w.contents(w.file(nil, 0, 1)) // readme, fragment, four rosters, seed, grant, facts
	f.Add(contents[1].b, contents[2].b, contents[7].b, contents[8].b)
	f.Fuzz(func(t *testing.T, fragment, roster, grant, facts []byte) {
		if len(fragment)+len(roster)+len(grant)+len(facts) > 1<<20 {
			return
		}
		c := append([]content{}, contents...)
		c[1].b, c[2].b, c[7].b, c[8].b = fragment, roster, grant, facts
		other := &world{t: t}
		b := other.rebuilt(c, nil)
		if _, err := Verify(bytes.NewReader(b), int64(len(b)), Config{}); err != nil {
			t.Fatal(err)
		}
	})
}
