// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
	"github.com/aws/aws-sdk-go/service/kinesisvideoarchivedmedia"
	"github.com/aws/aws-sdk-go/service/kinesisvideomedia"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/internal/media/mkv"
	"github.com/obscura-video/obscura/test/conformance/kit"
	"github.com/obscura-video/obscura/test/rig"
)

// must returns a value that is there.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A pair is a camera that seals for one viewer.
type pair struct {
	sealer *e2ee.Sealer
	opener *e2ee.Opener
}

func newPair(t *testing.T) *pair {
	t.Helper()
	identity := func(r e2ee.Role) *e2ee.Identity { return must(e2ee.IdentityFromSeed(r, e2ee.NewSeed()))(t) }
	owner, camera, viewer := identity(e2ee.RoleOwner), identity(e2ee.RoleProducer), identity(e2ee.RoleConsumer)
	key := must(e2ee.NewKEMKey(e2ee.NewSeed()))(t)
	roster := must(e2ee.SignRoster(e2ee.Roster{
		Version: 1, Issued: time.Now(), Expires: time.Now().AddDate(1, 0, 0), Threshold: 1, GenerationLife: 24 * time.Hour, NoRecovery: true,
		Members: []e2ee.Member{
			{Role: e2ee.RoleOwner, Name: "Ana", Key: owner.Public()},
			{Role: e2ee.RoleProducer, Name: "Door", Key: camera.Public()},
			{Role: e2ee.RoleConsumer, Name: "Phone", Key: viewer.Public()},
		},
	}, owner))(t)
	certificate := must(e2ee.NewCertificate(viewer, key, 1, time.Now(), 30*24*time.Hour))(t)
	trust := func(self *e2ee.Identity) *e2ee.Trust {
		r, hash, err := e2ee.ReadRoster(roster)
		if err != nil {
			t.Fatal(err)
		}
		tr := must(e2ee.NewTrust(e2ee.Pin{Version: r.Version, Hash: hash}, roster, self.Fingerprint(), func([]byte) error { return nil }))(t)
		if err := tr.AddCertificate(certificate); err != nil {
			t.Fatal(err)
		}
		return tr
	}
	return &pair{
		sealer: must(e2ee.NewSealer(e2ee.SealerConfig{
			Identity: camera, Trust: trust(camera), Stream: "sealed",
			Tracks: []e2ee.Track{{Number: 1, Codec: "V_MPEG4/ISO/AVC", Width: 640, Height: 360}},
		}))(t),
		opener: must(e2ee.NewOpener(e2ee.OpenerConfig{
			Trust: trust(viewer), Stream: "sealed", Self: viewer.Fingerprint(), Keys: []*e2ee.KEMKey{key}, LiveWindow: e2ee.DefaultLiveWindow,
		}))(t),
	}
}

// picture is frame i of fragment n.
func picture(n, i int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "picture %d of fragment %d. ", i, n), 100)
}

const pictures = 3

// seal is fragment n in Matroska, after its tag.
func (p *pair) seal(t *testing.T, n int, at time.Time) (tag, media []byte) {
	t.Helper()
	if err := p.sealer.Begin(at); err != nil {
		t.Fatal(err)
	}
	name, value := p.sealer.Tag()
	tag = mkv.AppendTags(nil, mkv.Tag{Name: name, Value: value})
	media = mkv.AppendClusterStart(nil, uint64(at.UnixMilli()))
	add := func(b e2ee.Block) {
		media = mkv.AppendSimpleBlock(media, uint64(b.Track), int16(b.Time.Sub(at).Milliseconds()), b.Key, b.Payload)
	}
	for i := range pictures {
		add(must(p.sealer.Seal(e2ee.Sample{Track: 1, Key: i == 0, Time: at.Add(time.Duration(i) * 40 * time.Millisecond), Data: picture(n, i)}))(t))
	}
	signature, _, err := p.sealer.End()
	if err != nil {
		t.Fatal(err)
	}
	add(signature)
	return tag, mkv.AppendEndOfFragment(media)
}

