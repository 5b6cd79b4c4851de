// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package secrecy

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go/service/kinesisvideoarchivedmedia"
	"github.com/aws/aws-sdk-go/service/kinesisvideomedia"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/producer"
	"github.com/obscura-video/obscura/test/rig"
)

// sealer makes a camera's Sealer, for a household of its own.
func sealer(t *testing.T) func(string, []e2ee.Track) (*e2ee.Sealer, error) {
	t.Helper()
	identity := func(r e2ee.Role) *e2ee.Identity {
		id, err := e2ee.IdentityFromSeed(r, e2ee.NewSeed())
		ok(t, err)
		return id
	}
	owner, camera := identity(e2ee.RoleOwner), identity(e2ee.RoleProducer)
	kit, err := e2ee.NewKEMKey(e2ee.NewSeed())
	ok(t, err)
	roster, err := e2ee.SignRoster(e2ee.Roster{
		Version: 1, Issued: time.Now(), Expires: time.Now().AddDate(1, 0, 0), Threshold: 1, GenerationLife: time.Hour,
		Members: []e2ee.Member{
			{Role: e2ee.RoleOwner, Name: "Ana", Key: owner.Public()},
			{Role: e2ee.RoleProducer, Name: "Door", Key: camera.Public()},
			{Role: e2ee.RoleRecovery, Name: "Kit", Key: kit.Public()},
		},
	}, owner)
	ok(t, err)
	r, hash, err := e2ee.ReadRoster(roster)
	ok(t, err)
	trust, err := e2ee.NewTrust(e2ee.Pin{Version: r.Version, Hash: hash}, roster, camera.Fingerprint(), func([]byte) error { return nil })
	ok(t, err)
	return func(stream string, tracks []e2ee.Track) (*e2ee.Sealer, error) {
		return e2ee.NewSealer(e2ee.SealerConfig{Identity: camera, Trust: trust, Stream: stream, Tracks: tracks})
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cameraOptions are those of a camera whose every secret is known.
func cameraOptions(t *testing.T, s *rig.Server, name, buffer string, sealed bool) producer.Options {
	o := producer.Options{
		StreamName: name, Endpoint: s.API, RootCAs: roots(t, s), Create: true, Retention: 24 * time.Hour,
		Credentials: func(context.Context) (producer.Credentials, error) {
			return producer.Credentials{AccessKeyID: s.Root.AccessKeyID, SecretAccessKey: s.Root.SecretAccessKey}, nil
		},
		Tracks: []producer.Track{{
			Number: 1, Type: producer.Video, CodecID: "V_MPEG4/ISO/AVC", Width: 64, Height: 36, CodecPrivate: rig.Frames(name, 1, 1, 100)[0],
			Name: "the camera at the back door",
		}},
		FragmentDuration: 200 * time.Millisecond, BufferDir: buffer, BufferKey: make([]byte, 32),
	}
	if sealed {
		o.Seal = &producer.Seal{New: sealer(t), Keep: func(e2ee.Link) error { return nil }}
	}
	return o
}

// roots are what a client of the server trusts.
func roots(t *testing.T, s *rig.Server) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(s.CAFile)
	ok(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}

// record puts frames of a stream, whose bytes follow from its name, and a tag.
func record(t *testing.T, p *producer.Producer, name string, secrets *needles) {
	t.Helper()
	at := time.Now()
	for n := range fragments {
		media := rig.Frames(name, uint64(n+2), frames, frameBytes)
		for i, f := range media {
			secrets.add("a frame of "+name, f)
			ok(t, p.Put(t.Context(), producer.Frame{
				Track: 1, Time: at.Add(time.Duration(n*frames+i) * 40 * time.Millisecond), Key: i == 0, Data: f,
			}))
		}
		ok(t, p.Tag("event", "motion near the rose bushes at the fence"))
	}
	secrets.add("the decoder's configuration", rig.Frames(name, 1, 1, 100)[0])
	secrets.add("a track's name", []byte("the camera at the back door"))
	secrets.add("a tag", []byte("motion near the rose bushes at the fence"))
}

// everythingServed is what the server gives to whoever may read, byte by byte: live and from the archive.
func everythingServed(t *testing.T, s *rig.Server, name string) []byte {
	t.Helper()
	live, err := kinesisvideomedia.New(s.V1(s.Root)).GetMediaWithContext(t.Context(), &kinesisvideomedia.GetMediaInput{
		StreamName: &name, StartSelector: &kinesisvideomedia.StartSelector{StartSelectorType: aws.String("EARLIEST")},
	})
	ok(t, err)
	defer live.Payload.Close()
	var all bytes.Buffer
	got, err := rig.ReadMedia(io.TeeReader(live.Payload, &all), fragments)
	ok(t, err)
	archive := kinesisvideoarchivedmedia.New(s.V1(s.Root))
	numbers := make([]*string, len(got))
	for i, f := range got {
		numbers[i] = &f.Number
	}
	stored, err := archive.GetMediaForFragmentListWithContext(t.Context(), &kinesisvideoarchivedmedia.GetMediaForFragmentListInput{StreamName: &name, Fragments: numbers})
	ok(t, err)
	defer stored.Payload.Close()
	n, err := io.Copy(&all, stored.Payload)
	ok(t, err)
	if least := fragments * frames * frameBytes; n < int64(least) {
		t.Fatalf("%s: %d bytes were served, of at least %d", name, n, least)
	}
	return all.Bytes()
}

// TestServerSeesNothingOfSealedMedia: no 16 bytes in a row of any frame, of the decoder's configuration, of names and tags are in the camera's
// buffer, in any file of the server, or in what it gives to a client that may read everything.
func TestServerSeesNothingOfSealedMedia(t *testing.T) {
	dir := t.TempDir()
	data, buffer := filepath.Join(dir, "data"), filepath.Join(dir, "buffer")
	s, stop := rig.Run(t, func(c *server.Config) { c.Data = data })
	secrets := newNeedles()
	down := cameraOptions(t, s, "sealed", buffer, true)
	down.Endpoint = "https://127.0.0.1:1" // so that all of it stays in the buffer
	p, err := producer.Open(down)
	ok(t, err)
	record(t, p, "sealed", secrets)
	gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := p.Close(gone); err == nil {
		t.Fatal("the buffer was sent to nobody")
	}
	nothingIn := func(what, dir string, least int64) {
		t.Helper()
		found, read, err := secrets.findIn(dir)
		ok(t, err)
		for _, f := range found {
			t.Errorf("%s: %s", what, f)
		}
		if read < least {
			t.Errorf("%s: only %d bytes are there: looking in the wrong place", what, read)
		}
	}
	const media = fragments * frames * frameBytes
	nothingIn("the camera's buffer", buffer, media)

	up := cameraOptions(t, s, "sealed", buffer, true)
	up.Seal = &producer.Seal{New: sealer(t), Keep: up.Seal.Keep}
	p, err = producer.Open(up) // sends what the one before has sealed
	ok(t, err)
	ok(t, p.Close(t.Context()))
	if name, at := secrets.find(everythingServed(t, s, "sealed")); at >= 0 {
		t.Errorf("the server gives part of %s", name)
	}
	nothingIn("the server's files", data, media)

	// The controls: readable media is found in what the server gives, and a frame on disk is found there.
	p, err = producer.Open(cameraOptions(t, s, "readable", filepath.Join(dir, "plain"), false))
	ok(t, err)
	record(t, p, "readable", secrets)
	ok(t, p.Close(t.Context()))
	if _, at := secrets.find(everythingServed(t, s, "readable")); at < 0 {
		t.Error("control: readable media is not found")
	}
	stop()
	ok(t, os.WriteFile(filepath.Join(data, "blob", "planted"), rig.Frames("sealed", 2, 1, frameBytes)[0], 0o600))
	if found, _, err := secrets.findIn(data); err != nil || len(found) != 1 {
		t.Errorf("control: of a planted frame %v was found, %v", found, err)
	}
}
