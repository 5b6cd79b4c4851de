// SPDX-License-Identifier: Apache-2.0

package household

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// liar is a mailbox that answers what it likes.
type liar struct {
	Mailbox
	get  func(key string, honest []byte, err error) ([]byte, error)
	list func(prefix string, honest []Object) []Object
}

func (l *liar) Get(ctx context.Context, key string, wait time.Duration) ([]byte, error) {
	b, err := l.Mailbox.Get(ctx, key, 0)
	if l.get != nil {
		return l.get(key, b, err)
	}
	return b, err
}

func (l *liar) List(ctx context.Context, prefix, after string, _ time.Duration) ([]Object, error) {
	all, err := l.Mailbox.List(ctx, prefix, after, 0)
	if l.list != nil {
		all = l.list(prefix, all)
	}
	return all, err
}

// isRoster says that a name is that of a roster of a version.
func isRoster(key string, v uint32) bool { return key == rosterKey(v) }

func TestHostileMailboxMovesNobody(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	v := h.owner.Trust().Pin().Version
	old, err := h.box.Get(h.ctx, rosterKey(v-1), 0)
	h.ok(err)
	mallory := h.create("mallory", Kind{Owner: true, Consumer: true})
	invented := h.signAs(mallory, h.owner.Trust())
	fork := h.forkOf(v)
	h.viewer("Ben's phone") // version v+1
	real1, err := h.box.Get(h.ctx, rosterKey(v+1), 0)
	h.ok(err)
	flipped := slices.Clone(real1)
	flipped[len(flipped)-1] ^= 1

	for _, tt := range []struct {
		name string
		give []byte
		code e2ee.Code
		says string
	}{
		{"an older one", old, e2ee.ErrRosterOld, "is older. A server replaying old rosters looks like this."},
		{"the present one again", camera.Trust().Signed(), e2ee.ErrRosterOld, "is older"},
		{"one that an outsider signed", invented, e2ee.ErrRosterSign, "is not signed by its owners"},
		{"one of another past", fork, e2ee.ErrRosterFork, "contradicts it"},
		{"a changed signature", flipped, e2ee.ErrRosterSign, "is not signed"},
		{"garbage", []byte("hello"), e2ee.ErrFormat, "is not a roster"},
		{"nothing", nil, e2ee.ErrFormat, "is not a roster"},
		{"too much", make([]byte, 2*e2ee.MaxRosterBytes), e2ee.ErrTooLarge, "is not a roster"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			box := &liar{Mailbox: h.box, get: func(key string, b []byte, err error) ([]byte, error) {
				if isRoster(key, v+1) {
					return tt.give, nil
				}
				return b, err
			}}
			err := camera.Sync(h.ctx, box)
			var f *Failure
			if !errors.As(err, &f) || f.Reason != RosterRefused || codeOf(err) != tt.code {
				t.Fatalf("%v, want %v", err, tt.code)
			}
			if text := f.Error(); !strings.HasPrefix(text, fmt.Sprintf("Front door kept v%d: the new roster v", v)) || !strings.Contains(text, tt.says) {
				t.Errorf("it says: %s", text)
			}
			if got := h.open(camera).Trust().Pin().Version; got != v {
				t.Fatalf("the camera went to %d", got)
			}
		})
	}
	h.ok(camera.Sync(h.ctx, h.box)) // and an honest mailbox still moves it
	if got := camera.Trust().Pin().Version; got != v+1 {
		t.Fatalf("roster %d", got)
	}
}

// signAs makes the next roster as an outsider would: with a key of its own among the owners.
func (h *home) signAs(d *Device, follow *e2ee.Trust) []byte {
	h.t.Helper()
	r, hash := follow.Roster()
	next := r.Next(hash, h.now, r.Expires)
	next.Admit(e2ee.Member{Role: e2ee.RoleOwner, Name: "ana", Key: d.Identity(e2ee.RoleOwner).Public()})
	signed, err := e2ee.SignRoster(next, d.Identity(e2ee.RoleOwner))
	h.ok(err)
	return signed
}

// forkOf is a roster of version v+1 that the true owner signed, after another version v.
func (h *home) forkOf(v uint32) []byte {
	h.t.Helper()
	r, _ := h.owner.Trust().Roster()
	next := r.Next([32]byte{1}, h.now, r.Expires)
	if next.Version != v+1 {
		h.t.Fatalf("version %d", next.Version)
	}
	signed, err := e2ee.SignRoster(next, h.owner.Identity(e2ee.RoleOwner))
	h.ok(err)
	return signed
}

