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
	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/media/mkv"
	"github.com/obscura-video/obscura/internal/meta"
)

// fragments lists the fragments of a stream.
func (w *world) fragments(name string, f *archiveapi.FragmentSelector) []*archiveapi.Fragment {
	w.t.Helper()
	out, err := w.ListFragments(w.as(viewer), &archiveapi.ListFragmentsInput{StreamName: ptr(name), FragmentSelector: f})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Fragments
}

// list returns the numbers of the fragments of a stream.
func (w *world) list(name string) (numbers []string) {
	w.t.Helper()
	for _, f := range w.fragments(name, nil) {
		numbers = append(numbers, *f.FragmentNumber)
	}
	return numbers
}

// readBytes returns what GetMediaForFragmentList sends for all fragments of a stream.
func (w *world) readBytes(name string) []byte {
	w.t.Helper()
	numbers := w.list(name)
	if len(numbers) == 0 {
		return nil
	}
	return w.readFragments(name, numbers...)
}

func (w *world) readFragments(name string, numbers ...string) []byte {
	w.t.Helper()
	out, err := w.GetMediaForFragmentList(w.as(viewer), &archiveapi.GetMediaForFragmentListInput{StreamName: ptr(name), Fragments: numbers})
	if err != nil {
		w.t.Fatal(err)
	}
	var s sink
	if err := out.Payload(&s); err != nil {
		w.t.Fatal(err)
	}
	return s.bytes()
}

func (w *world) readAll(name string) []received {
	w.t.Helper()
	return parseMedia(w.t, w.readBytes(name))
}

// stores tells whether text stands anywhere in the archive's stores.
func (w *world) stores(text string) (found bool) {
	_ = w.db.View(w.as(""), func(r meta.Reader) error {
		for kv := range r.Scan(nil, nil) {
			found = found || bytes.Contains(kv.Value, []byte(text)) || bytes.Contains(kv.Key, []byte(text))
		}
		return nil
	})
	bs := w.bytes.Open()
	defer bs.Close()
	for info := range bs.List(w.as(""), "") {
		r, err := bs.Read(w.as(""), blobRef(info.Name, info.Size))
		if err != nil {
			w.t.Fatal(err)
		}
		var b bytes.Buffer
		_, _ = b.ReadFrom(r)
		found = found || bytes.Contains(b.Bytes(), []byte(text))
	}
	return found
}

func TestGetMediaSendsTheBytesThatWereIngested(t *testing.T) {
	preamble := mkv.AppendPreamble(nil)
	head := join(header(videoTrack), tag("inheader", "x"), []byte{0xEC, 0x82, 0, 0}) // Tags and Void
	raw := head[len(preamble):]
	before, after := tag("before", "1"), tag("after", "2")
	for _, tc := range []struct {
		name, want string
		body       []byte
	}{
		{"unknown size", "", join(head, before, cluster(1000, "a", "b"), after, endOfFragment())},
		{"known size", "sized", join(head, before, sizedCluster(1000, "a", "b"), after, endOfFragment())},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.create("s", 1)
				media := cluster(1000, "a", "b")
				if tc.want == "sized" {
					media = sizedCluster(1000, "a", "b")
				}
				live := w.get("s", earliest())
				synctest.Wait()
				sent := time.Now().UnixMilli()
				p := w.put("s").send(tc.body)
				if err := p.end(); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				n := p.acks.numbers("PERSISTED")[0]
				want := join(preamble, raw, before,
					mkv.AppendTags(nil,
						mkv.Tag{Name: "AWS_KINESISVIDEO_FRAGMENT_NUMBER", Value: n},
						mkv.Tag{Name: "AWS_KINESISVIDEO_SERVER_TIMESTAMP", Value: seconds(sent)},
						mkv.Tag{Name: "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", Value: "1.000"}),
					media, after, endOfFragment())
				behind := func(ms string) []byte {
					return mkv.AppendTags(nil,
						mkv.Tag{Name: "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", Value: ms},
						mkv.Tag{Name: "AWS_KINESISVIDEO_CONTINUATION_TOKEN", Value: n})
				}
				if got := live.bytes(); !bytes.Equal(got, join(want, behind("0"))) {
					t.Errorf("live:\n got %q\nwant %q", got, join(want, behind("0")))
				}
				time.Sleep(1500 * time.Millisecond)
				stored := w.get("s", earliest())
				synctest.Wait()
				if got := stored.bytes(); !bytes.Equal(got, join(want, behind("1500"))) {
					t.Errorf("stored:\n got %q\nwant %q", got, join(want, behind("1500")))
				}
				if got := w.readFragments("s", n); !bytes.Equal(got, want) {
					t.Errorf("by list:\n got %q\nwant %q", got, want)
				}
				_, _ = live.stop(), stored.stop()
			})
		})
	}
}

