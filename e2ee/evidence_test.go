// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"testing"
)

// consumeReports opens fragments and returns what was confirmed of them.
func (w *world) consumeReports(o *Opener, fragments [][]Block) (reports []Report) {
	w.t.Helper()
	for i, f := range fragments {
		_, r, err := consume(o, f)
		if err != nil {
			w.t.Fatalf("fragment %d: %v", i, err)
		}
		reports = append(reports, r)
	}
	return reports
}

// TestGrantOfFragmentsIsOfTheirEpochsAlone: who gets a grant for some fragments opens what lies in their minutes, and nothing else of
// the generation, whether the one who gave it had all of it or a grant himself.
func TestGrantOfFragmentsIsOfTheirEpochsAlone(t *testing.T) {
	w := newWorld(t)
	all := w.produceAll(w.sealer(nil), 155) // over five minutes
	guest := mustKEM(t, "file")
	open := func(grant []byte) *Opener {
		cfg := w.openerConfig(w.anna.fp)
		cfg.Self, cfg.Keys, cfg.Archive = guest.Fingerprint(), []*KEMKey{guest}, true
		o, err := NewOpener(cfg)
		w.ok(err)
		w.ok(o.AddGrant(grant))
		return o
	}
	anna := w.opener(w.anna.fp)
	reports := w.consumeReports(anna, all)
	some := append([]Report{reports[125]}, reports[31:36]...) // of minutes 4 and 1
	for name, grant := range map[string][]byte{
		"of a recipient": w.must(anna.GrantFragments(Guest(guest), some)),
		"of a grantee": func() []byte {
			o := open(w.must(anna.GrantFragments(Guest(guest), reports)))
			return w.must(o.GrantFragments(Guest(guest), w.consumeReports(o, all)[31:36]))
		}(),
	} {
		o := open(grant)
		for i, opens := range map[int]bool{0: false, 29: false, 30: true, 33: true, 59: true, 60: false, 119: false, 150: false} {
			_, _, err := consume(open2(o), all[i])
			if code := codeOf(err); (err == nil) != opens || !opens && code != ErrNoWrap && code != ErrNoPackage {
				t.Errorf("%s: fragment %d: %v", name, i, err)
			}
		}
		_, _, err := consume(open2(o), all[125])
		if (err == nil) != (name == "of a recipient") {
			t.Errorf("%s: the other minute: %v", name, err)
		}
	}
	if _, err := w.opener(w.anna.fp).GrantFragments(Guest(guest), reports[:1]); codeOf(err) != ErrNoPackage {
		t.Errorf("of what it never opened: %v", err)
	}
	if r := reports[0]; !r.Synced || r.Statement == [32]byte{} {
		t.Errorf("%+v", r.Link)
	}
}

func TestEvidenceIsSignedByViewersAlone(t *testing.T) {
	w := newWorld(t)
	statement := []byte("what the file holds")
	sig := w.must(w.anna.SignEvidence(statement))
	member := func(role Role, id *Identity) *Member { return &Member{Role: role, Key: id.Public()} }
	if !member(RoleConsumer, w.anna).SignedEvidence(statement, sig) {
		t.Fatal("refused")
	}
	for name, ok := range map[string]bool{
		"another statement":        member(RoleConsumer, w.anna).SignedEvidence([]byte("what the file held"), sig),
		"another viewer":           member(RoleConsumer, w.ben).SignedEvidence(statement, sig),
		"a member of another role": member(RoleProducer, w.anna).SignedEvidence(statement, sig),
		"no signature":             member(RoleConsumer, w.anna).SignedEvidence(statement, nil),
	} {
		if ok {
			t.Error(name)
		}
	}
	for _, id := range []*Identity{w.camera, w.owner} {
		if _, err := id.SignEvidence(statement); codeOf(err) != ErrMisuse {
			t.Errorf("a %v signs evidence: %v", id.role, err)
		}
	}
}

func TestWhoSignedARoster(t *testing.T) {
	w := newWorld(t)
	other := mustIdentity(t, RoleOwner, "other")
	for name, tt := range map[string]struct {
		signed []byte
		by     Fingerprint
		want   bool
	}{
		"its owner":      {w.roster, w.owner.fp, true},
		"nobody's owner": {w.must(CosignRoster(w.roster, other)), other.fp, false},
		"a viewer of it": {w.roster, w.anna.fp, false},
		"an owner who only is on it": {w.change(func(r *Roster) {
			r.Admit(Member{Role: RoleOwner, Name: "Other", Key: other.Public()})
		}), other.fp, false},
	} {
		if got, err := SignedBy(tt.signed, tt.by); err != nil || got != tt.want {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
	if _, err := SignedBy(w.roster[:40], w.owner.fp); codeOf(err) != ErrFormat {
		t.Errorf("half a roster: %v", err)
	}
}
