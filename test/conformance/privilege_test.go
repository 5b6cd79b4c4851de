// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package conformance

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go/service/kinesisvideomedia"

	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/test/conformance/kit"
	"github.com/obscura-video/obscura/test/rig"
)

// TestLeastPrivilege: the smallest policies that AWS's guides give to a producer and to a consumer suffice, with
// a key of the customer's, and nothing else can be done with them.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := run(w.root, w.root.kms.CreateKey, &kms.CreateKeyInput{}, func(o *kms.CreateKeyOutput) { w.keep("key", o.KeyMetadata.Arn) }); err != nil {
		t.Fatal(err)
	}
	w.id["stream"] = w.createStream("door", kinesisvideo.CreateStreamInput{KmsKeyId: w.s("key")})
	w.createStream("hall", kinesisvideo.CreateStreamInput{KmsKeyId: w.s("key")})
	policy := func(kmsAction string, actions ...string) string {
		quoted := `"kinesisvideo:` + strings.Join(actions, `","kinesisvideo:`) + `"`
		return `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":[` + quoted + `],"Resource":"arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/*"},
			{"Effect":"Allow","Action":"` + kmsAction + `","Resource":"` + w.id["key"] + `",
			 "Condition":{"StringEquals":{"kms:ViaService":"kinesisvideo.us-east-1.amazonaws.com"}}}]}`
	}
	may := map[string][]string{
		"camera": {"DescribeStream", "GetDataEndpoint", "PutMedia"},
		"viewer": {"GetDataEndpoint", "GetMedia", "ListFragments", "GetMediaForFragmentList"},
	}
	callers := map[string]*clients{
		"camera": newClients(t, w.Server, w.User(t, "camera", policy("kms:GenerateDataKey", may["camera"]...))),
		"viewer": newClients(t, w.Server, w.User(t, "viewer", policy("kms:Decrypt", may["viewer"]...))),
	}
	if err := w.putOne(callers["camera"], "door", 1000); err != nil {
		t.Fatal(err)
	}
	if err := w.getOne(callers["viewer"], "door", "EARLIEST"); err != nil {
		t.Fatal(err)
	}
	for name, c := range callers {
		for _, a := range videoOperations(t) {
			got := a.ask(t, w.Server, c.creds)
			if !slices.Contains(may[name], a.op.Name) && (!slices.Contains(denied, got.code) || !strings.Contains(got.message, "is not authorized to perform: "+a.action())) {
				t.Errorf("%s may do %s: %v", name, a.name(), got)
			}
		}
		for stream, err := range map[string]error{
			"put": w.putOne(c, "hall", 1000), "get": w.getOne(c, "hall", "EARLIEST"),
		} {
			if code, _ := kit.CodeOf(err); !slices.Contains(denied, code) {
				t.Errorf("%s may %s another stream: %v", name, stream, err)
			}
		}
		// The key is for use through the service alone.
		wantDenied(t, run(c, c.kms.GenerateDataKey, &kms.GenerateDataKeyInput{KeyId: w.s("key"), NumberOfBytes: aws.Int32(32)}), "is not authorized to perform: kms:GenerateDataKey")
	}
	if err := w.getOne(callers["camera"], "door", "EARLIEST"); err == nil {
		t.Error("the camera may watch")
	}
	if err := w.putOne(callers["viewer"], "door", 2000); err == nil {
		t.Error("the viewer may put")
	}
}

// videoOperations are all of Kinesis Video.
func videoOperations(t *testing.T) (all []asked) {
	for _, service := range apis() {
		if service.SigningName != "kinesisvideo" {
			continue
		}
		for _, op := range service.Operations {
			all = append(all, askedOf(t, op))
		}
	}
	return all
}

// TestManagedKeyIsMadeByItsFirstUse: who creates a stream touches no key; who puts media into it gets the
// AWS-managed one.
func TestManagedKeyIsMadeByItsFirstUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	exists := func() bool {
		found := false
		if err := run(w.root, w.root.kms.ListAliases, &kms.ListAliasesInput{}, func(o *kms.ListAliasesOutput) {
			for _, a := range o.Aliases {
				found = found || *a.AliasName == "alias/aws/kinesisvideo" && a.TargetKeyId != nil
			}
		}); err != nil {
			t.Fatal(err)
		}
		return found
	}
	w.createStream("door", kinesisvideo.CreateStreamInput{})
	if exists() {
		t.Error("there is a key before its first use")
	}
	if err := w.putOne(w.root, "door", 1000); err != nil {
		t.Fatal(err)
	}
	if !exists() {
		t.Error("there is no key after its first use")
	}
	err := run(w.root, w.root.kms.DisableKey, &kms.DisableKeyInput{KeyId: aws.String("alias/aws/kinesisvideo")})
	if err == nil {
		t.Error("the AWS-managed key can be disabled")
	}
}

