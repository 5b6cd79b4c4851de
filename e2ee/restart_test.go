// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"encoding/json"
	"sync"
	"testing"
	"time"
)

func TestRestartedViewerGoesOnWhereItWas(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(nil)
	f := w.produceAll(s, 3)
	s.keysSent = time.Time{} // keys again, since a restarted viewer has none
	f = append(f, w.produce(s))
	before := w.opener(w.anna.fp)
	w.consumeAll(before, f[:2])
	kept, err := json.Marshal(before.position[w.camera.fp])
	w.ok(err)

	var link Link
	w.ok(json.Unmarshal(kept, &link))
	restart := func() *Opener {
		cfg := w.openerConfig(w.anna.fp)
		cfg.Known = []Link{link}
		o, err := NewOpener(cfg)
		w.ok(err)
		return o
	}
	if n, _, err := consume(restart(), f[0]); n != 0 || codeOf(err) != ErrOrder {
		t.Fatalf("replay after a restart: %d samples, %v", n, err)
	}
	if n, r, err := consume(restart(), f[3]); err != nil || n != 6 || r.Missing != 1 {
		t.Fatalf("%d samples, %d missing, %v", n, r.Missing, err)
	}
}

// TestRosterComesWhileSealing is for the race detector: each fragment is under one roster, with that roster's recipients.
func TestRosterComesWhileSealing(t *testing.T) {
	w := newWorld(t)
	s := w.sealer(nil)
	var rosters [][]byte
	for i := range 6 {
		rosters = append(rosters, w.change(func(r *Roster) {
			if i%2 == 0 {
				r.Remove(w.anna.fp, w.now)
			} else {
				r.Admit(Member{Role: RoleConsumer, Name: "Anna", Key: w.anna.Public()})
			}
		}))
	}
	cert := w.must(NewCertificate(w.anna, w.keys[w.anna.fp], 2, w.now, time.Hour))
	var group sync.WaitGroup
	group.Go(func() {
		for i, r := range rosters {
			if err := w.trust.Advance(r); err != nil {
				t.Error(err)
			}
			if err := w.trust.AddCertificate(cert); i%2 == 1 && err != nil {
				t.Error(err)
			}
		}
	})
	for range 30 {
		w.produce(s)
		if without := s.gen.rosterVersion > 1 && s.gen.rosterVersion%2 == 0; without && s.gen.recipients != 1 {
			t.Fatalf("roster %d with %d recipients", s.gen.rosterVersion, s.gen.recipients)
		}
	}
	group.Wait()
}
