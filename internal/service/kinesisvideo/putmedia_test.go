// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

func TestAcksTellWhatBecameOfEachFragment(t *testing.T) {
	for _, tc := range []struct {
		name string
		body []byte
		want []string
	}{
		{"empty body", nil, nil},
		{"header only", header(), nil},
		{
			"unknown size, ended by the next and by the body", join(header(), cluster(0, "a", "b"), cluster(2000, "c")),
			[]string{"BUFFERING 0", "RECEIVED 0", "PERSISTED 0", "BUFFERING 2000", "RECEIVED 2000", "PERSISTED 2000"},
		},
		{
			"known size", join(header(), sizedCluster(0, "a", "b"), sizedCluster(2000, "c")),
			[]string{"BUFFERING 0", "RECEIVED 0", "PERSISTED 0", "BUFFERING 2000", "RECEIVED 2000", "PERSISTED 2000"},
		},
		{
			"ended by the tag", join(header(), cluster(0, "a"), endOfFragment(), cluster(2000, "b"), endOfFragment(), endOfFragment()),
			[]string{"BUFFERING 0", "RECEIVED 0", "PERSISTED 0", "BUFFERING 2000", "RECEIVED 2000", "PERSISTED 2000"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.create("s", 1)
			wantAcks(t, w.putAll("s", tc.body), tc.want...)
		})
	}
}

func TestStreamWithoutRetentionGetsNoPersisted(t *testing.T) {
	w := newWorld(t)
	w.create("s", 0)
	wantAcks(t, w.putAll("s", header(), cluster(0, "a")), "BUFFERING 0", "RECEIVED 0")
}

func TestAcksComeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		p := w.put("s")
		synctest.Wait()
		if !p.acks.started {
			t.Fatal("no status before the first byte")
		}
		p.send(header(), mkv.AppendClusterStart(nil, 7))
		synctest.Wait()
		wantAcks(t, p.acks.brief(), "BUFFERING 7")
		p.send(videoBlocks("a"), endOfFragment())
		synctest.Wait()
		wantAcks(t, p.acks.brief(), "BUFFERING 7", "RECEIVED 7", "PERSISTED 7")
		if n := p.acks.numbers("PERSISTED"); n[0] != p.acks.numbers("BUFFERING")[0] {
			t.Fatal("the fragment changed its number")
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEachViolationHasItsError(t *testing.T) {
	many := make([]mkv.Tag, 11)
	for i := range many {
		many[i] = mkv.Tag{Name: fmt.Sprint("tag", i), Value: "v"}
	}
	fourTracks := []mkv.Track{videoTrack, audioTrack, {Number: 3, Type: mkv.TrackMetadata, CodecID: "S"}, {Number: 4, Type: mkv.TrackMetadata, CodecID: "S"}}
	long := mkv.AppendSimpleBlock(cluster(1000, "a"), 1, 20001, false, []byte("b"))
	big := cluster(1000)
	for range 6 {
		big = append(big, videoBlocks(strings.Repeat("x", 9<<20))...)
	}
	for _, tc := range []struct {
		name string
		body []byte
		want string
	}{
		{"truncated body", join(header(), cluster(1000, "abc"))[:len(header())+len(cluster(1000, "abc"))-1], "ERROR 4000 0"},
		{"fragment of more than 50 MB", join(header(), big), "ERROR 4001 1000"},
		{"fragment that claims more than 50 MB", join(header(), []byte{0x1F, 0x43, 0xB6, 0x75, 0x08, 4, 0, 0, 0, 0xE7, 0x81, 5}), "ERROR 4001 5"},
		{"frame of more than 16 MiB", join(header(), cluster(1000, strings.Repeat("x", 17<<20))), "ERROR 4001 1000"},
		{"fragment of more than 20 s", join(header(), long), "ERROR 4002 1000"},
		{"older than the fragment before", join(header(), cluster(1000, "a"), cluster(999, "b")), "ERROR 4004 999"},
		{"begins before the fragment before has ended", join(header(), cluster(1000, "a", "b"), cluster(1040, "c")), "ERROR 4004 1040"},
		{"no Matroska", []byte("garbage"), "ERROR 4006 0"},
		{"second header", join(header(), cluster(1000, "a"), header()), "ERROR 4006 0"},
		{"garbage between fragments", join(header(), cluster(1000, "a"), endOfFragment(), []byte{0, 0, 0}), "ERROR 4006 0"},
		{"tracks again", join(header(), cluster(1000, "a"), mkv.AppendTracks(nil, []mkv.Track{videoTrack})), "ERROR 4006 0"},
		{"garbage in a fragment", join(header(), cluster(1000, "a"), []byte{0, 0, 0}), "ERROR 4006 1000"},
		{"year 10000", join(header(), cluster(253402300800000, "a")), "ERROR 4007 253402300800000"},
		{"eleven tags before", join(header(), cluster(1000, "a"), mkv.AppendTags(nil, many...), cluster(2000, "a")), "ERROR 4009 2000"},
		{"eleven tags after", join(header(), cluster(1000, "a"), mkv.AppendTags(nil, many...), endOfFragment()), "ERROR 4009 1000"},
		{"tags of more than 64 kB", join(header(), cluster(1000, "a"), tag("n", strings.Repeat("v", 65<<10))), "ERROR 4009 0"},
		{"tags without end", join(header(), cluster(1000, "a"), endOfFragment(), bytes.Repeat(tag("AWS_KINESISVIDEO_NOTIFICATION", ""), 2000)), "ERROR 4009 0"},
		{"long tag name", join(header(), cluster(1000, "a"), tag(strings.Repeat("n", 129), "v"), endOfFragment()), "ERROR 4009 0"},
		{"long tag value", join(header(), cluster(1000, "a"), endOfFragment(), tag("n", strings.Repeat("v", 257)), cluster(2000, "a")), "ERROR 4009 0"},
		{"tag name of the service", join(header(), cluster(1000, "a"), tag("AWS_X", "v"), endOfFragment()), "ERROR 4009 0"},
		{"track that was not declared", join(header(), mkv.AppendSimpleBlock(cluster(1000, "a"), 2, 0, true, nil)), "ERROR 4010 1000"},
		{"track without frames", join(header(videoTrack, audioTrack), cluster(1000, "a")), "ERROR 4011 1000"},
		{"empty fragment", join(header(), cluster(1000)), "ERROR 4011 1000"},
		{"four tracks", join(header(fourTracks...), cluster(1000, "a")), "ERROR 4012 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.create("s", 1)
			acks := w.putAll("s", tc.body)
			if got := acks[len(acks)-1]; got != tc.want {
				t.Errorf("last ack %q, want %q (of %q)", got, tc.want, acks)
			}
		})
	}
}