func TestTagsBelongToTheFragmentBeforeOnlyWithTheEndTag(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	w.putAll("s", header(),
		cluster(1000, "a"), tag("t1", "1"), endOfFragment(), tag("t2", "2"),
		cluster(2000, "b"), tag("t3", "3"),
		cluster(3000, "c"), endOfFragment(), tag("t4", "4"), endOfFragment(),
		cluster(4000, "d"))
	media := w.readAll("s")
	want := []string{"t1", "t2", "t3", "t4"}
	for i, f := range media {
		for j, name := range want {
			if _, got := f.tags[name]; got != (i == j) {
				t.Errorf("fragment %d has tag %s: %v", i, name, got)
			}
		}
	}
}

func TestLiveFramesLeaveAsTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, hours := range []int64{1, 0} {
			name := fmt.Sprint("s", hours)
			w.create(name, hours)
			g := w.get(name, from(mediaapi.StartSelectorTypeNow))
			synctest.Wait()
			p := w.put(name).send(header(), cluster(1000, "first"))
			synctest.Wait()
			if got := g.bytes(); !bytes.HasSuffix(got, []byte("first")) {
				t.Fatalf("first frame did not leave: %q", got)
			}
			p.send(mkv.AppendSimpleBlock(nil, 1, 40, false, []byte("second")))
			synctest.Wait()
			if got := g.bytes(); !bytes.HasSuffix(got, []byte("second")) {
				t.Fatalf("second frame did not leave: %q", got)
			}
			p.send(endOfFragment())
			synctest.Wait()
			media := parseMedia(t, g.bytes())
			if len(media) != 1 || !media[0].complete || len(media[0].blocks) != 2 {
				t.Fatalf("got %+v", media)
			}
			_ = p.end()
			_ = g.stop()
		}
	})
}

func TestAbortedLiveFragmentIsEndedCleanly(t *testing.T) {
	void := join([]byte{0xEC, 0x01, 0, 0, 0, 0, 0, 0x11, 0x70}, make([]byte, 0x1170)) // 4464 bytes
	for name, begun := range map[string][]byte{
		"unknown size":         cluster(2000, "lost"),
		"known size":           sizedCluster(2000, "lost", "never")[:len(sizedCluster(2000, "lost", "never"))-len(videoBlocks("never"))],
		"in a Void":            append(cluster(2000, "lost"), void[:2000]...),
		"in a sized Void":      mkv.AppendCluster(nil, 2000, join(videoBlocks("lost"), make([]byte, 40000)))[:40],
		"before the first one": mkv.AppendClusterStart(nil, 2000),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.create("s", 1)
				g := w.get("s", earliest())
				synctest.Wait()
				p := w.put("s").send(header(), cluster(1000, "a"), begun)
				synctest.Wait()
				_ = p.drop()
				w.putAll("s", header(), cluster(2000, "b"))
				synctest.Wait()
				var complete []string
				for _, f := range parseMedia(t, g.bytes()) {
					if f.complete {
						complete = append(complete, f.blocks...)
					}
				}
				if strings.Join(complete, " ") != "a b" {
					t.Fatalf("complete fragments: %q", complete)
				}
				_ = g.stop()
			})
		})
	}
}

