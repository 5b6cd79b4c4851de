// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/meta"
)

func blobRef(name string, size int64) blob.Ref { return blob.Ref{Name: name, Len: size} }

// code is the name of an API error.
func code(err error) string {
	var denied *access.Denied
	if errors.As(err, &denied) {
		return "AccessDenied"
	}
	var e protocol.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func wantCode(t testing.TB, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func (w *world) delete(arn string) {
	w.t.Helper()
	if _, err := w.DeleteStream(w.as(camera), &kvapi.DeleteStreamInput{StreamARN: &arn}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) retain(name, operation string, hours int64) error {
	_, err := w.UpdateDataRetention(w.as(camera), &kvapi.UpdateDataRetentionInput{
		StreamName: ptr(name), CurrentVersion: w.describe(name).Version, Operation: ptr(operation), DataRetentionChangeInHours: ptr(hours),
	})
	return err
}

func TestStreamIsActiveAtOnceAndDescribed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		out, err := w.CreateStream(w.as(camera), &kvapi.CreateStreamInput{
			StreamName: ptr("front-door"), DeviceName: ptr("cam"), MediaType: ptr("video/h264"), DataRetentionInHours: ptr(int64(24)),
		})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		want := fmt.Sprintf("arn:aws:kinesisvideo:us-east-1:000000000000:stream/front-door/%d", now.UnixMilli())
		if *out.StreamARN != want {
			t.Fatalf("ARN %s, want %s", *out.StreamARN, want)
		}
		i := w.describe("front-door")
		if *i.Status != "ACTIVE" || *i.StreamARN != want || *i.DeviceName != "cam" || *i.MediaType != "video/h264" ||
			*i.DataRetentionInHours != 24 || !i.CreationTime.Equal(now) || len(*i.Version) != 20 ||
			*i.KmsKeyId != "arn:aws:kms:us-east-1:000000000000:alias/aws/kinesisvideo" {
			t.Fatalf("%+v", i)
		}
		if n := w.kms.Calls("GenerateDataKey") + w.kms.Calls("Authorize"); n != 0 {
			t.Fatal("CreateStream touched the KMS")
		}
	})
}

func TestStreamErrors(t *testing.T) {
	w := newWorld(t)
	arn := w.create("s", 1)
	ctx := w.as(camera)
	_, err := w.CreateStream(ctx, &kvapi.CreateStreamInput{StreamName: ptr("s")})
	wantCode(t, err, "ResourceInUseException")
	_, err = w.CreateStream(ctx, &kvapi.CreateStreamInput{StreamName: ptr("x"), DataRetentionInHours: ptr(int64(87601))})
	wantCode(t, err, "InvalidArgumentException")
	for _, in := range []kvapi.DescribeStreamInput{
		{},
		{StreamARN: ptr("arn:aws:kinesisvideo:us-east-1:000000000000:channel/s/1")},
		{StreamARN: ptr("arn:aws:kinesisvideo:us-east-1:000000000000:stream/s/x")},
		{StreamARN: ptr("arn:aws:kinesisvideo:eu-west-1:000000000000:stream/s/1")},
		{StreamARN: ptr("arn:aws:kinesisvideo:us-east-1:111111111111:stream/s/1")},
		{StreamARN: &arn, StreamName: ptr("t")},
	} {
		_, err = w.DescribeStream(ctx, &in)
		wantCode(t, err, "InvalidArgumentException")
	}
	for _, in := range []kvapi.DescribeStreamInput{
		{StreamName: ptr("t")},
		{StreamARN: ptr("arn:aws:kinesisvideo:us-east-1:000000000000:stream/s/1")},
	} {
		_, err = w.DescribeStream(ctx, &in)
		wantCode(t, err, "ResourceNotFoundException")
	}
	_, err = w.UpdateStream(ctx, &kvapi.UpdateStreamInput{StreamName: ptr("s"), CurrentVersion: ptr("old"), DeviceName: ptr("d")})
	wantCode(t, err, "VersionMismatchException")
	_, err = w.DeleteStream(ctx, &kvapi.DeleteStreamInput{StreamARN: &arn, CurrentVersion: ptr("old")})
	wantCode(t, err, "VersionMismatchException")
}

