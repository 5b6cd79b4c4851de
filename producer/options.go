// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/obscura-video/obscura/internal/media/mkv"
)

// Track describes one track of the media. Number, Type and CodecID are required; numbers differ and are at least 1.
type Track = mkv.Track

// Types of tracks.
const (
	Video    = mkv.TrackVideo
	Audio    = mkv.TrackAudio
	Metadata = mkv.TrackMetadata
)

// Frame is one coded picture, or a piece of audio.
type Frame struct {
	Track uint64    // Track.Number
	Time  time.Time // of its presentation; kept to the millisecond
	Key   bool      // can be decoded without those before it; audio always can
	Data  []byte    // the caller's again when Put returns
}

// Credentials sign requests. SessionToken is empty for long-term keys; Expires is zero for those that do not expire.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expires                                    time.Time
}

// Options say what to send, and where. StreamName, Tracks and Credentials are required.
type Options struct {
	StreamName string
	Tracks     []Track // at most 3

	// Endpoint is the URL of the control plane. Default: that of AWS in Region.
	Endpoint string
	// Region is what requests are signed for. Default us-east-1.
	Region string
	// Credentials is asked before each request, so it should keep what is still good.
	Credentials func(context.Context) (Credentials, error)
	// RootCAs are trusted instead of the system's.
	RootCAs *x509.CertPool
	// HTTPClient replaces the client that is made of RootCAs. It must speak HTTP/1.1 and have no Timeout.
	HTTPClient *http.Client

	// FragmentDuration is how long fragments get before they are cut at the next key frame. Default 2 s; those of
	// a stream without video are cut when they have it.
	FragmentDuration time.Duration

	// BufferDir is where fragments wait until they are durable; each stream has a folder of its own in it. Without
	// it they wait in memory, and are lost with the process.
	BufferDir string
	// BufferBytes bounds the buffer. Default 1 GiB, 64 MiB in memory.
	BufferBytes int64
	// BufferKey is the 32-byte key that the buffer is sealed with. Default: the one in BufferKeyFile.
	BufferKey []byte
	// BufferKeyFile holds the key, and is made when it is missing. It should lie apart from the buffer. Default
	// obscura/buffer.key in os.UserConfigDir.
	BufferKeyFile string
	// BlockWhenFull makes Put wait for room, instead of giving up the oldest fragment. It is right for files.
	BlockWhenFull bool

	// Seal, when set, makes the media end-to-end encrypted. Tracks are then video and audio with numbers up to 15.
	Seal *Seal

	// Create makes the stream when it is missing, a sealed one with the tag obscura:RequireE2EE = true, with Retention (full hours) and KMSKeyID (default: the service's).
	Create    bool
	Retention time.Duration
	KMSKeyID  string

	// Log gets warnings and what was done about them. Default: discarded.
	Log *slog.Logger
	// OnPersisted, when set, is called for each fragment that became durable, one at a time. It must not block
	// and must not call the Producer.
	OnPersisted func(Persisted)
}

// Persisted tells of a fragment that the service has acknowledged.
type Persisted struct {
	FragmentNumber string    // empty when it was found by its time after its acknowledgement was lost
	Start, End     time.Time // presentation times of its first and last frame
	Bytes          int64     // in the buffer
}

// Defaults and limits.
const (
	DefaultFragmentDuration  = 2 * time.Second
	DefaultBufferBytes       = 1 << 30
	DefaultMemoryBufferBytes = 64 << 20

	maxTracks = 3
	// maxFragmentSpan and maxFragmentBytes stay below the service's limits of 20 s and 50 MB.
	maxFragmentSpan  = 18 * time.Second
	maxFragmentBytes = 45_000_000
	maxFrameBytes    = 15 << 20
	minBufferBytes   = 1 << 16
)

// ErrOptions marks Options that cannot be.
var ErrOptions = errors.New("producer: options")

func (o Options) withDefaults() (Options, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.Endpoint = cmp.Or(o.Endpoint, "https://kinesisvideo."+o.Region+".amazonaws.com")
	o.FragmentDuration = cmp.Or(o.FragmentDuration, DefaultFragmentDuration)
	if o.BufferDir == "" {
		o.BufferBytes = cmp.Or(o.BufferBytes, DefaultMemoryBufferBytes)
	}
	o.BufferBytes = cmp.Or(o.BufferBytes, DefaultBufferBytes)
	if o.HTTPClient == nil {
		o.HTTPClient = newHTTPClient(o.RootCAs)
	}
	return o, o.check()
}

func (o *Options) check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrOptions, fmt.Sprintf(format, args...))
	}
	switch {
	case !validStreamName(o.StreamName):
		return wrong("stream name %q: want 1 to 256 letters, digits, '_', '.' or '-'", o.StreamName)
	case o.Credentials == nil:
		return wrong("no credentials")
	case len(o.Tracks) == 0 || len(o.Tracks) > maxTracks:
		return wrong("%d tracks: want 1 to %d", len(o.Tracks), maxTracks)
	case o.FragmentDuration < 0 || o.FragmentDuration > maxFragmentSpan:
		return wrong("fragment duration %s: want up to %s", o.FragmentDuration, maxFragmentSpan)
	case o.BufferBytes < minBufferBytes:
		return wrong("buffer of %d bytes: want at least %d", o.BufferBytes, minBufferBytes)
	case o.Retention < 0 || o.Retention%time.Hour != 0:
		return wrong("retention %s: want full hours", o.Retention)
	}
	seen := map[uint64]bool{}
	for _, t := range o.Tracks {
		if t.Number == 0 || t.Number >= 1<<56-1 || seen[t.Number] || t.Type == 0 || t.CodecID == "" {
			return wrong("track %d: want different numbers from 1 on, a type and a codec ID", t.Number)
		}
		seen[t.Number] = true
	}
	return nil
}

func validStreamName(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}