func TestLargeElementComesInPieces(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	void := join([]byte{0xEC, 0x01, 0, 0, 0, 0, 0x01, 0x11, 0x70}, make([]byte, 0x11170))
	w.putAll("s", header(), cluster(1000, "a"), void, videoBlocks("z"))
	if got := w.readBytes("s"); !bytes.Contains(got, join(cluster(1000, "a"), void, videoBlocks("z"))) {
		t.Fatal("the cluster is not what was ingested")
	}
}

// threeFragments puts fragments at 10 s, 12 s and 14 s, sent at the same distances.
func (w *world) threeFragments() []string {
	p := w.put("s").send(header())
	for i := range uint64(3) {
		p.send(cluster(10_000+2000*i, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"), endOfFragment())
		time.Sleep(2 * time.Second)
	}
	if err := p.end(); err != nil {
		w.t.Fatal(err)
	}
	return p.acks.numbers("PERSISTED")
}

func TestSelectorsBeginWhereTheySay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		start := time.Now()
		n := w.threeFragments()
		with := func(kind string, set func(*mediaapi.StartSelector)) *mediaapi.StartSelector {
			s := from(kind)
			set(s)
			return s
		}
		at := func(kind string, when time.Time) *mediaapi.StartSelector {
			return with(kind, func(s *mediaapi.StartSelector) { s.StartTimestamp = &when })
		}
		producer := func(ms int64) *mediaapi.StartSelector {
			return at(mediaapi.StartSelectorTypeProducerTimestamp, time.UnixMilli(ms))
		}
		server := func(d time.Duration) *mediaapi.StartSelector {
			return at(mediaapi.StartSelectorTypeServerTimestamp, start.Add(d))
		}
		after := func(number string) *mediaapi.StartSelector {
			return with(mediaapi.StartSelectorTypeFragmentNumber, func(s *mediaapi.StartSelector) { s.AfterFragmentNumber = &number })
		}
		token := func(number string) *mediaapi.StartSelector {
			return with(mediaapi.StartSelectorTypeContinuationToken, func(s *mediaapi.StartSelector) { s.ContinuationToken = &number })
		}
		gone := newNumber(0, start.Add(time.Second)).String()
		for name, tc := range map[string]struct {
			selector *mediaapi.StartSelector
			want     []string
		}{
			"earliest":                {earliest(), n},
			"now":                     {from(mediaapi.StartSelectorTypeNow), n[2:]},
			"after the first":         {after(n[0]), n[1:]},
			"after the last":          {after(n[2]), nil},
			"after one that is gone":  {after(gone), n[1:]},
			"token of the second":     {token(n[1]), n[2:]},
			"producer, exact":         {producer(12_000), n[1:]},
			"producer, inside":        {producer(12_300), n[1:]},
			"producer, in a gap":      {producer(13_000), n[2:]},
			"producer, before":        {producer(0), n},
			"producer, long before":   {producer(-1 << 62), n},
			"producer, after":         {producer(20_000), nil},
			"server, exact":           {server(2 * time.Second), n[1:]},
			"server, inside":          {server(2*time.Second + 100*time.Millisecond), n[1:]},
			"server, in a gap":        {server(3 * time.Second), n[2:]},
			"server, before":          {server(-time.Hour), n},
			"server, after":           {server(time.Hour), nil},
			"server, in the far past": {at(mediaapi.StartSelectorTypeServerTimestamp, time.Unix(-1<<40, 0)), n},
		} {
			g := w.get("s", tc.selector)
			synctest.Wait()
			got := numbersOf(parseMedia(t, g.bytes()))
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("%s: got %v, want %v", name, got, tc.want)
			}
			_ = g.stop()
		}
	})
}