func TestWholeFragmentBeforeGarbageIsKept(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	wantAcks(t, w.putAll("s", header(), sizedCluster(1000, "a"), []byte{0, 0}),
		"BUFFERING 1000", "RECEIVED 1000", "PERSISTED 1000", "ERROR 4006 0")
}

func TestGarbageIsRefusedBeforeMoreComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		begun := time.Now()
		p := w.put("s").send([]byte{0x42}) // the tail of a frame, from the connection before
		if err := <-p.done; err != nil {
			t.Fatal(err)
		}
		wantAcks(t, p.acks.brief(), "ERROR 4006 0")
		if waited := time.Since(begun); waited > 0 {
			t.Fatalf("refused after %v", waited)
		}
	})
}

func TestSilentConnectionGetsIdleAndIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		begun := time.Now()
		p := w.put("s").send(header(), cluster(1, "a"))
		if err := <-p.done; err != nil {
			t.Fatal(err)
		}
		wantAcks(t, p.acks.brief(), "BUFFERING 1", "IDLE", "IDLE", "IDLE", "IDLE", "IDLE")
		if d := time.Since(begun); d != 30*time.Second {
			t.Fatalf("closed after %v", d)
		}
		if n := len(w.list("s")); n != 0 {
			t.Fatalf("%d fragments of a connection that ended in the middle of one", n)
		}
	})
}

func TestSilenceCompletesAClusterOfKnownSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		p := w.put("s").send(header(), sizedCluster(1, "a"))
		time.Sleep(idleAfter)
		synctest.Wait()
		wantAcks(t, p.acks.brief(), "BUFFERING 1", "RECEIVED 1", "PERSISTED 1", "IDLE")
		_ = p.end()
	})
}

