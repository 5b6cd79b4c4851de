// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var mutate = flag.String("mutate", "", "remove every check in a file of this name, or in all of them by \"all\", and expect its test to fail (minutes)")

// mutations remove one check each, and name the test that must then fail. A check whose removal no test notices is either not
// tested or not needed.
var mutations = []struct{ file, check, without, test string }{
	// header and statement
	{"opener.go", `b.Payload[0] != recHDR`, `false`, "TestAttack/readable_fragment"},
	{"secret.go", `st.stream != o.stream`, `false`, "TestAttack/fragment_of_another_stream"},
	{"secret.go", `if !st.verify(public) {`, `if false {`, "TestAttack/server_signs"},
	{"secret.go", `o.cfg.Trust.contradicts(st.rosterVersion, st.rosterHash)`, `false`, "TestAttack/camera_was_shown"},
	{"secret.go", `!hmac.Equal(commit, g.commit[:])`, `len(commit) == 0`, "TestAttack/server_wraps"},
	{"secret.go", `if !hmac.Equal(headerMAC(f.epochKey, g.hash[:], h.body()), h.mac[:]) {`, `if false {`, "TestAttack/capture_time"},
	{"trust.go", `m.Role != RoleProducer || !m.admits(stream, at)`, `m.Role != RoleProducer`, "TestAttack/(camera_beyond|removed_camera_goes)"},
	{"trust.go", `[8]byte(fp[:8]) == prefix`, `true`, "TestAttack/server_makes"},
	{"statement.go", `version != formatVersion || suite != suiteXWing`, `false`, "TestOtherVersionsAreRefused"},
	{"statement.go", `h.epoch >= maxEpochs`, `false`, "TestHugeEpochIsRefused"},
	// frames
	{"opener.go", `bind(f.hdr, rec.kind, flags, track))`, `bind(f.hdr, rec.kind, blockFlags(true), track))`, "TestWhatIsSealedOpens"},
	{"record.go", `hdr[:]...), kind, flags, track)`, `hdr[:]...), kind, 0, track)`, "TestAttack/key-frame_flag"},
	{"record.go", `append(append([]byte("E2"), hdr[:]...), kind`, `append(append([]byte("E2"), make([]byte, 32)...), kind`, "TestAttack/frame_moved_to_another_fragment"},
	{"opener.go", `seen && ctr != next`, `seen && ctr != next && false`, "TestAttack/(frames_swapped|frame_left_out)"},
	{"opener.go", `f.sig != nil || (!first`, `(!first`, "TestAttack/block_appended"},
	{"opener.go", `f.bytes > o.cfg.MaxFragmentBytes`, `false`, "TestMemoryIsBounded"},
	// order
	{"verify.go", `h.sequence <= last.Sequence`, `false`, "TestAttack/replayed_fragment"},
	{"verify.go", `h.sequence == last.Sequence+1 && h.previous != last.Digest`, `false`, "TestAttack/viewer_rewrites"},
	{"verify.go", `f.generation < last.Generation`, `false`, "TestAttack/older_generation"},
	{"verify.go", `f.rosterVersion < last.RosterVersion`, `false`, "TestAttack/older_roster"},
	{"verify.go", `ok && d != h.previous`, `false && ok && d != h.previous`, "TestAttack/history_rewritten"},
	{"verify.go", `ok && known != d`, `false && ok && known != d`, "TestAttack/kept_fragment"},
	{"verify.go", `p.Sequence == last.Sequence && p.Digest != last.Digest`, `false`, "TestAttack/session_before"},
	{"verify.go", `	plain, err := f.open(records[at], 0, 0)`, `	plain, err := records[at].body, error(nil)`, "TestAttack/old_session_replayed_with"},
	{"verify.go", `	if earlier {`, `	if false {`, "TestAttack/(old_session_replayed_as|viewer_forges_in_a_session_before$)"},
	{"verify.go", `f.hold = f.hold || earlier`, ``, "TestAttack/viewer_forges_in_a_session_before,_with"},
	{"verify.go", `age.Abs() > o.cfg.LiveWindow`, `false`, "TestAttack/recording_served"},
	// signature
	{"verify.go", `!verify(f.public, "signature", f.sig, d[:])`, `false`, "TestAttack/(viewer_forges|last_block|end_of_session)"},
	{"opener.go", `f.digest.add(b.Track, blockFlags(b.Key), b.Payload[:sigAt])`, `_ = sigAt`, "TestWhatIsSealedOpens"},
	{"opener.go", `hold: o.cfg.Strict || o.holdBack`, `hold: o.cfg.Strict`, "TestUnconfirmedFragments"},
	{"opener.go", `	o.Cut()
	clear(o.position)`, `	o.cur = nil
	clear(o.position)`, "TestUnconfirmedFragments"},
	{"opener.go", `		o.halted = f.err`, ``, "TestTamperingHalts"},
	// a fragment cut short
	{"finish.go", `return l.Digest == p.Digest || h.previous == p.Digest`, `return true`, "TestFinishSignsNoSecondHistory"},
	{"finish.go", `return l.Sequence == 0`, `return true`, "TestFinishSignsNoSecondHistory"},
	{"finish.go", `st.stream != s.stream ||`, ``, "TestFinishSignsNoSecondHistory"},
	{"finish.go", `|| !st.verify(s.cfg.Identity.Public())`, ``, "TestFinishSignsNoSecondHistory"},
	// recipients
	{"trust.go", `c != nil && !expired && m.admits(stream, now) && c.validAt(now)`, `c != nil && (!expired || true) && m.admits(stream, now) && c.validAt(now)`, "TestWhoIsARecipient"},
	{"trust.go", `c != nil && !expired && m.admits(stream, now) && c.validAt(now)`, `c != nil && !expired && c.validAt(now)`, "TestWhoIsARecipient"},
	{"trust.go", `c != nil && !expired && m.admits(stream, now) && c.validAt(now)`, `c != nil && !expired && m.admits(stream, now)`, "TestWhoIsARecipient"},
	{"trust.go", `|| !c.verify(m.Key)`, ``, "TestCertificatesOfOthers"},
	{"trust.go", `old.number >= c.number`, `false`, "TestCertificatesOfOthers"},
	{"certificate.go", `life > 0 && life <= CertificateLife &&`, `life > 0 &&`, "TestCertificatesOfOthers"},
	{"generation.go", `g.basis == basis`, `true`, "TestAddingAndRemoving"},
	{"generation.go", `if len(to) == 0 {`, `if false {`, "TestNobodyToSealFor"},
	{"generation.go", `m == nil || m.Role != RoleProducer || !m.admits(s.stream, now)`, `m == nil`, "TestAddingAndRemoving"},
	{"schedule.go", `		clear(r.chain)`, ``, "TestPastEpochsAreGone"},
	{"generation.go", `	clear(g.secret)
	g.secret = g`, `	g.secret = g`, "TestPastEpochsAreGone"},
	// roster
	{"trust.go", `sr.Previous != now.hash`, `false`, "TestTrustRefusesForged"},
	{"trust.go", `case !sr.signedBy(now.Roster):`, `case false:`, "TestTrustRefusesForged|TestOwnersRotate"},
	{"trust.go", `case !sr.signedBy(sr.Roster):`, `case false:`, "TestTrustRefusesForged"},
	{"trust.go", `sr.Version > now.Version+1`, `false`, "TestTrustOnlyGoesForward"},
	{"trust.go", `ok && h != sr.hash`, `false && ok && h != sr.hash`, "TestTrustRefusesForged"},
	{"trust.go", `sr.Version != pin.Version || sr.hash != pin.Hash`, `false`, "TestPinIsChecked"},
	{"roster.go", `m != nil && m.Role == RoleOwner && verify`, `m != nil && verify`, "TestOnlyOwnersSign"},
	{"roster.go", `len(sr.signers(by)) >= int(by.Threshold)`, `len(sr.sigs) >= int(by.Threshold)`, "TestTrustRefusesForged"},
	{"roster.go", `count[RoleRecovery] == 0 && !r.NoRecovery`, `false`, "TestRosterKeepsItsOwnRules"},
	// pairing
	{"joiner.go", `j.code != nil && !hmac.Equal(o.mac, pairMAC(*j.code, "offer", t1))`, `j.code != nil && !hmac.Equal(o.mac, pairMAC(*j.code, "offer", t1)) && false`, "TestServerBetweenByCode"},
	{"joiner.go", `if j.offer != nil {`, `if false {`, "TestCodeIsGoodOnce"},
	{"joiner.go", `j.code != nil && j.cfg.Now().After(j.code.Expires)`, `false`, "TestCodeIsGoodOnce"},
	{"joiner.go", `case !j.confirmed:`, `case false:`, "TestPairingByDigits"},
	{"joiner.go", `me == nil || me.Role != j.cfg.Identity.role`, `me != nil && me.Role == 99`, "TestWelcomeMustFollow"},
	{"joiner.go", `|| !sr.signedBy(sr.Roster)`, ``, "TestOfferedRosterMustBeItsOwners"},
	{"admitter.go", `FingerprintOf(q.role, q.public) != a.code.Fingerprint || !hmac`, `!hmac`, "TestOtherDeviceWithTheSecret"},
	{"admitter.go", `|| !hmac.Equal(q.mac, pairMAC(*a.code, "request", t2))`, `|| !hmac.Equal(q.mac, q.mac)`, "TestRequestNeedsTheSecret"},
	{"admitter.go", `commitment != a.start`, `false && commitment != a.start`, "TestCommitmentBinds"},
	{"admitter.go", `!verify(q.public, "pairing", q.sig, t2[:])`, `false`, "TestServerBetweenByCode"},
	{"admitter.go", `subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1`, `subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 2`, "TestServerBetweenByDigits"},
	{"admitter.go", `		a.dead = refuse(ErrDigits, "pairing")
		return a.dead`, `		return refuse(ErrDigits, "pairing")`, "TestWrongDigits"},
	{"admitter.go", `m.Role != c.Role || string(m.Key) != string(c.Key)`, `m.Role != c.Role`, "TestAdmitTakesTheCandidateOnly"},
	// at rest
	{"keystore.go", `value, message("store", []byte(name)))`, `value, nil)`, "TestKeyStore"},
	{"keystore.go", `info.Mode().Perm()&0o077 != 0`, `info == nil`, "TestKeyStoreShowsNothing"},
	{"grant.go", `hmac.Equal(headerMAC(s, g.hash[:], h.body()), h.mac[:])`, `hmac.Equal(nil, nil)`, "TestWrongGrant"},
	{"grant.go", `g.epochs[epoch] = append(g.epochs[epoch], secret)`, `g.epochs[epoch] = [][]byte{secret}`, "TestGrantsAddUp"},
	{"grant.go", `g.gs = append(g.gs, gs)`, `g.gs = [][]byte{gs}`, "TestGrantsAddUp"},
	{"grant.go", `len(g.gs) < maxRivals`, `true`, "TestWrongGrantsAreBounded"},
	{"grant.go", `len(g.epochs[epoch]) < maxRivals`, `true`, "TestWrongGrantsAreBounded"},
	{"secret.go", `		f.hold = true
		return nil`, `		return nil`, "TestAttack/server_forges_a_minute"},
	{"grant.go", `n < len(epochs) && epochs[n] == epochs[0]+uint32(n)`, `n < len(epochs)`, "TestGrantOfFragments"},
	{"grant.go", `		if s == nil {`, `		if false {`, "TestGrantOfFragments"},
	// evidence
	{"evidence.go", `m.Role == RoleConsumer && verify`, `verify`, "TestEvidenceIsSigned"},
	{"evidence.go", `m.Role == RoleConsumer && verify(m.Key, "evidence", sig, statement)`, `m.Role == RoleConsumer`, "TestEvidenceIsSigned"},
	{"evidence.go", `id.role != RoleConsumer`, `false`, "TestEvidenceIsSigned"},
}