// upload is a PutMedia that is under way.
type upload struct {
	put    *rig.Put
	stream string
	next   uint64
	size   int // of a frame, in bytes
}

func (w *world) upload(t *testing.T, stream string, size int) *upload {
	t.Helper()
	p, err := w.PutMedia(t.Context(), w.worker.creds, stream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Cut)
	if _, err := p.Write(rig.Header()); err != nil {
		t.Fatal(err)
	}
	return &upload{put: p, stream: stream, size: size}
}

// send sends another fragment and waits until it is durable.
func (u *upload) send() error {
	u.next += 1000
	_, err := u.put.Send(rig.Fragment(u.next, rig.Frames(u.stream, u.next, 3, u.size)))
	return err
}

// TestKeyBitesAtOnce: what is done to a KMS key ends the uploads and the downloads that run with it, with the
// error that says what happened, and nothing is readable until it is undone.
func TestKeyBitesAtOnce(t *testing.T) {
	t.Parallel()
	deny := aws.String(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"` + accountRoot + `"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":"*","Action":["kms:GenerateDataKey*","kms:Decrypt"],"Resource":"*"}]}`)
	allow := aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + accountRoot + `"},"Action":"kms:*","Resource":"*"}]}`)
	for _, tc := range []struct {
		name string
		id   int
		code string
		do   func(w *world, c *clients) error
		undo func(w *world, c *clients) error
	}{
		{"disable", 4501, "KMS_KEY_DISABLED", func(w *world, c *clients) error {
			return run(c, c.kms.DisableKey, &kms.DisableKeyInput{KeyId: w.s("key")})
		}, func(w *world, c *clients) error {
			return run(c, c.kms.EnableKey, &kms.EnableKeyInput{KeyId: w.s("key")})
		}},
		{"deny", 4500, "KMS_KEY_ACCESS_DENIED", func(w *world, c *clients) error {
			return run(c, c.kms.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: w.s("key"), Policy: deny})
		}, func(w *world, c *clients) error {
			return run(c, c.kms.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: w.s("key"), Policy: allow})
		}},
		{"delete", 4505, "KMS_KEY_INVALID_STATE", func(w *world, c *clients) error {
			return run(c, c.kms.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: w.s("key")})
		}, func(w *world, c *clients) error {
			return errors.Join(run(c, c.kms.CancelKeyDeletion, &kms.CancelKeyDeletionInput{KeyId: w.s("key")}),
				run(c, c.kms.EnableKey, &kms.EnableKeyInput{KeyId: w.s("key")}))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Permit(t, "worker", rig.Allow("kinesisvideo:*", "*", "kms:GenerateDataKey", "*"))
			if err := run(w.root, w.root.kms.CreateKey, &kms.CreateKeyInput{}, func(o *kms.CreateKeyOutput) { w.keep("key", o.KeyMetadata.Arn) }); err != nil {
				t.Fatal(err)
			}
			w.createStream("door", kinesisvideo.CreateStreamInput{KmsKeyId: w.s("key")})
			if err := w.putOne(w.worker, "door", 100); err != nil {
				t.Fatal(err)
			}
			const many, size = 24, 256 << 10 // more than fits between server and client
			u := w.upload(t, "door", size)
			for range many {
				if err := u.send(); err != nil {
					t.Fatal(err)
				}
			}
			download, err := w.root.media.GetMediaWithContext(t.Context(), &kinesisvideomedia.GetMediaInput{
				StreamName: aws.String("door"), StartSelector: &kinesisvideomedia.StartSelector{StartSelectorType: aws.String("EARLIEST")},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer download.Payload.Close()
			if _, err := io.CopyN(io.Discard, download.Payload, 1); err != nil {
				t.Fatal(err)
			}
			if err := tc.do(w, w.root); err != nil {
				t.Fatal(err)
			}
			err = u.send()
			ack, ok := errors.AsType[*rig.AckError](err)
			if !ok || ack.ErrorId != tc.id || ack.ErrorCode != tc.code {
				t.Errorf("PutMedia: got %v, want %d %s", err, tc.id, tc.code)
			}
			media, err := io.ReadAll(download.Payload)
			if len(media) > many*3*size*3/4 || err != nil || !strings.Contains(string(media[max(0, len(media)-2000):]), tc.code) {
				t.Errorf("GetMedia went on for %d bytes and ended with %v and no %s", len(media), err, tc.code)
			}
			if err := w.getOne(w.root, "door", "EARLIEST"); err == nil {
				t.Error("footage is readable without its key")
			}
			if err := tc.undo(w, w.root); err != nil {
				t.Fatal(err)
			}
			if err := w.getOne(w.root, "door", "EARLIEST"); err != nil {
				t.Errorf("after it was undone: %v", err)
			}
			if err := w.putOne(w.worker, "door", 100_000); err != nil {
				t.Errorf("after it was undone: %v", err)
			}
		})
	}
}

