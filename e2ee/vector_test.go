// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/cryptotest"
	"time"
)

var update = flag.Bool("update", false, "write testdata anew")

// hexa is bytes that JSON shows in hex.
type hexa []byte

func (h hexa) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexa) UnmarshalText(b []byte) (err error) { *h, err = hex.DecodeString(string(b)); return err }

// vectors reads a file of testdata, after -update has written what build returns.
func vectors[T any](t *testing.T, file string, build func() T) (v T) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		cryptotest.SetGlobalRandom(t, 1)
		b, err := json.MarshalIndent(build(), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

type identityVector struct {
	Role         Role
	Seed, Public hexa
	Fingerprint  hexa
	Shown        string
}

func TestIdentityVectors(t *testing.T) {
	type file struct {
		Identities []identityVector
		Recovery   struct {
			Seed, Public, Fingerprint hexa
			Text                      string
		}
		Stream   string
		StreamID hexa
	}
	v := vectors(t, "identity.json", func() (f file) {
		for _, r := range []Role{RoleOwner, RoleProducer, RoleConsumer} {
			seed := sum("vector", []byte{byte(r)})
			id, _ := IdentityFromSeed(r, seed[:])
			f.Identities = append(f.Identities, identityVector{r, seed[:], id.Public(), id.fp[:], id.fp.String()})
		}
		k := mustKEM(t, "vector")
		fp, id := k.Fingerprint(), StreamIDOf(testStream)
		f.Recovery.Seed, f.Recovery.Public, f.Recovery.Fingerprint, f.Recovery.Text = k.seed, k.Public(), fp[:], k.RecoveryText()
		f.Stream, f.StreamID = testStream, id[:]
		return f
	})
	for _, i := range v.Identities {
		id, err := IdentityFromSeed(i.Role, i.Seed)
		if err != nil || !bytes.Equal(id.Public(), i.Public) || !bytes.Equal(id.fp[:], i.Fingerprint) || id.fp.String() != i.Shown {
			t.Errorf("%v: %v", i.Role, err)
		}
	}
	k, err := ParseRecoveryText(v.Recovery.Text)
	if err != nil || !bytes.Equal(k.seed, v.Recovery.Seed) || !bytes.Equal(k.Public(), v.Recovery.Public) {
		t.Errorf("recovery: %v", err)
	}
	if id := StreamIDOf(v.Stream); !bytes.Equal(id[:], v.StreamID) {
		t.Error("stream ID")
	}
}

type epochVector struct {
	Epoch                  uint32
	Chain, Secret, Header  hexa
	Track0, Track1         hexa // SFrame base keys
	Track1Salt             hexa
	Counter                uint64
	Metadata, Plain, Frame hexa // under track 1
}

func TestScheduleVectors(t *testing.T) {
	type file struct {
		GS, StreamID, Producer, Session hexa
		Generation                      uint32
		Commit                          hexa
		Epochs                          []epochVector
	}
	compute := func(f file) file {
		commit, chain := generationKeys(f.GS, StreamID(f.StreamID), Fingerprint(f.Producer), SessionID(f.Session), f.Generation)
		f.Commit, f.Epochs = commit, nil
		r := ratchet{chain: chain}
		for e := range uint32(3) {
			es := r.at(e)
			v := epochVector{
				Epoch: e, Chain: bytes.Clone(r.chain), Secret: es, Header: expand(es, "header"),
				Track0: expand(es, "track\x00"), Track1: expand(es, "track\x01"), Counter: uint64(e) * 200,
				Metadata: []byte("metadata"), Plain: []byte("a sample"),
			}
			k, err := trackKey(es, 1)
			if err != nil {
				t.Fatal(err)
			}
			v.Track1Salt = k.salt[:]
			v.Frame = k.seal(nil, v.Counter, v.Metadata, v.Plain, nil)
			f.Epochs = append(f.Epochs, v)
		}
		return f
	}
	v := vectors(t, "schedule.json", func() file {
		fp, id, session := mustIdentity(t, RoleProducer, "camera").fp, StreamIDOf(testStream), sum("vector session")
		return compute(file{GS: NewSeed(), StreamID: id[:], Producer: fp[:], Session: session[:16], Generation: 7})
	})
	want, _ := json.Marshal(v)
	if got, _ := json.Marshal(compute(v)); !bytes.Equal(got, want) {
		t.Errorf("computed\n%s, want\n%s", got, want)
	}
}

// fragmentFile is a household with what its camera sent: all that another implementation needs to open it.
type fragmentFile struct {
	Stream       string
	Roster       hexa // signed
	RosterHash   hexa
	Certificate  hexa // of the consumer
	ConsumerSeed hexa // Ed25519
	KEMSeed      hexa
	RecoverySeed hexa
	Fragments    []fragmentVector
	Grant        hexa // for the holder of GuestSeed: epoch 0 alone
	GuestSeed    hexa
	Attacks      []attackVector
}

type fragmentVector struct {
	StatementHash hexa
	HDRHash       hexa
	GS            hexa // the generation's secret
	EpochSecret   hexa
	Digest        hexa
	Tag           string
	Last          bool
	Blocks        []blockVector
	Tracks        []Track
	Metadata      []Metadata
	Samples       []sampleVector
}

type blockVector struct {
	Track   uint8
	Key     bool
	Payload hexa
}

type sampleVector struct {
	Track    uint8
	Key      bool
	Time     int64 // µs since 1970
	Duration int64 // µs
	Data     hexa
}

// attackVector changes a copy of the fragments, which are then opened in the order given.
type attackVector struct {
	Name                 string
	Order                []int // fragments, by index
	Fragment, Block      int   // where: position in Order, block
	Offset               int   // byte whose lowest bit is flipped; -1: none
	FlipKey, DropBlock   bool
	Code                 string // of the last fragment; "" when nothing is refused
	Missing              uint64
	SwapWithBlockAfterIt bool
}

func buildFragments(t *testing.T) fragmentFile {
	w := newWorld(t)
	previous := &Link{Session: SessionID{1, 2, 3}, Sequence: 41, Digest: sum("vector digest")}
	s := w.sealer(previous)
	cert := w.trust.certs[w.anna.fp].raw
	_, h, err := ReadRoster(w.roster)
	w.ok(err)
	seed, guest := sum("test seed", []byte("anna")), mustKEM(t, "guest")
	f := fragmentFile{
		Stream: testStream, Roster: w.roster, RosterHash: h[:], Certificate: cert, ConsumerSeed: seed[:],
		KEMSeed: w.keys[w.anna.fp].seed, RecoverySeed: w.kit.seed, GuestSeed: guest.seed,
	}
	start := w.now
	o := w.opener(w.anna.fp)
	for n := range 3 {
		v, blocks := w.vectorFragment(s, n)
		w.consumeAll2(o, blocks)
		g := o.known[[32]byte(v.StatementHash)]
		v.GS, v.EpochSecret = g.gs, g.epochSecret(uint32(n/2))
		f.Fragments = append(f.Fragments, v)
	}
	f.Grant = w.must(o.GrantClip(Guest(guest), start, start.Add(time.Second)))
	f.Attacks = attackVectors(len(f.Fragments[1].Blocks))
	return f
}

func (w *world) vectorFragment(s *Sealer, n int) (fragmentVector, []Block) {
	w.ok(s.Begin(w.now))
	if n == 0 {
		w.ok(s.Echo([16]byte{9, 9, 9}))
		w.ok(s.Meta(Metadata{"motion", []byte("porch")}))
	}
	v := fragmentVector{StatementHash: s.gen.hash[:], HDRHash: bytes.Clone(s.open.hdr[:]), Last: n == 2}
	_, v.Tag = s.Tag()
	var blocks []Block
	for i := range 4 {
		sm := w.sample(uint64(n), i)
		sm.Data = sm.Data[:40]
		b, err := s.Seal(sm)
		w.ok(err)
		blocks = append(blocks, b)
		v.Samples = append(v.Samples, sampleVector{sm.Track, sm.Key, sm.Time.UnixMicro(), sm.Duration.Microseconds(), sm.Data})
	}
	end := s.End
	if v.Last {
		end = s.EndSession
	}
	b, link, err := end()
	w.ok(err)
	blocks = append(blocks, b)
	v.Digest, v.Tracks = link.Digest[:], testTracks()
	if n == 0 {
		v.Metadata = []Metadata{{"motion", []byte("porch")}}
	}
	for _, b := range blocks {
		v.Blocks = append(v.Blocks, blockVector{b.Track, b.Key, b.Payload})
	}
	w.now = w.now.Add(45 * time.Second) // the third is in the next epoch
	return v, blocks
}

func attackVectors(blocks int) []attackVector {
	hdr := 4 + statementBytes
	return []attackVector{
		{Name: "honest", Order: []int{0, 1, 2}, Offset: -1},
		{Name: "dropped fragment", Order: []int{0, 2}, Offset: -1, Missing: 1},
		{Name: "swapped fragments", Order: []int{0, 2, 1}, Offset: -1, Code: "ERR_ORDER", Missing: 1},
		{Name: "replayed fragment", Order: []int{0, 1, 1}, Offset: -1, Code: "ERR_ORDER"},
		{Name: "last block cut off", Order: []int{0, 1}, Fragment: 1, Block: blocks - 1, Offset: -1, DropBlock: true, Code: "ERR_SIGNATURE"},
		{Name: "frame left out", Order: []int{0, 1}, Fragment: 1, Block: 1, Offset: -1, DropBlock: true, Code: "ERR_ORDER"},
		{Name: "frames swapped", Order: []int{0, 1}, Fragment: 1, Block: 0, Offset: -1, SwapWithBlockAfterIt: true, Code: "ERR_DOWNGRADE"},
		{Name: "key-frame flag flipped", Order: []int{0, 1}, Fragment: 1, Block: 1, Offset: -1, FlipKey: true, Code: "ERR_FRAME"},
		{Name: "frame changed", Order: []int{0, 1}, Fragment: 1, Block: 1, Offset: 20, Code: "ERR_FRAME"},
		{Name: "capture time altered", Order: []int{0, 1}, Fragment: 1, Offset: hdr + 20, Code: "ERR_HEADER"},
		{Name: "commitment altered", Order: []int{0, 1}, Fragment: 1, Offset: 4 + 80, Code: "ERR_STATEMENT"},
		{Name: "other version", Order: []int{0, 1}, Fragment: 1, Offset: 4, Code: "ERR_VERSION"},
		{Name: "other stream", Order: []int{0, 1}, Fragment: 1, Offset: 6, Code: "ERR_STREAM"},
		{Name: "other producer", Order: []int{0, 1}, Fragment: 1, Offset: 22, Code: "ERR_PRODUCER"},
		{Name: "signature changed", Order: []int{0, 1}, Fragment: 1, Block: blocks - 1, Offset: 30, Code: "ERR_SIGNATURE"},
	}
}

func (f *fragmentFile) config(t *testing.T, self Fingerprint, keys ...*KEMKey) OpenerConfig {
	r, h, err := ReadRoster(f.Roster)
	if err != nil || !bytes.Equal(h[:], f.RosterHash) {
		t.Fatalf("roster: %v", err)
	}
	tr, err := NewTrust(Pin{r.Version, h}, f.Roster, self, discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.AddCertificate(f.Certificate); err != nil {
		t.Fatal(err)
	}
	return OpenerConfig{Trust: tr, Stream: f.Stream, Self: self, Keys: keys}
}

func (v *fragmentVector) blocks() (out []Block) {
	for _, b := range v.Blocks {
		out = append(out, Block{Track: b.Track, Key: b.Key, Payload: bytes.Clone(b.Payload)})
	}
	return out
}

func (v *fragmentVector) check(t *testing.T, r Report) {
	t.Helper()
	if !bytes.Equal(r.Digest[:], v.Digest) || r.Last != v.Last || len(r.Samples) != len(v.Samples) {
		t.Fatalf("digest %x, last %v, %d samples", r.Digest, r.Last, len(r.Samples))
	}
	for i, s := range r.Samples {
		want := v.Samples[i]
		if s.Track != want.Track || s.Key != want.Key || s.Time.UnixMicro() != want.Time || s.Duration.Microseconds() != want.Duration || !bytes.Equal(s.Data, want.Data) {
			t.Errorf("sample %d: %+v", i, s)
		}
	}
	got, _ := json.Marshal([]any{r.Tracks, r.Metadata})
	want, _ := json.Marshal([]any{v.Tracks, v.Metadata})
	if !bytes.Equal(got, want) {
		t.Errorf("tracks and metadata %s, want %s", got, want)
	}
	hdr := v.Blocks[0].Payload[4 : 4+statementBytes+headerBytes]
	if h := sha256.Sum256(hdr[:statementBytes]); !bytes.Equal(h[:], v.StatementHash) || v.Tag != tagValue(h) {
		t.Error("statement's hash or tag")
	}
	if h := sha256.Sum256(hdr); !bytes.Equal(h[:], v.HDRHash) {
		t.Error("header's hash")
	}
}

func TestFragmentVectors(t *testing.T) {
	f := vectors(t, "fragment.json", func() fragmentFile { return buildFragments(t) })
	device, err := IdentityFromSeed(RoleConsumer, f.ConsumerSeed)
	if err != nil {
		t.Fatal(err)
	}
	viewer := func(seed hexa, self *Fingerprint) OpenerConfig {
		k, err := NewKEMKey(seed)
		if err != nil {
			t.Fatal(err)
		}
		fp := k.Fingerprint()
		if self != nil {
			fp = *self
		}
		cfg := f.config(t, fp, k)
		cfg.Strict = true
		return cfg
	}
	for _, seed := range []hexa{f.KEMSeed, f.RecoverySeed} {
		cfg := viewer(seed, nil)
		if bytes.Equal(seed, f.KEMSeed) {
			cfg = viewer(seed, &device.fp)
		}
		o, err := NewOpener(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for i := range f.Fragments {
			_, r, err := consume(o, f.Fragments[i].blocks())
			if err != nil {
				t.Fatal(err)
			}
			f.Fragments[i].check(t, r)
			g := o.known[[32]byte(f.Fragments[i].StatementHash)]
			if !bytes.Equal(g.gs, f.Fragments[i].GS) || !bytes.Equal(g.epochSecret(r.Epoch), f.Fragments[i].EpochSecret) {
				t.Error("secrets differ")
			}
		}
	}
	guest, err := NewOpener(viewer(f.GuestSeed, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := guest.AddGrant(f.Grant); err != nil {
		t.Fatal(err)
	}
	for i, want := range []Code{0, 0, ErrNotAdmitted} {
		if _, _, err := consume(guest, f.Fragments[i].blocks()); codeOf(err) != want {
			t.Errorf("guest, fragment %d: %v", i, err)
		}
	}
	for _, a := range f.Attacks {
		t.Run(a.Name, func(t *testing.T) { a.check(t, &f, viewer(f.KEMSeed, &device.fp)) })
	}
}

func (a *attackVector) check(t *testing.T, f *fragmentFile, cfg OpenerConfig) {
	o, err := NewOpener(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var last error
	var missing uint64
	for n, i := range a.Order {
		b := f.Fragments[i].blocks()
		if n == a.Fragment {
			b = a.change(b)
		}
		var r Report
		_, r, last = consume(o, b)
		missing += r.Missing
	}
	got := ""
	if c := codeOf(last); c != 0 {
		got = c.String()
	}
	if got != a.Code || missing != a.Missing {
		t.Fatalf("%q, %d missing: %v; want %q, %d missing", got, missing, last, a.Code, a.Missing)
	}
}

func (a *attackVector) change(b []Block) []Block {
	if a.Offset >= 0 {
		b[a.Block].Payload[a.Offset] ^= 1
	}
	b[a.Block].Key = b[a.Block].Key != a.FlipKey
	if a.SwapWithBlockAfterIt {
		b[a.Block], b[a.Block+1] = b[a.Block+1], b[a.Block]
	}
	if a.DropBlock {
		b = append(b[:a.Block], b[a.Block+1:]...)
	}
	return b
}

// rosterStep is a roster given to a device, and what it answers.
type rosterStep struct {
	Name   string
	Signed hexa
	Hash   hexa
	Code   string
}

func TestRosterVectors(t *testing.T) {
	type file struct {
		Pinned hexa
		Steps  []rosterStep // in order, against one Trust
	}
	v := vectors(t, "roster.json", func() (f file) {
		w := newWorld(t)
		f.Pinned = w.roster
		first := w.roster
		step := func(name string, signed []byte, c Code) {
			_, h, err := ReadRoster(signed)
			w.ok(err)
			s := rosterStep{Name: name, Signed: signed, Hash: h[:]}
			if c != 0 {
				s.Code = c.String()
			}
			f.Steps = append(f.Steps, s)
		}
		r, h, err := ReadRoster(first)
		w.ok(err)
		next := r.Next(h, w.now, w.now.Add(time.Hour))
		stranger := mustIdentity(t, RoleOwner, "stranger")
		step("signed by a stranger", w.must(SignRoster(next, stranger)), ErrRosterSign)
		second := w.change(func(r *Roster) { r.Admit(Member{Role: RoleConsumer, Name: "Ben", Key: w.ben.Public()}) })
		third := w.change(func(r *Roster) { r.Remove(w.ben.fp, w.now) })
		step("a hole", third, ErrRosterGap)
		step("Ben comes", second, 0)
		step("rollback", first, ErrRosterOld)
		step("other second", w.must(SignRoster(next, w.owner)), ErrRosterFork)
		step("Ben goes", third, 0)
		rot, h3, err := ReadRoster(third)
		w.ok(err)
		heir := rot.Next(h3, w.now, w.now.Add(time.Hour))
		heir.Members[0] = Member{Role: RoleOwner, Name: "Heir", Key: stranger.Public()}
		step("new owner has not signed", w.must(SignRoster(heir, w.owner)), ErrRosterSign)
		step("owners rotate", w.must(SignRoster(heir, w.owner, stranger)), 0)
		return f
	})
	r, h, err := ReadRoster(v.Pinned)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := NewTrust(Pin{r.Version, h}, v.Pinned, Fingerprint{}, discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range v.Steps {
		got := ""
		if c := codeOf(tr.Advance(s.Signed)); c != 0 {
			got = c.String()
		}
		sr, err := parseSignedRoster(s.Signed)
		if err != nil || got != s.Code || !bytes.Equal(sr.hash[:], s.Hash) || !bytes.Equal(sr.encode(), sr.body) {
			t.Errorf("%s: %q, want %q", s.Name, got, s.Code)
		}
	}
}

// pairingVector is one pairing, message by message.
type pairingVector struct {
	Code                            string // "" by digits
	Commit, Offer, Request, Welcome hexa
	Digits                          string
}

func TestPairingVectors(t *testing.T) {
	v := vectors(t, "pairing.json", func() (all []pairingVector) {
		for _, byCode := range []bool{true, false} {
			p, v := newPair(t, RoleConsumer), pairingVector{}
			if byCode {
				v.Code = p.j.Code().Text()
				v.Offer = p.must(p.a.Scan(v.Code))
			} else {
				v.Commit = p.j.Commit()
				v.Offer = p.must(p.a.Handle(v.Commit))
			}
			v.Request = p.must(p.j.Handle(v.Offer))
			_, err := p.a.Handle(v.Request)
			p.ok(err)
			if !byCode {
				v.Digits, _ = p.j.Digits()
				p.ok(p.a.Digits(v.Digits))
			}
			m, err := p.a.Candidate()
			p.ok(err)
			_, v.Welcome, err = p.a.Admit(m, p.now.Add(time.Hour))
			p.ok(err)
			all = append(all, v)
		}
		return all
	})
	for _, p := range v {
		o, ok := parseOffer(p.Offer)
		q, ok2 := parseRequest(p.Request)
		if !ok || !ok2 {
			t.Fatal("messages do not parse")
		}
		start := sum("pairing commitment", q.body())
		if p.Code != "" {
			c, err := ParseCode(p.Code)
			if err != nil || !bytes.Equal(o.mac, pairMAC(c, "offer", transcript(c.start(), o.body()))) ||
				!bytes.Equal(q.mac, pairMAC(c, "request", transcript(c.start(), o.body(), q.body()))) {
				t.Errorf("by code: %v", err)
			}
			start = c.start()
		} else if !bytes.Equal(p.Commit[1:], start[:]) || p.Digits != digitsOf(transcript(start, o.body(), q.body())) {
			t.Error("by digits")
		}
		t2 := transcript(start, o.body(), q.body())
		if !verify(q.public, "pairing", q.sig, t2[:]) {
			t.Error("the device's signature")
		}
	}
}

// hpkeVector is a published known answer, for base mode.
type hpkeVector struct {
	Source                            string
	KEM, KDF, AEAD                    uint16
	Private, Public, Encapsulated     hexa
	Info, AAD, Plaintext, Ciphertext  hexa
	ExporterContext, ExporterExpected hexa
}

// TestHPKEVectors: the standard library gives the published answers. The file is not generated.
func TestHPKEVectors(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "hpke.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []hpkeVector
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		kem := hpke.MLKEM768X25519()
		if v.KEM == 0x20 {
			kem = hpke.DHKEM(ecdh.X25519())
		}
		k, err := kem.NewPrivateKey(v.Private)
		if err != nil {
			t.Fatal(err)
		}
		kdf, err := hpke.NewKDF(v.KDF)
		if err != nil {
			t.Fatal(err)
		}
		aead, err := hpke.NewAEAD(v.AEAD)
		if err != nil {
			t.Fatal(err)
		}
		r, err := hpke.NewRecipient(v.Encapsulated, k, kdf, aead, v.Info)
		if err != nil || kem.ID() != v.KEM || !bytes.Equal(k.PublicKey().Bytes(), v.Public) {
			t.Fatalf("%s: %v", v.Source, err)
		}
		if got, err := r.Open(v.AAD, v.Ciphertext); err != nil || !bytes.Equal(got, v.Plaintext) {
			t.Errorf("%s: %q, %v", v.Source, got, err)
		}
		if got, err := r.Export(string(v.ExporterContext), len(v.ExporterExpected)); err != nil || !bytes.Equal(got, v.ExporterExpected) {
			t.Errorf("%s: exported %x, %v", v.Source, got, err)
		}
	}
}