func TestConnectionEndsAfter45Minutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		p := w.put("s").send(header())
		timecode := uint64(1000)
		for done := false; !done; timecode += 10_000 {
			p.send(cluster(timecode, "a"))
			select {
			case err := <-p.done:
				if err != nil {
					t.Fatal(err)
				}
				done = true
			case <-time.After(10 * time.Second):
			}
		}
		acks := p.acks.brief()
		if got := acks[len(acks)-1]; got != "ERROR 4003 0" {
			t.Fatalf("last ack %q", got)
		}
		if n := len(w.list("s")); n < 268 || n > 270 {
			t.Fatalf("%d fragments in 45 minutes", n)
		}
	})
}

func TestNewConnectionSupersedesTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		old := w.put("s").send(header(), cluster(1000, "a"), cluster(3000, "b"))
		synctest.Wait()
		young := w.put("s")
		if err := <-old.done; !errors.Is(err, errSuperseded) {
			t.Fatalf("old connection: %v", err)
		}
		young.send(header(), cluster(3000, "b"))
		if err := young.end(); err != nil {
			t.Fatal(err)
		}
		wantAcks(t, old.acks.brief(), "BUFFERING 1000", "RECEIVED 1000", "PERSISTED 1000", "BUFFERING 3000")
		wantAcks(t, young.acks.brief(), "BUFFERING 3000", "RECEIVED 3000", "PERSISTED 3000")
		if got := w.list("s"); len(got) != 2 || got[1] != young.acks.numbers("PERSISTED")[0] {
			t.Fatalf("listed: %v", got)
		}
	})
}

func TestPartialFragmentOfALostConnectionIsDiscarded(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	p := w.put("s").send(header(), cluster(1000, "a"), cluster(3000, "b"))
	if err := p.drop(); err == nil {
		t.Fatal("a lost connection ended well")
	}
	wantAcks(t, p.acks.brief(), "BUFFERING 1000", "RECEIVED 1000", "PERSISTED 1000", "BUFFERING 3000")
	if got := w.list("s"); len(got) != 1 {
		t.Fatalf("listed: %v", got)
	}
}

func TestFragmentsMaySentAgainAndLater(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	first := w.put("s").send(header(), cluster(5000, "a"))
	if err := first.end(); err != nil {
		t.Fatal(err)
	}
	again := w.put("s").send(header(), cluster(5000, "a"))
	if err := again.end(); err != nil {
		t.Fatal(err)
	}
	backfill := w.put("s").send(header(), cluster(1000, "z"))
	if err := backfill.end(); err != nil {
		t.Fatal(err)
	}
	numbers := append(append(first.acks.numbers("PERSISTED"), again.acks.numbers("PERSISTED")...), backfill.acks.numbers("PERSISTED")...)
	if len(numbers) != 3 || numbers[0] >= numbers[1] || numbers[1] >= numbers[2] {
		t.Fatalf("numbers do not ascend: %v", numbers)
	}
}

func TestFramesShownOutOfOrderAreNoViolation(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	first := mkv.AppendSimpleBlock(cluster(1000, "i"), 1, 120, false, []byte("p"))
	first = mkv.AppendSimpleBlock(first, 1, 40, false, []byte("b"))
	second := mkv.AppendSimpleBlock(cluster(1200, "i"), 1, -120, false, []byte("leading b"))
	wantAcks(t, w.putAll("s", header(), first, second),
		"BUFFERING 1000", "RECEIVED 1000", "PERSISTED 1000", "BUFFERING 1200", "RECEIVED 1200", "PERSISTED 1200")
}

func TestRelativeTimecodesCountFromTheStart(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	in := &mediaapi.PutMediaInput{StreamName: ptr("s"), TimecodeType: mediaapi.FragmentTimecodeTypeRelative}
	err := w.PutMedia(w.as(camera), in)
	var invalid *kvapi.InvalidArgumentException
	if !errors.As(err, &invalid) {
		t.Fatalf("without a start: %v", err)
	}
	in.ProducerStartTimestamp = ptr(time.UnixMilli(1_700_000_000_000))
	p := w.putAs(camera, in).send(header(), cluster(1500, "a"))
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	wantAcks(t, p.acks.brief(), "BUFFERING 1500", "RECEIVED 1500", "PERSISTED 1500")
	if got := w.fragments("s", nil)[0].ProducerTimestamp.UnixMilli(); got != 1_700_000_001_500 {
		t.Fatalf("producer timestamp %d", got)
	}
}

