// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// What a producer sends that seals: codec IDs that say so, no codec private, and blocks of which nothing is known.
var (
	sealedVideo = mkv.Track{Number: 1, UID: 1, Type: mkv.TrackVideo, CodecID: "V_E2EE/1", Width: 16, Height: 16}
	sealedAudio = mkv.Track{Number: 2, UID: 2, Type: mkv.TrackAudio, CodecID: "A_E2EE/1", SamplingFrequency: 8000, Channels: 1}
)

func mark() []byte { return tag(markE2EE, "1.q83vEjRWeJo") }

// sealedCluster is a cluster of both tracks whose last block, the signature, has the time of the frame before it and is
// no key frame.
func sealedCluster(timecode uint64) (raw []byte, blocks []string) {
	raw = mkv.AppendClusterStart(nil, timecode)
	for i, b := range []struct {
		track uint64
		at    int16
	}{{1, 0}, {2, 0}, {1, 40}, {2, 30}, {1, 80}, {1, 80}} {
		payload := make([]byte, 700+i)
		rand.Read(payload)
		raw = mkv.AppendSimpleBlock(raw, b.track, b.at, i < 2, payload)
		blocks = append(blocks, string(payload))
	}
	return raw, blocks
}

// TestSealedMediaPassesUnchanged: blocks come back byte for byte and in order, live and from the archive, with the tag of
// each fragment.
func TestSealedMediaPassesUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		live := w.get("s", earliest())
		first, firstBlocks := sealedCluster(1000)
		second, secondBlocks := sealedCluster(2000)
		p := w.put("s").send(header(sealedVideo, sealedAudio), mark(), first, endOfFragment(), tag(markE2EE, "1.another"), second, endOfFragment())
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		wantAcks(t, p.acks.brief(),
			"BUFFERING 1000", "RECEIVED 1000", "PERSISTED 1000", "BUFFERING 2000", "RECEIVED 2000", "PERSISTED 2000")
		synctest.Wait()
		archived := &sink{}
		out, err := w.GetMediaForFragmentList(w.as(viewer), &archiveapi.GetMediaForFragmentListInput{StreamName: ptr("s"), Fragments: p.acks.numbers("PERSISTED")})
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Payload(archived); err != nil {
			t.Fatal(err)
		}
		for name, media := range map[string][]byte{"live": live.bytes(), "stored": w.readBytes("s"), "archived": archived.bytes()} {
			if !bytes.Contains(media, first) || !bytes.Contains(media, second) {
				t.Errorf("%s: a cluster was changed", name)
			}
			got := parseMedia(t, media)
			if len(got) != 2 || strings.Join(got[0].blocks, "") != strings.Join(firstBlocks, "") || strings.Join(got[1].blocks, "") != strings.Join(secondBlocks, "") {
				t.Errorf("%s: blocks are not those that were sent", name)
				continue
			}
			if got[0].tags[markE2EE] != "1.q83vEjRWeJo" || got[1].tags[markE2EE] != "1.another" {
				t.Errorf("%s: tags %v and %v", name, got[0].tags, got[1].tags)
			}
		}
	})
}

// contentCalls are the operations that need to read the media.
func (w *world) contentCalls() map[string]struct {
	code string
	call func() error
} {
	ctx, s, now := w.as(viewer), ptr("s"), ptr(time.Now())
	type c = struct {
		code string
		call func() error
	}
	return map[string]c{
		"GetHLSStreamingSessionURL": {"UnsupportedStreamMediaTypeException", func() error {
			_, err := w.GetHLSStreamingSessionURL(ctx, &archiveapi.GetHLSStreamingSessionURLInput{StreamName: s})
			return err
		}},
		"GetDASHStreamingSessionURL": {"UnsupportedStreamMediaTypeException", func() error {
			_, err := w.GetDASHStreamingSessionURL(ctx, &archiveapi.GetDASHStreamingSessionURLInput{StreamName: s})
			return err
		}},
		"GetClip": {"UnsupportedStreamMediaTypeException", func() error {
			_, err := w.GetClip(ctx, &archiveapi.GetClipInput{StreamName: s})
			return err
		}},
		"GetImages": {"InvalidArgumentException", func() error {
			_, err := w.GetImages(ctx, &archiveapi.GetImagesInput{StreamName: s, StartTimestamp: now, EndTimestamp: now})
			return err
		}},
		"UpdateImageGenerationConfiguration": {"InvalidArgumentException", func() error {
			_, err := w.UpdateImageGenerationConfiguration(ctx, &kvapi.UpdateImageGenerationConfigurationInput{
				StreamName: s, ImageGenerationConfiguration: &kvapi.ImageGenerationConfiguration{Status: ptr("ENABLED")},
			})
			return err
		}},
	}
}