// TestEveryCheckIsNeeded finds each check in the source; with -mutate=all it also builds the package without it and runs the test.
func TestEveryCheckIsNeeded(t *testing.T) {
	if os.Getenv("E2EE_MUTATED") != "" {
		t.Skip("this is a mutant")
	}
	for _, m := range mutations {
		src, err := os.ReadFile(m.file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(src), m.check); n != 1 {
			t.Errorf("%s has %d times %q", m.file, n, m.check)
			continue
		}
		if *mutate == "all" || *mutate == m.file {
			runMutant(t, m.file, strings.Replace(string(src), m.check, m.without, 1), m.check, m.test)
		}
	}
}

// runMutant expects the test to run and to fail against the changed source.
func runMutant(t *testing.T, file, src, check, test string) {
	dir, here := t.TempDir(), mustAbs(t, file)
	mutant, overlay := filepath.Join(dir, file), filepath.Join(dir, "overlay.json")
	b, err := json.Marshal(map[string]map[string]string{"Replace": {here: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	if os.WriteFile(mutant, []byte(src), 0o600) != nil || os.WriteFile(overlay, b, 0o600) != nil {
		t.Fatal("no room for a mutant")
	}
	pattern := "^(" + test + ")"
	if strings.Contains(test, "/") {
		pattern = "^" + test
	}
	cmd := exec.Command("go", "test", "-vet=off", "-overlay", overlay, "-run", pattern, "-v", ".")
	cmd.Env = append(os.Environ(), "E2EE_MUTATED=1")
	out, err := cmd.CombinedOutput()
	switch {
	case strings.Contains(string(out), "[build failed]"):
		t.Errorf("without %q it does not build:\n%s", check, out)
	case err == nil:
		t.Errorf("without %q of %s, %s still passes", check, file, test)
	case !strings.Contains(string(out), "--- FAIL: ") && !strings.Contains(string(out), "panic:"):
		t.Errorf("without %q: %v\n%s", check, err, out)
	default:
		t.Logf("killed: %s %q by %s", file, check, test)
	}
}

func mustAbs(t *testing.T, file string) string {
	p, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