func TestVersionChangesAtEachUpdate(t *testing.T) {
	w := newWorld(t)
	arn := w.create("s", 1)
	ctx := w.as(camera)
	seen := map[string]bool{*w.describe("s").Version: true}
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if v := *w.describe("s").Version; seen[v] {
			t.Errorf("%s did not change the version", what)
		} else {
			seen[v] = true
		}
	}
	_, err := w.UpdateStream(ctx, &kvapi.UpdateStreamInput{StreamARN: &arn, CurrentVersion: w.describe("s").Version, MediaType: ptr("video/h265")})
	check("UpdateStream", err)
	check("UpdateDataRetention", w.retain("s", "INCREASE_DATA_RETENTION", 1))
	_, err = w.TagStream(ctx, &kvapi.TagStreamInput{StreamARN: &arn, Tags: map[string]string{"k": "v"}})
	check("TagStream", err)
	_, err = w.UntagStream(ctx, &kvapi.UntagStreamInput{StreamARN: &arn, TagKeyList: []string{"k"}})
	check("UntagStream", err)
	if i := w.describe("s"); *i.MediaType != "video/h265" || *i.DataRetentionInHours != 2 {
		t.Fatalf("%+v", i)
	}
}

func TestExistenceIsNotRevealedToWhoMayNotAsk(t *testing.T) {
	w := newWorld(t)
	arn := w.create("there", 1)
	w.auth.refuse(func(string, access.Request) bool { return true })
	ctx := w.as(viewer)
	for _, name := range []string{"there", "not-there"} {
		_, err := w.DescribeStream(ctx, &kvapi.DescribeStreamInput{StreamName: ptr(name)})
		wantCode(t, err, "AccessDenied")
		_, err = w.GetMedia(ctx, &mediaapi.GetMediaInput{StreamName: ptr(name), StartSelector: earliest()})
		wantCode(t, err, "AccessDenied")
		_, err = w.ListFragments(ctx, &archiveapi.ListFragmentsInput{StreamName: ptr(name)})
		wantCode(t, err, "AccessDenied")
		_, err = w.CreateStream(ctx, &kvapi.CreateStreamInput{StreamName: ptr(name)})
		wantCode(t, err, "AccessDenied")
	}
	_, err := w.DeleteStream(ctx, &kvapi.DeleteStreamInput{StreamARN: &arn})
	wantCode(t, err, "AccessDenied")
	_, err = w.ListStreams(ctx, &kvapi.ListStreamsInput{})
	wantCode(t, err, "AccessDenied")
	_, err = w.DescribeStream(ctx, &kvapi.DescribeStreamInput{})
	wantCode(t, err, "AccessDenied")
}

func TestDecisionsSeeTags(t *testing.T) {
	w := newWorld(t)
	ctx := w.as(camera)
	_, err := w.CreateStream(ctx, &kvapi.CreateStreamInput{StreamName: ptr("s"), Tags: map[string]string{"Room": "garage"}})
	if err != nil {
		t.Fatal(err)
	}
	created := w.auth.asked[len(w.auth.asked)-1]
	if fmt.Sprint(created.Context) != "map[aws:requesttag/room:[garage] aws:tagkeys:[Room]]" || created.Action != "kinesisvideo:CreateStream" {
		t.Errorf("create: %+v", created)
	}
	info := w.describe("s")
	described := w.auth.asked[len(w.auth.asked)-1]
	if fmt.Sprint(described.Context) != "map[aws:resourcetag/room:[garage]]" || described.Resource != *info.StreamARN {
		t.Errorf("describe: %+v", described)
	}
}

func TestListStreamsPagesAndFilters(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"b", "a-2", "..", "a-1", "c", "a-3", "A"} {
		w.create(name, 0)
	}
	list := func(prefix string, limit int64) (names []string) {
		in := &kvapi.ListStreamsInput{MaxResults: &limit}
		if prefix != "" {
			in.StreamNameCondition = &kvapi.StreamNameCondition{ComparisonOperator: ptr("BEGINS_WITH"), ComparisonValue: &prefix}
		}
		for {
			out, err := w.ListStreams(w.as(viewer), in)
			if err != nil {
				t.Fatal(err)
			}
			if len(out.StreamInfoList) > int(limit) {
				t.Fatalf("page of %d", len(out.StreamInfoList))
			}
			for _, i := range out.StreamInfoList {
				names = append(names, *i.StreamName)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return names
			}
		}
	}
	for _, limit := range []int64{1, 2, 3, 100} {
		if got := strings.Join(list("", limit), " "); got != ".. A a-1 a-2 a-3 b c" {
			t.Errorf("all by %d: %s", limit, got)
		}
		if got := strings.Join(list("a-", limit), " "); got != "a-1 a-2 a-3" {
			t.Errorf("a- by %d: %s", limit, got)
		}
	}
	_, err := w.ListStreams(w.as(viewer), &kvapi.ListStreamsInput{NextToken: ptr("?")})
	wantCode(t, err, "InvalidArgumentException")
}

