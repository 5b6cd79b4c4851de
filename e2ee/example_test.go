// SPDX-License-Identifier: Apache-2.0

package e2ee_test

import (
	"fmt"
	"log"
	"time"

	"github.com/obscura-video/obscura/e2ee"
)

// household makes an owner, a camera and a viewer who have been paired: in life this takes a Joiner, an Admitter and a KeyStore.
func household() (camera, viewer *e2ee.Identity, key *e2ee.KEMKey, roster, certificate []byte) {
	identity := func(r e2ee.Role) *e2ee.Identity {
		id, err := e2ee.IdentityFromSeed(r, e2ee.NewSeed())
		check(err)
		return id
	}
	owner := identity(e2ee.RoleOwner)
	camera, viewer = identity(e2ee.RoleProducer), identity(e2ee.RoleConsumer)
	key, err := e2ee.NewKEMKey(e2ee.NewSeed())
	check(err)
	kit, err := e2ee.NewKEMKey(e2ee.NewSeed())
	check(err)
	roster, err = e2ee.SignRoster(e2ee.Roster{
		Version: 1, Issued: time.Now(), Expires: time.Now().AddDate(1, 0, 0), Threshold: 1, GenerationLife: 24 * time.Hour,
		Members: []e2ee.Member{
			{Role: e2ee.RoleOwner, Name: "Ana", Key: owner.Public()},
			{Role: e2ee.RoleProducer, Name: "Front door", Key: camera.Public()},
			{Role: e2ee.RoleConsumer, Name: "Ana's phone", Key: viewer.Public()},
			{Role: e2ee.RoleRecovery, Name: "Recovery kit", Key: kit.Public()},
		},
	}, owner)
	check(err)
	certificate, err = e2ee.NewCertificate(viewer, key, 1, time.Now(), 30*24*time.Hour)
	check(err)
	return camera, viewer, key, roster, certificate
}

// trust pins a roster as pairing would have it.
func trust(self *e2ee.Identity, roster, certificate []byte) *e2ee.Trust {
	r, hash, err := e2ee.ReadRoster(roster)
	check(err)
	forget := func([]byte) error { return nil } // in life: KeyStore.Saver("trust")
	t, err := e2ee.NewTrust(e2ee.Pin{Version: r.Version, Hash: hash}, roster, self.Fingerprint(), forget)
	check(err)
	check(t.AddCertificate(certificate))
	return t
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A camera seals two samples, a viewer opens them.
func Example() {
	camera, viewer, key, roster, certificate := household()

	sealer, err := e2ee.NewSealer(e2ee.SealerConfig{
		Identity: camera, Trust: trust(camera, roster, certificate), Stream: "front-door",
		Tracks: []e2ee.Track{{Number: 1, Codec: "V_MPEG4/ISO/AVC", Width: 1920, Height: 1080}},
	})
	check(err)
	now := time.Now()
	check(sealer.Begin(now)) // at every key frame that starts a fragment
	var fragment []e2ee.Block
	for n, data := range []string{"key frame", "next frame"} {
		at := now.Add(time.Duration(n) * 40 * time.Millisecond)
		block, err := sealer.Seal(e2ee.Sample{Track: 1, Key: n == 0, Time: at, Data: []byte(data)})
		check(err)
		fragment = append(fragment, block) // in life: into the container, as it comes
	}
	block, _, err := sealer.End()
	check(err)
	fragment = append(fragment, block)

	opener, err := e2ee.NewOpener(e2ee.OpenerConfig{
		Trust: trust(viewer, roster, certificate), Stream: "front-door",
		Self: viewer.Fingerprint(), Keys: []*e2ee.KEMKey{key}, LiveWindow: e2ee.DefaultLiveWindow,
	})
	check(err)
	for _, block := range fragment {
		opened, err := opener.Block(block)
		check(err)
		for _, s := range opened.Samples {
			fmt.Printf("provisional: %s\n", s.Data)
		}
	}
	report, err := opener.End() // at every fragment boundary
	check(err)
	fmt.Printf("confirmed: fragment %d under roster %d, %d missing\n", report.Sequence, report.RosterVersion, report.Missing)
	// Output:
	// provisional: key frame
	// provisional: next frame
	// confirmed: fragment 0 under roster 1, 0 missing
}

// An owner lets a camera in that shows a square code. The messages travel through the server, which can change nothing.
func ExampleJoiner() {
	owner, err := e2ee.IdentityFromSeed(e2ee.RoleOwner, e2ee.NewSeed())
	check(err)
	forget := func([]byte) error { return nil }
	first, err := e2ee.SignRoster(e2ee.Roster{
		Version: 1, Issued: time.Now(), Expires: time.Now().AddDate(1, 0, 0), Threshold: 1, GenerationLife: 24 * time.Hour,
		NoRecovery: true, Members: []e2ee.Member{{Role: e2ee.RoleOwner, Name: "Ana", Key: owner.Public()}},
	}, owner)
	check(err)
	mine, err := e2ee.FoundTrust(first, owner, forget)
	check(err)
	admitter, err := e2ee.NewAdmitter(owner, mine, nil)
	check(err)

	camera, err := e2ee.IdentityFromSeed(e2ee.RoleProducer, e2ee.NewSeed())
	check(err)
	joiner, err := e2ee.NewJoiner(e2ee.JoinerConfig{Identity: camera, Name: "Front door", Endpoint: "nvr.lan:8443", Save: forget})
	check(err)

	offer, err := admitter.Scan(joiner.Code().Text()) // by camera, never through the server
	check(err)
	request, err := joiner.Handle(offer)
	check(err)
	_, err = admitter.Handle(request)
	check(err)
	candidate, err := admitter.Candidate()
	check(err)
	fmt.Printf("%s wants in as a %v\n", candidate.Name, candidate.Role)
	_, welcome, err := admitter.Admit(candidate, time.Now().AddDate(1, 0, 0))
	check(err)
	_, err = joiner.Handle(welcome)
	check(err)
	trust, paired := joiner.Done()
	fmt.Println(paired, trust.Pin() == mine.Pin())
	// Output:
	// Front door wants in as a producer
	// true true
}