func TestSelectorsAreChecked(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	for _, s := range []*mediaapi.StartSelector{
		from(mediaapi.StartSelectorTypeFragmentNumber),
		from(mediaapi.StartSelectorTypeContinuationToken),
		from(mediaapi.StartSelectorTypeServerTimestamp),
		from(mediaapi.StartSelectorTypeProducerTimestamp),
		{StartSelectorType: ptr(mediaapi.StartSelectorTypeFragmentNumber), AfterFragmentNumber: ptr("1")},
		{StartSelectorType: ptr(mediaapi.StartSelectorTypeContinuationToken), ContinuationToken: ptr("../../etc")},
		{StartSelectorType: ptr(mediaapi.StartSelectorTypeContinuationToken), ContinuationToken: ptr(strings.Repeat("9", 128))},
	} {
		_, err := w.GetMedia(w.as(viewer), &mediaapi.GetMediaInput{StreamName: ptr("s"), StartSelector: s})
		if code(err) != "InvalidArgumentException" {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestFourthConsumerIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		var open []*get
		for range 3 {
			open = append(open, w.get("s", earliest()))
		}
		in := &mediaapi.GetMediaInput{StreamName: ptr("s"), StartSelector: earliest()}
		if _, err := w.GetMedia(w.as(viewer), in); code(err) != "ConnectionLimitExceededException" {
			t.Fatalf("fourth: %v", err)
		}
		_ = open[0].stop()
		synctest.Wait()
		open[0] = w.get("s", earliest())
		for _, g := range open {
			_ = g.stop()
		}
	})
}

func TestConsumerIsToldWhyItsKeyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		g := w.get("s", earliest())
		synctest.Wait()
		p := w.put("s").send(header(), cluster(1000, "a"), cluster(3000, "b"))
		synctest.Wait()
		w.kms.Deny(testKey, viewer, true)
		time.Sleep(200 * time.Millisecond)
		p.send(mkv.AppendSimpleBlock(nil, 1, 200, false, []byte("never seen")))
		if err := <-g.done; err != nil {
			t.Fatal(err)
		}
		media := parseMedia(t, g.bytes())
		last := media[len(media)-1]
		if len(media) != 3 || last.tags[tagErrorID] != "4500" || last.tags[tagErrorCode] != "KMS_KEY_ACCESS_DENIED" {
			t.Fatalf("got %+v", media)
		}
		if last.number != p.acks.numbers("BUFFERING")[1] || last.tags[tagServerTimestamp] != "" || media[1].complete {
			t.Fatalf("got %+v", media)
		}
		if bytes.Contains(g.bytes(), []byte("never seen")) {
			t.Fatal("a frame left after the key was refused")
		}
		if err := p.end(); err != nil { // the producer is another one
			t.Fatal(err)
		}
		again := w.get("s", earliest())
		if err := <-again.done; err != nil {
			t.Fatal(err)
		}
		if media := parseMedia(t, again.bytes()); len(media) != 1 || media[0].tags[tagErrorID] != "4500" || len(media[0].blocks) != 0 {
			t.Fatalf("with a warm cache: %+v", media)
		}
		w.kms.Deny(testKey, viewer, false)
		restored := w.get("s", earliest())
		synctest.Wait()
		if got := numbersOf(parseMedia(t, restored.bytes())); len(got) != 2 {
			t.Fatalf("allowed again: %v", got)
		}
		_ = restored.stop()
	})
}

func TestWithdrawnPermissionStopsReadingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		g := w.get("s", earliest())
		synctest.Wait()
		p := w.put("s").send(header(), cluster(1000, "a"))
		synctest.Wait()
		w.auth.refuseAction("GetMedia")
		time.Sleep(200 * time.Millisecond)
		p.send(mkv.AppendSimpleBlock(nil, 1, 200, false, []byte("never seen")))
		err := <-g.done
		var denied *access.Denied
		if !errors.As(err, &denied) || bytes.Contains(g.bytes(), []byte("never seen")) {
			t.Fatalf("get media: %v", err)
		}
		_ = p.end()
	})
}