func TestNamesCannotLeaveTheirPlace(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"..", ".", "...", "-", strings.Repeat("n", 256)} {
		arn := w.create(name, 1)
		w.putAll(name, header(), cluster(1000, name))
		if got := w.readAll(name); len(got) != 1 || got[0].blocks[0] != name {
			t.Errorf("%q: %v", name, got)
		}
		w.delete(arn)
	}
}

func TestDataEndpointIsTheListenersOwn(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	for api, want := range map[string]string{
		"PUT_MEDIA": "https://media:8444", "GET_MEDIA": "https://media:8444", "LIST_FRAGMENTS": "https://api:8443",
		"GET_MEDIA_FOR_FRAGMENT_LIST": "https://api:8443", "GET_HLS_STREAMING_SESSION_URL": "https://api:8443", "GET_CLIP": "https://api:8443",
	} {
		out, err := w.GetDataEndpoint(w.as(viewer), &kvapi.GetDataEndpointInput{StreamName: ptr("s"), APIName: ptr(api)})
		if err != nil || *out.DataEndpoint != want {
			t.Errorf("%s: %v, %v", api, out, err)
		}
	}
}

func TestTags(t *testing.T) {
	w := newWorld(t)
	arn := w.create("s", 1)
	ctx := w.as(camera)
	_, err := w.TagStream(ctx, &kvapi.TagStreamInput{StreamName: ptr("s"), Tags: map[string]string{"a": "1", "b": "2"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.TagResource(ctx, &kvapi.TagResourceInput{ResourceARN: &arn, Tags: []*kvapi.Tag{{Key: ptr("b"), Value: ptr("3")}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.UntagResource(ctx, &kvapi.UntagResourceInput{ResourceARN: &arn, TagKeyList: []string{"a", "none"}})
	if err != nil {
		t.Fatal(err)
	}
	byName, err := w.ListTagsForStream(ctx, &kvapi.ListTagsForStreamInput{StreamName: ptr("s")})
	if err != nil || fmt.Sprint(byName.Tags) != "map[b:3]" {
		t.Fatalf("%v, %v", byName, err)
	}
	byARN, err := w.ListTagsForResource(ctx, &kvapi.ListTagsForResourceInput{ResourceARN: &arn})
	if err != nil || fmt.Sprint(byARN.Tags) != "map[b:3]" {
		t.Fatalf("%v, %v", byARN, err)
	}
	many := map[string]string{}
	for i := range 50 {
		many[fmt.Sprint("k", i)] = ""
	}
	_, err = w.TagStream(ctx, &kvapi.TagStreamInput{StreamName: ptr("s"), Tags: many})
	wantCode(t, err, "TagsPerResourceExceededLimitException")
	_, err = w.TagStream(ctx, &kvapi.TagStreamInput{StreamARN: ptr("arn:aws:kinesisvideo:us-east-1:123456789012:channel/s/1"), Tags: map[string]string{"a": "1"}})
	wantCode(t, err, "InvalidResourceFormatException")
	_, err = w.TagStream(ctx, &kvapi.TagStreamInput{StreamName: ptr("s"), Tags: map[string]string{"AWS:x": "1"}})
	wantCode(t, err, "InvalidArgumentException")
}

func TestConfigurationsAreDescribedAsStored(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	w.create("none", 0)
	ctx := w.as(camera)
	images := &kvapi.ImageGenerationConfiguration{Status: ptr("ENABLED"), Format: ptr("JPEG")}
	_, err := w.UpdateImageGenerationConfiguration(ctx, &kvapi.UpdateImageGenerationConfigurationInput{StreamName: ptr("s"), ImageGenerationConfiguration: images})
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.DescribeImageGenerationConfiguration(ctx, &kvapi.DescribeImageGenerationConfigurationInput{StreamName: ptr("s")})
	if err != nil || *out.ImageGenerationConfiguration.Format != "JPEG" {
		t.Fatalf("%v, %v", out, err)
	}
	_, err = w.UpdateImageGenerationConfiguration(ctx, &kvapi.UpdateImageGenerationConfigurationInput{StreamName: ptr("none"), ImageGenerationConfiguration: images})
	wantCode(t, err, "NoDataRetentionException")
	_, err = w.UpdateNotificationConfiguration(ctx, &kvapi.UpdateNotificationConfigurationInput{StreamName: ptr("none")})
	wantCode(t, err, "NoDataRetentionException")
	_, err = w.UpdateStreamStorageConfiguration(ctx, &kvapi.UpdateStreamStorageConfigurationInput{
		StreamName: ptr("s"), CurrentVersion: w.describe("s").Version, StreamStorageConfiguration: &kvapi.StreamStorageConfiguration{DefaultStorageTier: ptr("WARM")},
	})
	if err != nil {
		t.Fatal(err)
	}
	tier, err := w.DescribeStreamStorageConfiguration(ctx, &kvapi.DescribeStreamStorageConfigurationInput{StreamName: ptr("s")})
	if err != nil || *tier.StreamStorageConfiguration.DefaultStorageTier != "WARM" {
		t.Fatalf("%v, %v", tier, err)
	}
}

func TestRetentionIsADeltaWithinItsRange(t *testing.T) {
	w := newWorld(t)
	w.create("s", 2)
	const up, down = "INCREASE_DATA_RETENTION", "DECREASE_DATA_RETENTION"
	for _, tc := range []struct {
		operation string
		hours     int64
		code      string
		want      int64
	}{
		{down, 3, "InvalidArgumentException", 2},
		{up, 87599, "InvalidArgumentException", 2},
		{up, 1<<63 - 1, "InvalidArgumentException", 2},
		{down, 1<<63 - 1, "InvalidArgumentException", 2},
		{up, 87598, "<nil>", 87600},
		{down, 87600, "<nil>", 0},
		{up, 24, "<nil>", 24},
	} {
		wantCode(t, w.retain("s", tc.operation, tc.hours), tc.code)
		if got := *w.describe("s").DataRetentionInHours; got != tc.want {
			t.Errorf("%s %d: retention %d, want %d", tc.operation, tc.hours, got, tc.want)
		}
	}
}

func TestRetentionDeletesWhatIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 3)
		put := func(timecode uint64) string {
			p := w.put("s").send(header(), cluster(timecode, "a"))
			if err := p.end(); err != nil {
				t.Fatal(err)
			}
			return p.acks.numbers("PERSISTED")[0]
		}
		var n []string
		for i := range uint64(3) {
			n = append(n, put(1000+i))
			time.Sleep(50 * time.Minute)
		}
		want := func(when string, want ...string) {
			t.Helper()
			if got := w.list("s"); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %v, want %v", when, got, want)
			}
		}
		sweep := func() {
			t.Helper()
			if err := w.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		sweep()
		want("within three hours", n...)
		if err := w.retain("s", "DECREASE_DATA_RETENTION", 1); err != nil {
			t.Fatal(err)
		}
		want("with two hours", n[1:]...)
		if err := w.retain("s", "INCREASE_DATA_RETENTION", 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Minute)
		sweep()
		want("with three hours again", n[2])
		if media := w.readAll("s"); len(media) != 1 || media[0].number != n[2] {
			t.Errorf("what is left is not readable: %+v", media)
		}
		if keys, headers := w.rows("dk"), w.rows("kv", rowHeader); keys != 1 || headers != 1 {
			t.Errorf("%d data keys and %d headers for one fragment", keys, headers)
		}
		time.Sleep(2 * time.Hour)
		sweep()
		want("after all that")
		if media := put(5000); media == "" || len(w.readAll("s")) != 1 {
			t.Error("the stream is not usable any more")
		}
	})
}

// rows counts the rows of a key prefix in the archive.
func (w *world) rows(space string, parts ...any) (n int) {
	prefix := meta.Key(space, parts...)
	_ = w.db.View(w.as(""), func(r meta.Reader) error {
		for range r.Scan(prefix, meta.PrefixEnd(prefix)) {
			n++
		}
		return nil
	})
	return n
}

func TestBufferWithoutRetentionKeepsFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 0)
		p := w.put("s").send(header())
		for i := range uint64(60) {
			p.send(cluster(1000+10_000*i, "a"))
			time.Sleep(10 * time.Second)
		}
		if n := len(w.list("s")); n < 29 || n > 31 {
			t.Errorf("%d fragments of 10 s in the buffer", n)
		}
		if len(w.readAll("s")) == 0 {
			t.Error("the buffer is not readable")
		}
		_ = p.end()
		time.Sleep(5*time.Minute + time.Second)
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(w.list("s")); n != 0 {
			t.Errorf("%d fragments after five minutes", n)
		}
		if w.rows("dk") != 0 || w.rows("j") != 0 {
			t.Error("the archive holds something of a stream without retention")
		}
	})
}