// TestNobodyHereReadsASealedStream: what would need its content is refused, by AWS's own errors, to who may know.
func TestNobodyHereReadsASealedStream(t *testing.T) {
	raw, _ := sealedCluster(1000)
	for name, prepare := range map[string]func(w *world){
		"by its newest fragment": func(w *world) {
			w.create("s", 1)
			w.putAll("s", header(), cluster(500, "readable"))
			w.putAll("s", header(sealedVideo, sealedAudio), mark(), raw)
		},
		"in the buffer": func(w *world) {
			w.create("s", 0)
			w.putAll("s", header(sealedVideo, sealedAudio), mark(), raw)
		},
		"by its tag": func(w *world) {
			w.create("s", 1)
			w.tagE2EE("true")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			prepare(w)
			for operation, c := range w.contentCalls() {
				err := c.call()
				wantCode(t, err, c.code)
				if e, ok := errors.AsType[protocol.APIError](err); !ok || e.HTTPStatus() != 400 || !strings.HasPrefix(e.ErrorMessage(), "E2EE_STREAM:") {
					t.Errorf("%s: %v", operation, err)
				}
				w.auth.refuseAction(operation)
				wantCode(t, c.call(), "AccessDenied")
				w.auth.refuse(nil)
			}
		})
	}
}

// TestReadableStreamIsNotCalledSealed: also when it was sealed once.
func TestReadableStreamIsNotCalledSealed(t *testing.T) {
	w := newWorld(t)
	for _, c := range w.contentCalls() {
		wantCode(t, c.call(), "ResourceNotFoundException")
	}
	w.create("s", 1)
	raw, _ := sealedCluster(1000)
	w.putAll("s", header(sealedVideo, sealedAudio), mark(), raw)
	w.putAll("s", header(), cluster(2000, "readable"))
	w.tagE2EE("false")
	for operation, c := range w.contentCalls() {
		if operation == "UpdateImageGenerationConfiguration" {
			wantCode(t, c.call(), "<nil>")
			continue
		}
		wantCode(t, c.call(), "NotImplementedException")
	}
}

func TestImageConfigurationOfASealedStreamCanBeDeleted(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	wantCode(t, w.contentCalls()["UpdateImageGenerationConfiguration"].call(), "<nil>")
	w.tagE2EE("true")
	_, err := w.UpdateImageGenerationConfiguration(w.as(camera), &kvapi.UpdateImageGenerationConfigurationInput{StreamName: ptr("s")})
	wantCode(t, err, "<nil>")
	out, err := w.DescribeImageGenerationConfiguration(w.as(camera), &kvapi.DescribeImageGenerationConfigurationInput{StreamName: ptr("s")})
	if err != nil || out.ImageGenerationConfiguration != nil {
		t.Errorf("%v, %v", out, err)
	}
}

func (w *world) tagE2EE(value string) {
	w.t.Helper()
	_, err := w.TagStream(w.as(camera), &kvapi.TagStreamInput{StreamName: ptr("s"), Tags: map[string]string{requireE2EE: value}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestRequireE2EETakesSealedFragmentsAlone: of a fragment that is refused nothing is stored, and nothing was shown to
// who watches live.
func TestRequireE2EETakesSealedFragmentsAlone(t *testing.T) {
	raw, blocks := sealedCluster(1000)
	both := header(sealedVideo, sealedAudio)
	for name, tc := range map[string]struct {
		body []byte
		acks []string
	}{
		"readable":                  {join(header(), mark(), cluster(1000, "readable"), endOfFragment()), []string{"ERROR 4006 1000"}},
		"half readable":             {join(header(sealedVideo, audioTrack), mark(), raw, endOfFragment()), []string{"ERROR 4006 1000"}},
		"codec that looks like it":  {join(header(mkv.Track{Number: 1, UID: 1, Type: mkv.TrackVideo, CodecID: "V_E2EE"}), mark(), cluster(1000, "readable"), endOfFragment()), []string{"ERROR 4006 1000"}},
		"without its tag":           {join(both, raw, endOfFragment()), []string{"BUFFERING 1000", "ERROR 4006 1000"}},
		"without its tag, at last":  {join(both, raw), []string{"BUFFERING 1000", "ERROR 4006 1000"}},
		"with another tag":          {join(both, tag("e2ee", "1"), raw, endOfFragment()), []string{"BUFFERING 1000", "ERROR 4006 1000"}},
		"tag of the next fragment":  {join(both, raw, mark(), mkv.AppendClusterStart(nil, 2000)), []string{"BUFFERING 1000", "ERROR 4006 1000"}},
		"tag too long":              {join(both, tag("a", "1"), raw, tag(markE2EE, strings.Repeat("x", 257)), endOfFragment()), []string{"BUFFERING 1000", "ERROR 4009 1000"}},
		"sealed, tag in the header": {join(both, mark(), raw, endOfFragment()), []string{"BUFFERING 1000", "RECEIVED 1000", "PERSISTED 1000"}},
		"sealed, tag afterwards":    {join(both, raw, join(mark(), endOfFragment())), []string{"BUFFERING 1000", "RECEIVED 1000", "PERSISTED 1000"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.create("s", 1)
				w.tagE2EE("true")
				live := w.get("s", earliest())
				p := w.put("s").send(tc.body)
				if err := p.end(); err != nil {
					t.Fatal(err)
				}
				wantAcks(t, p.acks.brief(), tc.acks...)
				synctest.Wait()
				stored, want := w.list("s"), 0
				if strings.HasPrefix(name, "sealed") {
					want = 1
				}
				if len(stored) != want {
					t.Errorf("%d fragments are stored", len(stored))
				}
				media := live.bytes()
				if got := parseMedia(t, media); len(got) != want {
					t.Errorf("%d fragments were shown", len(got))
				}
				for _, secret := range append(blocks, "readable") {
					if shown := bytes.Contains(media, []byte(secret)); shown && want == 0 || want == 0 && w.stores(secret) {
						t.Error("something of it was shown or stored")
					}
				}
			})
		})
	}
}

// TestSealedFragmentsAreShownAsTheyCome: with its tag before the cluster a fragment is live; with the tag behind it,
// viewers get it whole.
func TestSealedFragmentsAreShownAsTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		w.tagE2EE("true")
		live := w.get("s", earliest())
		first, _ := sealedCluster(1000)
		p := w.put("s").send(header(sealedVideo, sealedAudio), first)
		synctest.Wait()
		if len(live.bytes()) != 0 {
			t.Error("shown before it was known as sealed")
		}
		p.send(join(mark(), endOfFragment()))
		synctest.Wait()
		if !bytes.Contains(live.bytes(), first) {
			t.Error("not shown when it was complete")
		}
		second, blocks := sealedCluster(2000)
		p.send(mark(), second)
		synctest.Wait()
		if !bytes.Contains(live.bytes(), []byte(blocks[4])) {
			t.Error("not shown as it comes")
		}
		p.send(endOfFragment())
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := numbersOf(parseMedia(t, live.bytes())); len(got) != 2 {
			t.Errorf("%d complete fragments", len(got))
		}
	})
}

