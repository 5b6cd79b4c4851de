// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/e2ee/e2eetest"
	"github.com/obscura-video/obscura/household"
)

func rosterKey(version uint32) string { return fmt.Sprintf("roster/%010d", version) }

func certificateKey(fp e2ee.Fingerprint, number uint32) string {
	return fmt.Sprintf("certificate/%x/%010d", fp[:], number)
}

// house is a second household, for what is done to mailboxes:
//
//	roster 1  Ana          2  the camera     3  Ben     4  Mallory     — where the camera's folder stands —
//	roster 5  Mallory is removed             6  Kim
//
// and Ben has rotated his key meanwhile.
type house struct {
	*world
	name    string
	box     household.Mailbox
	owner   *household.Device
	ben     *household.Device
	mallory *household.Device
	rosters [][]byte // by version
	benKey  []byte   // his first key's seed
	serverK *e2ee.KEMKey
	seedK   []byte // of the server's key
}

// standsAt is where the camera's folder stands, and newest the roster that its mailbox has.
const (
	standsAt = 4
	newest   = 6
)

func (w *world) newHouse() *house {
	h := &house{world: w, name: "house"}
	h.box = w.mailbox(h.name, w.server.API, w.roots())
	ctx := w.t.Context()
	make := func(name string, k household.Kind) *household.Device {
		k.Name, k.Household = name, h.name
		return createIn(w.t, w.path(h.name+name), k)
	}
	h.owner = make("Ana", household.Kind{Owner: true, Consumer: true})
	first, err := h.owner.Draft(nil)
	w.ok(err)
	w.ok(h.owner.Found(ctx, h.box, first))
	camera := make("Camera", household.Kind{Producer: true})
	w.admitTo(h.owner, h.box, camera, e2ee.RoleProducer)
	h.ben = make("Ben", household.Kind{Consumer: true})
	w.admitTo(h.owner, h.box, h.ben, e2ee.RoleConsumer)
	h.mallory = make("Mallory", household.Kind{Consumer: true})
	w.admitTo(h.owner, h.box, h.mallory, e2ee.RoleConsumer)
	w.ok(camera.Sync(ctx, h.box))
	w.ok(h.ben.Sync(ctx, h.box))
	h.benKey = w.secretOf(h.name+"Ben", "kem-0000000001")
	w.ok(h.ben.Rotate(ctx, h.box))
	w.ok(h.owner.Change(ctx, h.box, func(r *e2ee.Roster) error {
		return household.RemoveFrom(r, h.mallory.Fingerprint(), time.Now())
	}))
	w.admitTo(h.owner, h.box, make("Kim", household.Kind{Consumer: true}), e2ee.RoleConsumer)
	h.rosters = [][]byte{nil}
	for v := uint32(1); v <= newest; v++ {
		b, err := h.box.Get(ctx, rosterKey(v), 0)
		w.ok(err)
		h.rosters = append(h.rosters, b)
	}
	h.seedK = e2ee.NewSeed()
	h.serverK, err = e2ee.NewKEMKey(h.seedK)
	w.ok(err)
	return h
}

// secretOf reads a value of a device's folder, as a thief of it could.
func (w *world) secretOf(name, value string) []byte {
	store, err := e2ee.OpenKeyStore(w.path(name), protector(w.path(name)))
	w.ok(err)
	b, err := store.Load(value)
	w.ok(err)
	return b
}

// mailboxAttack is something that a malicious server does to a camera that asks for what is new.
type mailboxAttack struct {
	name string
	lies func(h *house) lies
	// code is the refusal, and says words of what a person is told; none when the camera cannot know.
	code e2ee.Code
	says string
	// at is the roster at which the camera stands afterwards.
	at uint32
	// opens are who opens what the camera seals then: Ben by his first key, Ben by his second, Mallory.
	opens [3]bool
}

var (
	asBefore = [3]bool{true, false, true}  // Ben by the key that the camera knows, and Mallory, of whose removal it has not heard
	asItIs   = [3]bool{false, true, false} // Ben by his newest key
)

// instead gives another object in the place of one.
func instead(key func(h *house) string, body func(h *house) []byte) func(*house) lies {
	return func(h *house) lies {
		k, b := key(h), body(h)
		return lies{get: func(key string, honest []byte) []byte {
			if key == k {
				return b
			}
			return honest
		}}
	}
}

func roster(v uint32) func(*house) string { return func(*house) string { return rosterKey(v) } }