func TestKeyErrorsHaveTheirAcks(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int
	}{
		{&access.Denied{Message: "no"}, 4500},
		{&kmsapi.DisabledException{}, 4501},
		{&kmsapi.InvalidArnException{}, 4502},
		{&kmsapi.KeyUnavailableException{}, 4503},
		{&kmsapi.InvalidKeyUsageException{}, 4504},
		{&kmsapi.KMSInvalidStateException{}, 4505},
		{&kmsapi.NotFoundException{}, 4506},
	} {
		w := newWorld(t)
		w.create("s", 1)
		w.kms.Fail(testKey, tc.err)
		wantAcks(t, w.putAll("s", header(), cluster(1000, "a")), fmt.Sprintf("ERROR %d 1000", tc.want))
		w.kms.Fail(testKey, nil)
		wantAcks(t, w.putAll("s", header(), cluster(1000, "a")), "BUFFERING 1000", "RECEIVED 1000", "PERSISTED 1000")
	}
}

func TestFaultOfTheServerCutsTheConnectionWithoutAnAck(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	w.kms.Fail(testKey, errors.New("disk on fire"))
	p := w.put("s").send(header(), cluster(1000, "a"))
	if err := p.end(); err == nil {
		t.Fatal("ended well")
	}
	wantAcks(t, p.acks.brief())
}

func TestDisabledKeyStopsWritingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		p := w.put("s").send(header(), cluster(1000, "a"), cluster(3000, "b"))
		synctest.Wait()
		w.kms.Disable(testKey)
		time.Sleep(200 * time.Millisecond)
		p.send(mkv.AppendSimpleBlock(nil, 1, 200, false, []byte("c")))
		if err := <-p.done; err != nil {
			t.Fatal(err)
		}
		acks := p.acks.brief()
		wantAcks(t, acks[3:], "BUFFERING 3000", "ERROR 4501 3000")
		if got := w.list("s"); len(got) != 1 {
			t.Fatalf("listed: %v", got)
		}
	})
}

func TestWithdrawnPermissionStopsWritingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		p := w.put("s").send(header(), cluster(1000, "a"))
		synctest.Wait()
		w.auth.refuseAction("PutMedia")
		time.Sleep(200 * time.Millisecond)
		p.send(mkv.AppendSimpleBlock(nil, 1, 200, false, []byte("c")))
		err := <-p.done
		var denied *access.Denied
		if !errors.As(err, &denied) {
			t.Fatalf("put media: %v", err)
		}
		wantAcks(t, p.acks.brief(), "BUFFERING 1000")
	})
}

func TestDeletedStreamStopsWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		arn := w.create("s", 1)
		p := w.put("s").send(header(), cluster(1000, "a"))
		synctest.Wait()
		if _, err := w.DeleteStream(w.as(camera), &kvapi.DeleteStreamInput{StreamARN: &arn}); err != nil {
			t.Fatal(err)
		}
		if err := <-p.done; err != nil {
			t.Fatal(err)
		}
		wantAcks(t, p.acks.brief(), "BUFFERING 1000", "ERROR 4008 0")
	})
}

func TestDataKeyChangesAtAFragment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		p := w.put("s").send(header())
		for i := range uint64(60) {
			p.send(cluster(1000+10_000*i, "a"))
			time.Sleep(10 * time.Second)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		if n := w.kms.Calls("GenerateDataKey"); n != 3 {
			t.Fatalf("%d data keys in ten minutes", n)
		}
		media := w.readAll("s")
		if len(media) != 60 {
			t.Fatalf("%d fragments are read", len(media))
		}
	})
}

