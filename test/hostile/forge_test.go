// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/e2ee/e2eetest"
)

// forgery is a fragment in the place of a genuine one: what it is taken from, but for what it shows.
func (w *world) forgery(of *taken, secret *e2eetest.Secret) *e2eetest.Fragment {
	_, h, ok := e2eetest.HeaderOf(of.wire.blocks[0].payload)
	if !ok {
		w.t.Fatal("no header")
	}
	f := &e2eetest.Fragment{Secret: secret, Header: h, Tracks: of.tracks}
	for _, s := range of.samples {
		s.Data = fmt.Appendf(nil, "what the server would have you see, %d", len(f.Samples))
		f.Samples = append(f.Samples, s)
	}
	return f
}

// forged puts a forgery into the place of a fragment on the wire.
func forged(on *fragment, f *e2eetest.Fragment) *fragment {
	on.put(f.Blocks())
	return on
}

// serverKey is a key that the server has made for itself.
func serverKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(e2ee.NewSeed()) }

// serversOwn is a generation of the server's own for the one of a genuine fragment, in its own name or in the camera's, with a wrap
// for Vera.
func (w *world) serversOwn(of *taken, key ed25519.PrivateKey, name e2ee.Fingerprint) *e2eetest.Fragment {
	st, _, _ := e2eetest.HeaderOf(of.wire.blocks[0].payload)
	secret := &e2eetest.Secret{Statement: st, Producer: name, GS: e2ee.NewSeed()}
	copy(secret.Statement.Producer[:], name[:])
	secret.Commit()
	secret.Statement.Sign(key)
	f := w.forgery(of, secret)
	f.Keys = secret.Wrap(w.vera.Fingerprint(), w.vera.Keys()[0].Public())
	f.Header.KeysAt, f.Signer = f.Header.Capture, key
	return f
}

// rewrapped is a genuine statement with a secret of the server's own wrapped for Vera.
func (w *world) rewrapped(of *taken) *e2eetest.Fragment {
	st, _, _ := e2eetest.HeaderOf(of.wire.blocks[0].payload)
	secret := &e2eetest.Secret{Statement: st, Producer: w.door.Fingerprint(), GS: e2ee.NewSeed()}
	f := w.forgery(of, secret)
	f.Keys = secret.Wrap(w.vera.Fingerprint(), w.vera.Keys()[0].Public())
	f.Header.KeysAt = f.Header.Capture
	return f
}

// stolen is the signing key of a camera that was stolen.
func (w *world) stolen(name string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(w.secretOf(name, "producer"))
}

// readable is a fragment that anybody can read, of the server's making.
func readable(on *fragment) {
	on.tracks = on.tracks[:1]
	on.tracks[0].CodecID, on.tracks[0].CodecPrivate = tracks[0].CodecID, tracks[0].CodecPrivate
	on.before = withoutTag(on.before, e2ee.TagName)
	on.after = withoutTag(on.after, e2ee.TagName)
	on.blocks = nil
	for i := range pictures {
		on.blocks = append(on.blocks, block{1, int16(250 * i), i == 0, picture("a film", 0, i)})
	}
}

// moved sets the times that the service tells of a fragment.
func moved(f *fragment, at time.Time) *fragment {
	f.timecode = uint64(at.UnixMilli())
	text := fmt.Sprintf("%d.%03d", at.UnixMilli()/1000, at.UnixMilli()%1000)
	for _, name := range serviceTimes {
		if v := f.tag(name); v != nil {
			*v = text
		}
	}
	return f
}