// TestRequireE2EEBitesAtTheNextFragment: on a connection that is open, in both directions.
func TestRequireE2EEBitesAtTheNextFragment(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	p := w.put("s").send(header(), cluster(1000, "a"), endOfFragment(), cluster(2000, "b"))
	p.acks.await(t, 4)
	w.tagE2EE("true")
	p.send(endOfFragment(), cluster(3000, "c"), endOfFragment())
	<-p.done
	wantAcks(t, p.acks.brief(), "BUFFERING 1000", "RECEIVED 1000", "PERSISTED 1000",
		"BUFFERING 2000", "RECEIVED 2000", "PERSISTED 2000", "ERROR 4006 3000")
	_, err := w.UntagStream(w.as(camera), &kvapi.UntagStreamInput{StreamName: ptr("s"), TagKeyList: []string{requireE2EE}})
	wantCode(t, err, "<nil>")
	wantAcks(t, w.putAll("s", header(), cluster(4000, "d")), "BUFFERING 4000", "RECEIVED 4000", "PERSISTED 4000")
}

// await waits until there are n acks.
func (r *ackRecorder) await(t testing.TB, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); len(r.all()) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("acks %v", r.brief())
		}
	}
}

// TestTagsOfOurOwnAreNotMistyped: a tag that somebody may take for this service's and that would do nothing is refused.
func TestTagsOfOurOwnAreNotMistyped(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	for k, v := range map[string]string{
		requireE2EE: "True", "obscura:requireE2EE": "true", "Obscura:RequireE2EE": "true", "obscura:Other": "x",
	} {
		_, err := w.TagStream(w.as(camera), &kvapi.TagStreamInput{StreamName: ptr("s"), Tags: map[string]string{k: v}})
		wantCode(t, err, "InvalidArgumentException")
		_, err = w.TagResource(w.as(camera), &kvapi.TagResourceInput{ResourceARN: w.describe("s").StreamARN, Tags: []*kvapi.Tag{{Key: &k, Value: &v}}})
		wantCode(t, err, "InvalidArgumentException")
		_, err = w.CreateStream(w.as(camera), &kvapi.CreateStreamInput{StreamName: ptr("new"), Tags: map[string]string{k: v}})
		wantCode(t, err, "InvalidArgumentException")
	}
	_, err := w.CreateStream(w.as(camera), &kvapi.CreateStreamInput{
		StreamName: ptr("new"), DataRetentionInHours: ptr(int64(1)), KmsKeyId: ptr(testKey), Tags: map[string]string{requireE2EE: "true"},
	})
	wantCode(t, err, "<nil>")
	wantAcks(t, w.putAll("new", header(), cluster(1000, "a")), "ERROR 4006 1000")
}

func TestSealedFragmentsAreCounted(t *testing.T) {
	w := newWorld(t)
	c := counters{}
	w.metrics = metrics{c}
	w.create("s", 1)
	raw, _ := sealedCluster(1000)
	w.putAll("s", header(), cluster(500, "a"))
	w.putAll("s", header(sealedVideo, sealedAudio), mark(), raw)
	w.tagE2EE("true")
	w.putAll("s", header(), cluster(2000, "a"))
	w.putAll("s", header(sealedVideo, sealedAudio), raw)
	if c["Obscura.SealedFragments"] != 1 || c["Obscura.UnsealedFragmentsRefused"] != 2 {
		t.Errorf("counted %v and %v", c["Obscura.SealedFragments"], c["Obscura.UnsealedFragmentsRefused"])
	}
}