func TestWithheldRosterIsNoticed(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	v := h.owner.Trust().Pin().Version
	h.viewer("Ben's phone")
	h.viewer("Kit's phone")
	hide := func(key string, b []byte, err error) ([]byte, error) {
		if isRoster(key, v+1) {
			return nil, ErrNoObject
		}
		return b, err
	}
	err := camera.Sync(h.ctx, &liar{Mailbox: h.box, get: hide})
	if codeOf(err) != e2ee.ErrRosterGap || !strings.Contains(err.Error(), "keeps rosters back") {
		t.Fatalf("a gap: %v", err)
	}
	// What merely looks like a roster's name is none.
	h.ok(h.box.Put(h.ctx, prefixRoster+"pairing/x", []byte("x"), 0))
	h.ok(camera.Sync(h.ctx, h.box))
	camera = h.open(camera)
	v = camera.Trust().Pin().Version
	// A mailbox that hides all that follows looks like a quiet household: nothing shows but the certificates' age.
	forget := func(prefix string, all []Object) []Object {
		return slices.DeleteFunc(all, func(o Object) bool { return o.Key > rosterKey(v) && prefix == prefixRoster })
	}
	h.ok(camera.Sync(h.ctx, &liar{Mailbox: h.box, get: hide, list: forget}))
}

func TestHostileCertificatesDoNotKeepGoodOnesAway(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera, ben := h.camera(), h.viewer("Ben's phone")
	kits := h.viewer("Kit's phone")
	benKey := certificateKey(ben.Fingerprint(), 7)
	stolen, err := kits.Certificate()
	h.ok(err)
	for name, body := range map[string][]byte{"garbage": {1, 2, 3}, "another device's": stolen, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			d := h.open(camera)
			err := d.Sync(h.ctx, &liar{
				Mailbox: h.box,
				get: func(key string, b []byte, err error) ([]byte, error) {
					if key == benKey {
						return body, nil
					}
					return b, err
				},
				list: func(prefix string, all []Object) []Object {
					if prefix == prefixCertificate && len(all) > 0 {
						all = append(all, Object{Key: benKey})
						slices.SortFunc(all, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
					}
					return all
				},
			})
			if err == nil || !strings.Contains(err.Error(), `certificate 7 of "Ben's phone"`) {
				t.Errorf("nothing said: %v", err)
			}
			f := h.seal(h.sealer(d, "x"), "sealed for both")
			h.wantRead(h.opener(ben, "x"), f, "sealed for both")
			h.wantRead(h.opener(kits, "x"), f, "sealed for both")
		})
	}
}

// TestFloodedListingHidesNoCertificate: who may write certificates may write very many, under names that come first.
func TestFloodedListingHidesNoCertificate(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	ben := h.viewer("Ben's phone")
	n := 0
	flood := func(prefix string, honest []Object) []Object {
		if prefix != prefixCertificate {
			return honest
		}
		var page []Object
		for range 1000 {
			n++
			page = append(page, Object{Key: fmt.Sprintf("%s%064x/%010d", prefixCertificate, n, 1)})
		}
		return page
	}
	h.ok(camera.Sync(h.ctx, &liar{Mailbox: h.box, list: flood}))
	if _, ok := camera.Trust().Certificate(ben.Fingerprint()); !ok {
		t.Error("the camera does not have Ben's certificate")
	}
	if n > maxListed+1000 {
		t.Errorf("%d objects were listed", n)
	}
}