// open reads media as a viewer does and returns how many fragments it has confirmed.
func (p *pair) open(t *testing.T, media []byte) (confirmed int) {
	t.Helper()
	r := mkv.NewReader(bytes.NewReader(media), mkv.Options{Concatenated: true})
	got := 0
	for {
		ev, err := r.Next()
		if err != nil {
			return confirmed
		}
		switch ev := ev.(type) {
		case *mkv.Block:
			opened, err := p.opener.Block(e2ee.Block{Track: uint8(ev.Track), Key: ev.Keyframe, Time: time.UnixMilli(ev.Timecode), Payload: ev.Payload})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range opened.Samples {
				if !bytes.Equal(s.Data, picture(confirmed, got%pictures)) {
					t.Errorf("picture %d is not the one that was sealed", got)
				}
				got++
			}
		case *mkv.Tags:
			if _, complete := ev.Get(mkv.ContinuationToken); !complete {
				continue
			}
			report, err := p.opener.End()
			if err != nil || report.Missing != 0 {
				t.Fatalf("%+v, %v", report, err)
			}
			confirmed++
		}
	}
}

// TestSealedStream: what a camera has sealed goes through the server, which takes nothing else for the stream, and a
// viewer of the roster confirms every fragment of it.
func TestSealedStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.createStream("sealed", kinesisvideo.CreateStreamInput{Tags: map[string]string{"obscura:RequireE2EE": "true"}})
	err := w.putOne(w.root, "sealed", 1000)
	if ack, ok := errors.AsType[*rig.AckError](err); !ok || ack.ErrorId != 4006 || ack.ErrorCode != "INVALID_MKV_DATA" {
		t.Errorf("a readable fragment: %v", err)
	}
	p := newPair(t)
	put, err := w.PutMedia(t.Context(), w.root.creds, "sealed")
	if err != nil {
		t.Fatal(err)
	}
	body := mkv.AppendHeader(nil, mkv.Info{MuxingApp: "test", WritingApp: "test"}, []mkv.Track{{Number: 1, UID: 1, Type: mkv.TrackVideo, CodecID: "V_E2EE/1", Width: 16, Height: 16}})
	const fragments = 4
	begin := time.Now().Add(-fragments * time.Second).Truncate(time.Millisecond)
	for n := range fragments {
		tag, media := p.seal(t, n, begin.Add(time.Duration(n)*time.Second))
		if _, err := put.Send(slices.Concat(body, tag, media)); err != nil {
			t.Fatal(err)
		}
		body = nil
	}
	if _, err := put.End(); err != nil {
		t.Fatal(err)
	}
	out, err := w.root.media.GetMediaWithContext(t.Context(), &kinesisvideomedia.GetMediaInput{
		StreamName: aws.String("sealed"), StartSelector: &kinesisvideomedia.StartSelector{StartSelectorType: aws.String("EARLIEST")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Payload.Close()
	var media bytes.Buffer
	if _, err := rig.ReadMedia(io.TeeReader(out.Payload, &media), fragments); err != nil {
		t.Fatal(err)
	}
	if got := p.open(t, media.Bytes()); got != fragments {
		t.Errorf("%d fragments are confirmed", got)
	}
	if bytes.Contains(media.Bytes(), []byte("picture")) || bytes.Contains(media.Bytes(), []byte("V_MPEG4")) {
		t.Error("GetMedia tells something of the pictures")
	}
	w.refuseContent(t)
	if figures := w.figures(t); !strings.Contains(figures, `obscura_video_sealed_fragments_total{stream_name="sealed"} 4`) ||
		!strings.Contains(figures, `obscura_video_unsealed_fragments_refused_total{stream_name="sealed"} 1`) {
		t.Error("sealed fragments are not counted")
	}
}

// refuseContent checks the errors of what would need the content of the sealed stream, and that AWS's SDK knows them.
func (w *world) refuseContent(t *testing.T) {
	t.Helper()
	for _, s := range sealedSteps() {
		err := s.call(w, w.root)
		if code, message := kit.CodeOf(err); code != s.want || !strings.HasPrefix(message, "E2EE_STREAM:") {
			t.Errorf("%s: %v", s.action, err)
		}
	}
	_, err := w.root.archive.GetHLSStreamingSessionURL(&kinesisvideoarchivedmedia.GetHLSStreamingSessionURLInput{StreamName: aws.String("sealed")})
	if _, ok := err.(*kinesisvideoarchivedmedia.UnsupportedStreamMediaTypeException); !ok {
		t.Errorf("the SDK made %T of it: %v", err, err)
	}
	wantModelled(t, run(w.root, w.root.video.UpdateImageGenerationConfiguration, &kinesisvideo.UpdateImageGenerationConfigurationInput{
		StreamName: aws.String("sealed"), ImageGenerationConfiguration: imagesEnabled(),
	}), "InvalidArgumentException")
}

func imagesEnabled() *types.ImageGenerationConfiguration {
	return &types.ImageGenerationConfiguration{
		Status: types.ConfigurationStatusEnabled, Format: types.FormatJpeg, ImageSelectorType: types.ImageSelectorTypeProducerTimestamp,
		SamplingInterval: aws.Int32(3000), DestinationConfig: &types.ImageGenerationDestinationConfig{DestinationRegion: aws.String("us-east-1"), Uri: aws.String("s3://bucket")},
	}
}

// sealedSteps are the operations that never work on a sealed stream, nor yet on another.
func sealedSteps() []step {
	const unsupported = "UnsupportedStreamMediaTypeException"
	stream, now := aws.String("sealed"), aws.Time(time.Now())
	return []step{
		{action: "kinesisvideo:GetHLSStreamingSessionURL", want: unsupported, call: func(_ *world, c *clients) error {
			_, err := c.archive.GetHLSStreamingSessionURL(&kinesisvideoarchivedmedia.GetHLSStreamingSessionURLInput{StreamName: stream})
			return err
		}},
		{action: "kinesisvideo:GetDASHStreamingSessionURL", want: unsupported, call: func(_ *world, c *clients) error {
			_, err := c.archive.GetDASHStreamingSessionURL(&kinesisvideoarchivedmedia.GetDASHStreamingSessionURLInput{StreamName: stream})
			return err
		}},
		{action: "kinesisvideo:GetClip", want: unsupported, call: func(_ *world, c *clients) error {
			_, err := c.archive.GetClip(&kinesisvideoarchivedmedia.GetClipInput{StreamName: stream, ClipFragmentSelector: &kinesisvideoarchivedmedia.ClipFragmentSelector{
				FragmentSelectorType: aws.String("SERVER_TIMESTAMP"), TimestampRange: &kinesisvideoarchivedmedia.ClipTimestampRange{StartTimestamp: now, EndTimestamp: now},
			}})
			return err
		}},
		{action: "kinesisvideo:GetImages", want: "InvalidArgumentException", call: func(_ *world, c *clients) error {
			_, err := c.archive.GetImages(&kinesisvideoarchivedmedia.GetImagesInput{
				StreamName: stream, Format: aws.String("JPEG"), ImageSelectorType: aws.String("SERVER_TIMESTAMP"), StartTimestamp: now, EndTimestamp: now,
			})
			return err
		}},
		{action: "kinesisvideo:UpdateImageGenerationConfiguration", want: "InvalidArgumentException", call: func(_ *world, c *clients) error {
			return run(c, c.video.UpdateImageGenerationConfiguration, &kinesisvideo.UpdateImageGenerationConfigurationInput{StreamName: stream, ImageGenerationConfiguration: imagesEnabled()})
		}},
	}
}

// TestSealedStreamTellsOnlyWhoMayAsk: each refusal of a sealed stream comes after the decision.
func TestSealedStreamTellsOnlyWhoMayAsk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.createStream("sealed", kinesisvideo.CreateStreamInput{Tags: map[string]string{"obscura:RequireE2EE": "true"}})
	w.walk(sealedSteps())
}