func TestRetentionCanComeAndGoWhileMediaFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("s", 0)
		p := w.put("s").send(header(), cluster(1000, "a"), endOfFragment())
		g := w.get("s", earliest())
		synctest.Wait()
		if err := w.retain("s", "INCREASE_DATA_RETENTION", 1); err != nil {
			t.Fatal(err)
		}
		if err := <-g.done; err != nil {
			t.Fatalf("consumer: %v", err)
		}
		p.send(cluster(3000, "b"), endOfFragment())
		synctest.Wait()
		last := parseMedia(t, g.bytes())
		token := last[len(last)-1].tags[tagContinuationToken]
		resumed := w.get("s", &mediaapi.StartSelector{StartSelectorType: ptr("CONTINUATION_TOKEN"), ContinuationToken: &token})
		synctest.Wait()
		if got := parseMedia(t, resumed.bytes()); len(got) != 1 || got[0].blocks[0] != "b" || got[0].number <= token {
			t.Fatalf("resumed: %+v", got)
		}
		if err := w.retain("s", "DECREASE_DATA_RETENTION", 1); err != nil {
			t.Fatal(err)
		}
		if err := <-resumed.done; err != nil {
			t.Fatalf("consumer: %v", err)
		}
		p.send(cluster(5000, "c"), endOfFragment())
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		wantAcks(t, p.acks.brief(), "BUFFERING 1000", "RECEIVED 1000", "BUFFERING 3000", "RECEIVED 3000", "PERSISTED 3000", "BUFFERING 5000", "RECEIVED 5000")
		if w.rows("j") != 0 {
			t.Error("fragments are kept without retention")
		}
		numbers := p.acks.numbers("RECEIVED")
		if numbers[0] >= numbers[1] || numbers[1] >= numbers[2] {
			t.Errorf("numbers do not ascend: %v", numbers)
		}
	})
}

func TestDeletedStreamLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		arn := w.create("s", 1)
		w.putAll("s", header(), cluster(1000, "old"))
		if w.rows("dk") == 0 || w.rows("kv", rowHeader) == 0 || w.rows("j") == 0 {
			t.Fatal("the test looks for the wrong rows")
		}
		w.delete(arn)
		if w.rows("dk") != 0 {
			t.Error("the data keys are there when the call has returned")
		}
		synctest.Wait()
		for _, space := range []string{"dk", "kv", "j", "x", "w"} {
			if n := w.rows(space); n != 0 {
				t.Errorf("%d rows of %s are left", n, space)
			}
		}
		_, err := w.DescribeStream(w.as(camera), &kvapi.DescribeStreamInput{StreamName: ptr("s")})
		wantCode(t, err, "ResourceNotFoundException")
		if again := w.create("s", 1); again == arn {
			t.Error("two streams of the same ARN")
		}
		if n := w.list("s"); len(n) != 0 {
			t.Errorf("a new stream has fragments: %v", n)
		}
		_, err = w.DescribeStream(w.as(camera), &kvapi.DescribeStreamInput{StreamARN: &arn})
		wantCode(t, err, "ResourceNotFoundException")
	})
}

func TestSweepFinishesADeletion(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	w.putAll("s", header(), cluster(1000, "a"))
	st, _ := w.loadStream(t.Context(), "s")
	_ = w.db.Update(t.Context(), func(tx meta.Tx) error { // as if the process had died in DeleteStream
		tx.Delete(meta.Key(space, rowStream, "s"))
		tx.Put(meta.Key(space, rowDeleted, st.ID), []byte{})
		return nil
	})
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.rows("dk") != 0 || w.rows("j") != 0 || w.rows("kv", rowDeleted) != 0 || w.rows("kv", rowHeader) != 0 {
		t.Error("something is left")
	}
}

func TestUnbuiltOperationsSaySo(t *testing.T) {
	w := newWorld(t)
	w.create("s", 1)
	_, err := w.GetClip(w.as(viewer), &archiveapi.GetClipInput{StreamName: ptr("s")})
	wantCode(t, err, "NotImplementedException")
	_, err = w.CreateSignalingChannel(w.as(viewer), &kvapi.CreateSignalingChannelInput{})
	wantCode(t, err, "NotImplementedException")
}