func TestHostileListingsAreBounded(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	n := 0
	endless := func(prefix string, _ []Object) []Object {
		if prefix != prefixCertificate {
			return nil
		}
		n++
		return []Object{{Key: fmt.Sprintf("%s%064x/%010d", prefixCertificate, n, 1)}}
	}
	h.ok(camera.Sync(h.ctx, &liar{Mailbox: h.box, list: endless}))
	if n > maxPages {
		t.Errorf("asked %d times", n)
	}
	for name, keys := range map[string][]string{
		"another prefix": {"roster/0000000001"}, "backwards": {"certificate/b", "certificate/a"}, "the same again": {"certificate/a", "certificate/a"},
	} {
		lie := func(prefix string, all []Object) []Object {
			if prefix != prefixCertificate {
				return all
			}
			list := []Object{}
			for _, k := range keys {
				list = append(list, Object{Key: k})
			}
			return list
		}
		if err := camera.Sync(h.ctx, &liar{Mailbox: h.box, list: lie}); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

// TestFollowGoesOnWithARefusedRoster: a camera must not stop because somebody answers rubbish, and must take the truth when it
// comes.
func TestFollowGoesOnAfterRefusals(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	v := camera.Trust().Pin().Version
	h.viewer("Ben's phone")
	lies := 1
	box := &liar{Mailbox: h.box, get: func(key string, b []byte, err error) ([]byte, error) {
		if isRoster(key, v+1) && lies > 0 {
			lies--
			return []byte("hello"), nil
		}
		return b, err
	}}
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	go camera.Follow(ctx, box, nil)
	h.awaitVersion(camera, v+1)
}

// TestOwnerPostsWhatTheMailboxLost: after a server was set up anew, the owner's device brings the rosters back.
func TestOwnerPostsWhatTheMailboxLost(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	camera := h.camera()
	h.viewer("Ben's phone")
	box := &Memory{}
	h.ok(h.owner.Sync(h.ctx, box))
	h.ok(camera.Sync(h.ctx, box))
	if camera.Trust().Pin() != h.owner.Trust().Pin() {
		t.Fatal("not of one mind")
	}
	// What others gave is not posted in their place.
	h.ok(camera.Sync(h.ctx, &Memory{}))
}

func TestJoinPinsNothingElse(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	pin := PinText(h.owner.Trust().Pin())
	fork := h.signAs(h.create("mallory", Kind{Owner: true, Consumer: true}), h.owner.Trust())
	d := h.create("Garden", Kind{Producer: true})
	lie := &liar{Mailbox: h.box, get: func(string, []byte, error) ([]byte, error) { return fork, nil }}
	if err := d.Join(h.ctx, lie, pin); codeOf(err) != e2ee.ErrPairing || d.Trust() != nil {
		t.Fatalf("another roster: %v", err)
	}
	for _, bad := range []string{"", "v1", pin[:len(pin)-1], "v0" + pin[2:], strings.Replace(pin, "v1", "v4294967296", 1)} {
		if err := d.Join(h.ctx, h.box, bad); codeOf(err) != e2ee.ErrFormat {
			t.Errorf("%q: %v", bad, err)
		}
	}
	h.ok(d.Join(h.ctx, h.box, " "+strings.ToLower(pin)+"\n"))
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"role":"producer","name":"x","publicKey":"AAAA"}`))
	f.Add([]byte(`{"role":"consumer"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, m, err := ParseRequest(b)
		if err == nil && (m.Role == 0 || len(m.Key) == 0) {
			t.Fatal("half a member")
		}
	})
}

func FuzzStoredLinks(f *testing.F) {
	f.Add(appendLink(nil, e2ee.Link{Sequence: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		links, err := readLinks(b)
		if err != nil {
			return
		}
		var again []byte
		for _, l := range links {
			again = appendLink(again, l)
		}
		if string(again) != string(b) {
			t.Fatal("not each other's inverse")
		}
	})
}

// babbler is a mailbox whose every answer is made of bytes that somebody chose.
type babbler struct{ b []byte }

// next takes up to n bytes.
func (m *babbler) next(n int) []byte {
	n = min(n, len(m.b))
	out := m.b[:n]
	m.b = m.b[n:]
	return out
}

func (m *babbler) size() int {
	if b := m.next(2); len(b) == 2 {
		return int(b[0])<<8 | int(b[1])
	}
	return 0
}

func (m *babbler) Put(context.Context, string, []byte, time.Duration) error {
	if b := m.next(1); len(b) == 1 && b[0]%3 == 0 {
		return ErrObjectExists
	}
	return nil
}

func (m *babbler) Get(_ context.Context, key string, _ time.Duration) ([]byte, error) {
	if len(m.b) == 0 {
		return nil, ErrNoObject
	}
	return m.next(m.size() % 2048), nil
}

func (m *babbler) List(_ context.Context, prefix, _ string, _ time.Duration) (list []Object, _ error) {
	for n := m.size() % 8; n > 0; n-- {
		list = append(list, Object{Key: prefix + string(m.next(m.size()%100))})
	}
	return list, nil
}

// FuzzBabblingMailbox: whatever a mailbox says, a device stands where it stood, and pairs with nobody.
func FuzzBabblingMailbox(f *testing.F) {
	f.Add([]byte{0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 3, 0, 2, '0', '1'})
	f.Add([]byte{})
	camera, fresh := f.TempDir(), f.TempDir()
	made := false
	f.Fuzz(func(t *testing.T, b []byte) {
		h := &home{t: t, ctx: t.Context(), now: time.Now()}
		if !made { // a household is made once: it costs more than all the rest
			made = true
			copyFolder(t, newHome(t).camera().dir, camera)
			copyFolder(t, h.create("fresh", Kind{Producer: true}).dir, fresh)
		}
		d, err := Open(camera, quick{})
		h.ok(err)
		was := d.Trust().Pin()
		_ = d.Sync(t.Context(), &babbler{b})
		if d.Trust().Pin() != was {
			t.Fatal("the roster moved")
		}
		n, err := Open(fresh, quick{})
		h.ok(err)
		_ = n.Join(t.Context(), &babbler{b}, PinText(was))
		j, err := n.StartJoin(&babbler{b}, server)
		h.ok(err)
		_, err = j.Code()
		h.ok(err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := j.AwaitOffer(ctx); err == nil || n.Trust() != nil {
			t.Fatal("somebody's offer was taken")
		}
	})
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o700); err != nil {
		t.Fatal(err)
	}
}