// outsiders is the roster that follows as an outsider would have it: with herself on it, signed by a key of her own.
func outsiders(t testing.TB, follows []byte, herself *household.Device, asOwner string) []byte {
	t.Helper()
	owner, err := e2ee.IdentityFromSeed(e2ee.RoleOwner, e2ee.NewSeed())
	if err != nil {
		t.Fatal(err)
	}
	r, hash, err := e2ee.ReadRoster(follows)
	if err != nil {
		t.Fatal(err)
	}
	next := r.Next(hash, time.Now(), r.Expires)
	next.Members = slices.DeleteFunc(next.Members, func(m e2ee.Member) bool { return m.Role == e2ee.RoleOwner && m.Name == asOwner })
	next.Admit(e2ee.Member{Role: e2ee.RoleOwner, Name: "Mallory's", Key: owner.Public()})
	next.Admit(e2ee.Member{Role: e2ee.RoleConsumer, Name: "Mallory", Key: herself.Identity(e2ee.RoleConsumer).Public()})
	signed, err := e2ee.SignRoster(next, owner)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// anothersPast is a roster 5 that the true owner has signed, after another roster 4 than the camera has.
func (h *house) anothersPast() []byte {
	r, _, err := e2ee.ReadRoster(h.rosters[4])
	h.ok(err)
	next := r.Next([32]byte{1}, time.Now(), r.Expires)
	signed, err := e2ee.SignRoster(next, h.owner.Identity(e2ee.RoleOwner))
	h.ok(err)
	return signed
}

// certificateOf is one for the server's key in somebody's name, signed by a key.
func (h *house) certificateOf(name e2ee.Fingerprint, by *e2ee.Identity) []byte {
	c, err := e2ee.NewCertificate(by, h.serverK, 9, time.Now(), time.Hour)
	h.ok(err)
	copy(c[1:33], name[:])
	return c
}

func attacksOnMailbox() []mailboxAttack {
	flip := func(b []byte, at int) []byte {
		b = slices.Clone(b)
		b[(at+len(b))%len(b)] ^= 1
		return b
	}
	refused := func(name string, code e2ee.Code, says string, body func(h *house) []byte) mailboxAttack {
		return mailboxAttack{name: name, lies: instead(roster(5), body), code: code, says: says, at: 4, opens: asBefore}
	}
	const invents, older, contradicts = "A server that invents rosters looks like this.", "A server replaying old rosters looks like this.", "A server that shows different rosters to different devices looks like this."
	gone := func(key func(*house) string) func(*house) lies {
		return instead(key, func(*house) []byte { return nil })
	}
	return slices.Concat([]mailboxAttack{
		refused("invents a roster with an owner of its own", e2ee.ErrRosterSign, invents, func(h *house) []byte { return outsiders(h.t, h.rosters[4], h.mallory, "") }),
		refused("invents a roster without the true owner", e2ee.ErrRosterSign, invents, func(h *house) []byte { return outsiders(h.t, h.rosters[4], h.mallory, "Ana") }),
		refused("gives the roster in force again", e2ee.ErrRosterOld, older, func(h *house) []byte { return h.rosters[4] }),
		refused("gives an older roster", e2ee.ErrRosterOld, older, func(h *house) []byte { return h.rosters[3] }),
		refused("gives a later roster", e2ee.ErrRosterGap, "is missing", func(h *house) []byte { return h.rosters[6] }),
		refused("gives a roster of another past", e2ee.ErrRosterFork, contradicts, (*house).anothersPast),
		refused("gives a roster of another household", e2ee.ErrRosterFork, contradicts, func(h *house) []byte { return h.world.fifth }),
		refused("flips a bit of a roster", e2ee.ErrRosterSign, invents, func(h *house) []byte { return flip(h.rosters[5], 70) }),
		refused("flips a bit of its signature", e2ee.ErrRosterSign, invents, func(h *house) []byte { return flip(h.rosters[5], -1) }),
		refused("cuts a roster short", e2ee.ErrFormat, "is not a roster", func(h *house) []byte { return h.rosters[5][:200] }),
		refused("gives noise", e2ee.ErrFormat, "is not a roster", func(*house) []byte { return []byte("there is no roster here") }),
		refused("gives nothing for a roster", e2ee.ErrFormat, "is not a roster", func(*house) []byte { return []byte{} }),
		refused("gives half a megabyte", e2ee.ErrFormat, "is not a roster", func(*house) []byte { return make([]byte, e2ee.MaxRosterBytes) }),
		refused("gives more than a mailbox takes", 0, "the mailbox gave 1048576 bytes", func(*house) []byte { return make([]byte, 1<<20) }),
		{
			name: "keeps a roster back", lies: gone(roster(5)), code: e2ee.ErrRosterGap, at: 4, opens: asBefore,
			says: "roster v5 is missing, though there are later ones. A server that keeps rosters back looks like this.",
		},
		{
			// Nothing shows at the camera; its receipt shows at its owner's.
			name: "keeps all rosters back", at: 4, opens: [3]bool{false, true, true},
			lies: func(h *house) lies {
				l := gone(roster(5))(h)
				l.objects = func(prefix string, keys []string) []string {
					return slices.DeleteFunc(keys, func(k string) bool { return prefix == "roster/" && k > rosterKey(4) })
				}
				return l
			},
		},
	}, attacksOnCertificates(flip), attacksOnListing())
}

func attacksOnCertificates(flip func([]byte, int) []byte) []mailboxAttack {
	bens := func(n uint32) func(h *house) string {
		return func(h *house) string { return certificateKey(h.ben.Fingerprint(), n) }
	}
	object := func(h *house, key string) []byte {
		b, err := h.box.Get(h.t.Context(), key, 0)
		h.ok(err)
		return b
	}
	bad := func(name string, code e2ee.Code, body func(h *house) []byte) mailboxAttack {
		return mailboxAttack{
			name: name, lies: instead(bens(2), body), code: code, says: `certificate 2 of "Ben"`, at: newest,
			opens: [3]bool{true, false, false}, // by the key that the camera knew
		}
	}
	return []mailboxAttack{
		bad("certifies a key of its own for Ben", e2ee.ErrCertificate, func(h *house) []byte {
			other, err := e2ee.IdentityFromSeed(e2ee.RoleConsumer, e2ee.NewSeed())
			h.ok(err)
			return h.certificateOf(h.ben.Fingerprint(), other)
		}),
		bad("certifies a key of its own for Ben, with the help of Mallory", e2ee.ErrCertificate, func(h *house) []byte {
			return h.certificateOf(h.ben.Fingerprint(), h.mallory.Identity(e2ee.RoleConsumer))
		}),
		bad("gives Mallory's certificate for Ben's, though she was removed", e2ee.ErrCertificate, func(h *house) []byte {
			return h.certificateOf(h.mallory.Fingerprint(), h.mallory.Identity(e2ee.RoleConsumer))
		}),
		bad("gives the owner's certificate for Ben's", e2ee.ErrCertificate, func(h *house) []byte {
			return object(h, certificateKey(h.owner.Fingerprint(), 1))
		}),
		bad("flips a bit of a certificate", e2ee.ErrCertificate, func(h *house) []byte { return flip(object(h, bens(2)(h)), 500) }),
		bad("gives noise for a certificate", e2ee.ErrFormat, func(*house) []byte { return []byte("noise") }),
		{
			name: "keeps Ben's new certificate back", at: newest, opens: [3]bool{true, false, false},
			lies: func(h *house) lies {
				return lies{objects: func(_ string, keys []string) []string {
					return slices.DeleteFunc(keys, func(k string) bool { return k == bens(2)(h) })
				}}
			},
		},
		{
			name: "gives Ben's old certificate for his new one", at: newest, opens: [3]bool{true, false, false},
			lies: instead(bens(2), func(h *house) []byte { return object(h, bens(1)(h)) }),
		},
		{
			name: "lists a certificate of Mallory's own, though she was removed", at: newest, opens: asItIs,
			lies: func(h *house) lies {
				key := certificateKey(h.mallory.Fingerprint(), 9)
				return lies{
					objects: func(prefix string, keys []string) []string {
						if prefix != "certificate/" || slices.Contains(keys, key) || len(keys) == 0 {
							return keys
						}
						keys = append(keys, key)
						slices.Sort(keys)
						return keys
					},
					get: func(k string, body []byte) []byte {
						if k == key {
							return h.certificateOf(h.mallory.Fingerprint(), h.mallory.Identity(e2ee.RoleConsumer))
						}
						return body
					},
				}
			},
		},
	}
}

func attacksOnListing() []mailboxAttack {
	lists := func(edit func(prefix string, keys []string) []string) func(*house) lies {
		return func(*house) lies { return lies{objects: edit} }
	}
	return []mailboxAttack{
		{
			name: "lists certificates without end", at: newest, opens: asItIs, // the camera asks for each by its name
			lies: func(*house) lies {
				n := 0
				return lies{objects: func(prefix string, keys []string) []string {
					if prefix != "certificate/" {
						return keys
					}
					n++
					return []string{fmt.Sprintf("certificate/%064x/%010d", n, 1)}
				}}
			},
		},
		{
			name: "lists what was not asked for", at: newest, opens: [3]bool{true, false, false}, says: "where names after",
			lies: lists(func(prefix string, keys []string) []string {
				if prefix != "certificate/" {
					return keys
				}
				return []string{"roster/0000000001"}
			}),
		},
		{
			name: "lists no certificates", at: newest, opens: [3]bool{true, false, false},
			lies: lists(func(prefix string, keys []string) []string {
				if prefix != "certificate/" {
					return keys
				}
				return nil
			}),
		},
	}
}

func (h *house) attack(t *testing.T, a *mailboxAttack) {
	p := h.lieTo(t, a.lies(h))
	d, dir := h.copyOf(t, h.name+"Camera")
	err := d.Sync(t.Context(), h.mailbox(h.name, p.ts.URL, p.roots()))
	if p.altered.Load() == 0 {
		t.Error("the harness altered nothing")
	}
	h.checkRefusal(t, a, err)
	h.checkStand(t, d, a.at)
	again, errOpen := household.Open(dir, protector(dir))
	if errOpen != nil {
		t.Fatal(errOpen)
	}
	h.checkStand(t, again, a.at)
	if got := h.opens(t, d); got != a.opens {
		t.Errorf("what the camera seals is opened by %v, want %v", got, a.opens)
	}
}

func (h *house) checkRefusal(t *testing.T, a *mailboxAttack, err error) {
	t.Helper()
	var code e2ee.Code
	errors.As(err, &code)
	if code != a.code || (err == nil) != (a.code == 0 && a.says == "") {
		t.Errorf("%v, want %v", err, a.code)
	}
	if err != nil && !strings.Contains(err.Error(), a.says) {
		t.Errorf("it says %q, want %q", err, a.says)
	}
}

// checkStand holds a device to one of the owner's rosters, and to the one that is due.
func (h *house) checkStand(t *testing.T, d *household.Device, version uint32) {
	t.Helper()
	if pin := d.Trust().Pin(); pin.Version != version || !bytes.Equal(d.Trust().Signed(), h.rosters[version]) {
		t.Errorf("the camera stands at roster %d, want %d of the owner's", pin.Version, version)
	}
}

// opens has the camera seal, and tells who of Ben, by either key, and Mallory opens it. The server never does.
func (h *house) opens(t *testing.T, d *household.Device) (who [3]bool) {
	t.Helper()
	s, err := d.Sealer("yard", []e2ee.Track{{Number: 1, Codec: "V_AV1"}}, nil)
	if err == nil {
		err = s.Begin(time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
	last, _, err := s.EndSession()
	if err != nil {
		t.Fatal(err)
	}
	is := func(fp e2ee.Fingerprint, seed []byte) bool {
		_, ok := e2eetest.Unwrap(last.Payload, d.Fingerprint(), fp, seed)
		return ok
	}
	ben, mallory := h.ben.Fingerprint(), h.mallory.Fingerprint()
	if is(ben, h.seedK) || is(mallory, h.seedK) || is(h.owner.Fingerprint(), h.seedK) {
		t.Error("the camera seals for the server")
	}
	st, _, _ := e2eetest.HeaderOf(last.Payload)
	if v := d.Trust().Pin().Version; st.RosterVersion != v {
		t.Errorf("the receipt says roster %d, and the camera stands at %d", st.RosterVersion, v)
	}
	return [3]bool{is(ben, h.benKey), is(ben, h.secretOf(h.name+"Ben", "kem-0000000002")), is(mallory, h.secretOf(h.name+"Mallory", "kem-0000000001"))}
}

// credulous tells what a device would hold that believes its mailbox: the last roster that it gets, and of each device on it the last
// certificate that is listed for it.
func (h *house) credulous(t *testing.T, box household.Mailbox) (held []string) {
	t.Helper()
	var r *e2ee.Roster
	for v := uint32(standsAt + 1); v < 20; v++ {
		b, err := box.Get(t.Context(), rosterKey(v), 0)
		if err != nil {
			break
		}
		held = append(held, fmt.Sprintf("roster %d: %x", v, b))
		if got, _, err := e2ee.ReadRoster(b); err == nil {
			r = got
		}
	}
	if r == nil {
		return held
	}
	list, err := box.List(t.Context(), "certificate/", "", 0)
	held = append(held, fmt.Sprint("names: ", err))
	for _, o := range list {
		if b, err := box.Get(t.Context(), o.Key, 0); err == nil {
			held = append(held, fmt.Sprintf("%s: %x", o.Key, b))
		}
	}
	return held
}

func (h *house) attackCredulous(t *testing.T, a *mailboxAttack, honest []string) {
	p := h.lieTo(t, a.lies(h))
	if held := h.credulous(t, h.mailbox(h.name, p.ts.URL, p.roots())); slices.Equal(held, honest) {
		t.Error("who believes holds nothing but the truth")
	}
}

// honest is the control: through a proxy that alters nothing the camera comes to stand where its owner does.
func (h *house) honest(t *testing.T) {
	p := h.lieTo(t, lies{get: func(_ string, b []byte) []byte { return b }, objects: func(_ string, k []string) []string { return k }})
	d, _ := h.copyOf(t, h.name+"Camera")
	if err := d.Sync(t.Context(), h.mailbox(h.name, p.ts.URL, p.roots())); err != nil || p.altered.Load() != 0 {
		t.Fatalf("%v, %d altered", err, p.altered.Load())
	}
	h.checkStand(t, d, newest)
	if got := h.opens(t, d); got != asItIs {
		t.Errorf("what the camera seals is opened by %v", got)
	}
}