func TestNothingIsStoredInTheClear(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	w.putAll("s", header(), tag("secretname", "secret tag"), cluster(1000, "secret frame"))
	for _, secret := range []string{"secret title", "secret codec private", "secret tag", "secret frame"} {
		if w.stores(secret) {
			t.Errorf("%q is stored in the clear", secret)
		}
	}
	if !w.stores(testKey) {
		t.Error("the search does not find what is there")
	}
	if got := w.readAll("s"); len(got) != 1 || got[0].blocks[0] != "secret frame" || got[0].tags["secretname"] != "secret tag" {
		t.Errorf("read: %v", got)
	}
}

func TestLargeHeaderIsKept(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	track := videoTrack
	track.CodecPrivate = bytes.Repeat([]byte("p"), 300_000)
	h := header(track)
	w.putAll("s", h, cluster(1000, "a"), cluster(2000, "b"))
	want := h[len(mkv.AppendPreamble(nil)):]
	if n := bytes.Count(w.readBytes("s"), want); n != 2 {
		t.Fatalf("the header was sent %d times for 2 fragments", n)
	}
}

func TestUnknownStreamAndPermissionAreToldBeforeTheStatus(t *testing.T) {
	w := newWorld(t)
	p := w.put("none")
	err := <-p.done
	var missing *kvapi.ResourceNotFoundException
	if !errors.As(err, &missing) || p.acks.started {
		t.Fatalf("%v", err)
	}
	w.auth.refuseAction("PutMedia")
	p = w.put("none")
	var denied *access.Denied
	if err := <-p.done; !errors.As(err, &denied) || p.acks.started {
		t.Fatalf("%v", err)
	}
}

func TestCloseEndsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		p := w.put("s").send(header(), cluster(1000, "a"))
		g := w.get("s", earliest())
		synctest.Wait()
		_ = w.Service.Close()
		if err := <-p.done; !errors.Is(err, errClosing) {
			t.Errorf("put: %v", err)
		}
		if err := <-g.done; err != nil {
			t.Errorf("get: %v", err)
		}
	})
}

func FuzzPutMedia(f *testing.F) {
	f.Add(join(header(), cluster(0, "a"), tag("n", "v"), endOfFragment(), sizedCluster(2000, "b")))
	f.Add(join(header(videoTrack, audioTrack), cluster(0, "a")))
	f.Add([]byte{0x1A, 0x45, 0xDF, 0xA3})
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newWorld(t)
		w.create("s", 1)
		p := w.put("s").send(body)
		if err := p.end(); err != nil {
			t.Fatalf("hostile media is no fault of the server: %v", err)
		}
		if got, want := len(w.readAll("s")), len(p.acks.numbers("PERSISTED")); got != want {
			t.Fatalf("%d fragments are read, %d were acknowledged", got, want)
		}
	})
}

func TestConnectionMayBreakAtAnyByte(t *testing.T) {
	clusters := [][]byte{cluster(1000, "a", "b"), sizedCluster(2000, "c"), cluster(3000, "d")}
	body := join(header(), clusters[0], endOfFragment(), clusters[1], clusters[2])
	for cut := range len(body) + 1 {
		for _, lost := range []bool{true, false} {
			w := newWorld(t)
			w.create("s", 1)
			p := w.put("s").send(body[:cut])
			if lost {
				_ = p.drop()
			} else if err := p.end(); err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			kept := p.acks.numbers("PERSISTED")
			if got := w.list("s"); fmt.Sprint(got) != fmt.Sprint(kept) {
				t.Fatalf("cut at %d: listed %v, persisted %v", cut, got, kept)
			}
			media := w.readBytes("s")
			for i := range kept {
				// Of the last one it is what came before the end, if the producer ended it there.
				begin := bytes.Index(body, clusters[i])
				want := body[begin:min(begin+len(clusters[i]), cut)]
				if lost && len(want) < len(clusters[i]) {
					t.Fatalf("cut at %d: fragment %d is kept and is not whole", cut, i)
				}
				if !bytes.Contains(media, want) {
					t.Fatalf("cut at %d: fragment %d is not what was sent", cut, i)
				}
			}
			// The producer comes again with what was not persisted.
			again := w.put("s").send(join(header(), join(clusters[min(len(kept), 2):]...)))
			if err := again.end(); err != nil {
				t.Fatal(err)
			}
			if n := len(w.list("s")); n < 3 {
				t.Fatalf("cut at %d: %d fragments in the end", cut, n)
			}
			w.close()
		}
	}
}