// TestWithdrawnPermissionEndsAWait: no media needs to come for a viewer to be refused, neither behind a whole
// fragment nor within one that its producer does not go on with.
func TestWithdrawnPermissionEndsAWait(t *testing.T) {
	withdraw := map[string]func(*world){
		"policy": func(w *world) { w.auth.refuseAction("GetMedia") },
		"key":    func(w *world) { w.kms.Deny(testKey, viewer, true) },
	}
	for what, withdraw := range withdraw {
		for _, whole := range []bool{true, false} {
			t.Run(fmt.Sprint(what, " whole fragment ", whole), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.create("s", 1)
					g := w.get("s", earliest())
					synctest.Wait()
					p := w.put("s").send(header(), cluster(1000, "a"))
					if whole {
						_ = p.end()
					}
					time.Sleep(10 * time.Second)
					select {
					case err := <-g.done:
						t.Fatalf("ended before anything was withdrawn: %v", err)
					default:
					}
					withdraw(w)
					start := time.Now()
					err := <-g.done
					if took := time.Since(start); took > time.Second {
						t.Errorf("ended after %v", took)
					}
					wantEndOfWait(t, what, g, err)
					if !whole {
						_ = p.end()
					}
				})
			})
		}
	}
}

// wantEndOfWait checks that the consumer heard what it hears when media flows.
func wantEndOfWait(t *testing.T, what string, g *get, err error) {
	t.Helper()
	if what == "policy" {
		if denied := (*access.Denied)(nil); !errors.As(err, &denied) {
			t.Errorf("got %v, want a denial", err)
		}
		return
	}
	media := parseMedia(t, g.bytes())
	if last := media[len(media)-1]; err != nil || last.tags[tagErrorCode] != "KMS_KEY_ACCESS_DENIED" {
		t.Errorf("got %v, media %+v", err, media)
	}
}

// TestDeniedViewerOfAnEmptyStreamIsEnded: nothing was read yet, so the policy alone decides.
func TestDeniedViewerOfAnEmptyStreamIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		g := w.get("s", from(mediaapi.StartSelectorTypeNow))
		time.Sleep(10 * time.Second)
		w.auth.refuseAction("GetMedia")
		start := time.Now()
		if err := <-g.done; code(err) != "AccessDenied" || time.Since(start) > time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

func TestConsumerOfADeletedStreamIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		arn := w.create("s", 1)
		w.putAll("s", header(), cluster(1000, "a"))
		g := w.get("s", earliest())
		synctest.Wait()
		w.delete(arn)
		if err := <-g.done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestFragmentsAreSentInTheOrderAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 1)
		n := w.threeFragments()
		media := parseMedia(t, w.readFragments("s", n[2], n[0], n[2]))
		var got []string
		for _, f := range media {
			got = append(got, f.number)
			if f.complete || f.tags[tagServerTimestamp] == "" {
				t.Errorf("tags %v", f.tags)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint([]string{n[2], n[0], n[2]}) {
			t.Fatalf("got %v", got)
		}
		gone := newNumber(7, time.Now()).String()
		media = parseMedia(t, w.readFragments("s", n[1], gone, n[2]))
		if len(media) != 2 || media[1].tags[tagExceptionCode] != "4000" || media[1].number != gone {
			t.Fatalf("got %+v", media)
		}
		w.kms.Disable(testKey)
		media = parseMedia(t, w.readFragments("s", n[1]))
		if len(media) != 1 || media[0].tags[tagExceptionCode] != "4501" || len(media[0].blocks) != 0 {
			t.Fatalf("got %+v", media)
		}
		in := &archiveapi.GetMediaForFragmentListInput{StreamName: ptr("s"), Fragments: []string{"12"}}
		if _, err := w.GetMediaForFragmentList(w.as(viewer), in); code(err) != "InvalidArgumentException" {
			t.Fatalf("malformed number: %v", err)
		}
	})
}