// TestDeletedStreamEndsItsConnections: an upload into a stream that is deleted is told so.
func TestDeletedStreamEndsItsConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Permit(t, "worker", rig.Allow("*", "*"))
	arn := w.createStream("door", kinesisvideo.CreateStreamInput{})
	u := w.upload(t, "door", 100)
	if err := u.send(); err != nil {
		t.Fatal(err)
	}
	if err := run(w.root, w.root.video.DeleteStream, &kinesisvideo.DeleteStreamInput{StreamARN: &arn}); err != nil {
		t.Fatal(err)
	}
	if ack, ok := errors.AsType[*rig.AckError](u.send()); !ok || ack.ErrorId != 4008 {
		t.Errorf("got %v", ack)
	}
	w.createStream("door", kinesisvideo.CreateStreamInput{})
	if numbers, err := w.root.listFragments("door"); err != nil || len(numbers) != 0 {
		t.Errorf("a new stream of the same name has %v, %v", numbers, err)
	}
}

// TestWithdrawnPermissionEndsUploads: what a caller may no longer do ends while it is being done.
func TestWithdrawnPermissionEndsUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Permit(t, "worker", rig.Allow("kinesisvideo:PutMedia", "*", "kms:*", "*"))
	w.createStream("door", kinesisvideo.CreateStreamInput{})
	u := w.upload(t, "door", 100)
	if err := u.send(); err != nil {
		t.Fatal(err)
	}
	w.Permit(t, "worker", rig.Allow("kms:*", "*"))
	if err := u.send(); err == nil {
		t.Error("the upload goes on without permission")
	}
	numbers, err := w.root.listFragments("door")
	if err != nil || len(numbers) != 1 {
		t.Errorf("stored %v, %v", numbers, err)
	}
}

// TestRetentionZeroIsReceivedNotPersisted: a stream without retention promises less, and does not lie about it.
func TestRetentionZeroIsReceivedNotPersisted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Permit(t, "worker", rig.Allow("*", "*"))
	w.createStream("buffer", kinesisvideo.CreateStreamInput{DataRetentionInHours: aws.Int32(0)})
	u := w.upload(t, "buffer", 100)
	if _, err := u.put.Write(rig.Fragment(1000, rig.Frames("buffer", 1000, 3, 100))); err != nil {
		t.Fatal(err)
	}
	acks, err := u.put.End()
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, a := range acks {
		kinds = append(kinds, a.EventType)
	}
	if want := []string{mediaapi.AckBuffering, mediaapi.AckReceived}; !slices.Equal(kinds, want) {
		t.Errorf("acks %v, want %v", kinds, want)
	}
	if err := w.getOne(w.root, "buffer", "EARLIEST"); err != nil {
		t.Error(err)
	}
}

// TestAuditKnowsEveryUseOfAKey: the uses of a stream's key by the service are on the record, as the caller's.
func TestAuditKnowsEveryUseOfAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.createStream("door", kinesisvideo.CreateStreamInput{})
	if err := errors.Join(w.putOne(w.root, "door", 1000), w.getOne(w.root, "door", "EARLIEST")); err != nil {
		t.Fatal(err)
	}
	for _, event := range []string{"GenerateDataKey", "CreateStream"} {
		eventually(t, event, func() bool { return len(w.events(t, event)) > 0 })
	}
	for _, e := range w.events(t, "GenerateDataKey") {
		if !strings.Contains(e, `"invokedBy":"kinesisvideo`) {
			t.Errorf("event does not name the service: %s", e)
		}
		if strings.Contains(e, `"plaintext"`) {
			t.Errorf("event holds a plaintext key: %s", e)
		}
	}
}

// events are the records of all calls of an operation.
func (w *world) events(t *testing.T, name string) (records []string) {
	t.Helper()
	in := &cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyEventName, AttributeValue: &name}}}
	if err := run(w.root, w.root.trail.LookupEvents, in, func(o *cloudtrail.LookupEventsOutput) {
		for _, e := range o.Events {
			records = append(records, *e.CloudTrailEvent)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return records
}