func TestMediaOutlivesTheProcessUnlessThereIsNoRetention(t *testing.T) {
	w := newWorld(t)
	w.create("kept", 1)
	w.create("passing", 0)
	body := join(header(), cluster(1000, "a"))
	w.putAll("kept", body)
	w.putAll("passing", body)
	if n := len(w.readAll("passing")); n != 1 {
		t.Fatalf("%d fragments in the buffer", n)
	}
	first := w.list("passing")[0]
	w.restart()
	if media := w.readAll("kept"); len(media) != 1 || media[0].blocks[0] != "a" {
		t.Fatalf("got %+v", media)
	}
	if n := w.list("passing"); len(n) != 0 {
		t.Fatalf("the buffer outlived the process: %v", n)
	}
	w.putAll("passing", body)
	if second := w.list("passing")[0]; second <= first {
		t.Fatalf("number %s after %s", second, first)
	}
}

func TestSlowConsumerSlowsNobodyAndMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.close()
		w.options.RingEvents = 8
		w.open()
		w.create("s", 1)
		slow := w.getInto(viewer, "s", earliest(), &sink{gate: make(chan struct{})})
		fast := w.get("s", earliest())
		synctest.Wait()
		p := w.put("s").send(header())
		for i := range uint64(20) {
			p.send(cluster(1000+2000*i, "a", "b", "c", "d", "e"))
			synctest.Wait()
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want := p.acks.numbers("PERSISTED")
		if got := numbersOf(parseMedia(t, fast.bytes())); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("fast: got %d, want %d", len(got), len(want))
		}
		close(slow.gate)
		time.Sleep(time.Second)
		synctest.Wait()
		media := parseMedia(t, slow.bytes())
		if got := numbersOf(media); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("slow: got %v, want %v", got, want)
		}
		for _, f := range media {
			if f.complete && strings.Join(f.blocks, "") != "abcde" {
				t.Errorf("fragment %s has blocks %q", f.number, f.blocks)
			}
		}
		_, _ = slow.stop(), fast.stop()
	})
}

func TestDamageIsToldAndNotPassedOver(t *testing.T) {
	for name, damage := range map[string]func(*world){
		"bytes gone": func(w *world) {
			bs := w.bytes.Open()
			for info := range bs.List(w.as(""), "") {
				if err := bs.Delete(w.as(""), info.Name); err != nil {
					w.t.Fatal(err)
				}
			}
		},
		"data key gone": func(w *world) { w.cut("dk") },
		"header gone":   func(w *world) { w.cut("kv", rowHeader) },
		"header altered": func(w *world) {
			prefix := meta.Key("kv", rowHeader)
			_ = w.db.Update(w.as(""), func(tx meta.Tx) error {
				var rows []meta.KV
				for kv := range tx.Scan(prefix, meta.PrefixEnd(prefix)) {
					rows = append(rows, kv)
				}
				for _, kv := range rows {
					kv.Value[len(kv.Value)-1] ^= 1
					tx.Put(kv.Key, kv.Value)
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create("s", 1)
			w.putAll("s", header(), cluster(1000, "a"))
			w.restart() // caches are cold
			damage(w)
			g := w.get("s", earliest())
			if err := <-g.done; err != nil {
				t.Fatal(err)
			}
			media := parseMedia(t, g.bytes())
			if n := len(media); n == 0 || media[n-1].tags[tagErrorID] != "5000" || len(numbersOf(media)) != 0 {
				t.Fatalf("got %+v", media)
			}
		})
	}
}

// cut deletes rows.
func (w *world) cut(space string, parts ...any) {
	prefix := meta.Key(space, parts...)
	_ = w.db.Update(w.as(""), func(tx meta.Tx) error {
		tx.DeleteRange(prefix, meta.PrefixEnd(prefix))
		return nil
	})
}
