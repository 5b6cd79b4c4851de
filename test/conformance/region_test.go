// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	cloudtrailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/conformance/kit"
	"github.com/obscura-video/obscura/test/rig"
)

const ireland = "eu-west-1"

// in is AWS's client for another Region; nothing else is different.
func (w *world) in(region string, c sigv4.Credentials) *clients {
	config := w.V2(c)
	config.Region = region
	return &clients{ctx: w.t.Context(), creds: c, kms: kms.NewFromConfig(config), sts: sts.NewFromConfig(config), video: kinesisvideo.NewFromConfig(config)}
}

func regionSteps() []step {
	return []step{
		{action: "kms:ReplicateKey", needs: []string{"kms:CreateKey", "kms:TagResource"}, call: func(w *world, c *clients) error {
			in := &kms.ReplicateKeyInput{KeyId: w.s("mrk"), ReplicaRegion: aws.String(ireland), Tags: []types.Tag{{TagKey: aws.String("k"), TagValue: aws.String("v")}}}
			return run(c, c.kms.ReplicateKey, in, func(o *kms.ReplicateKeyOutput) {
				w.equal("replica", *o.ReplicaKeyMetadata.Arn, "arn:aws:kms:eu-west-1:000000000000:key/"+w.id["mrk"])
				w.equal("tags", len(o.ReplicaTags), 1)
			})
		}},
		{action: "kms:UpdatePrimaryRegion", call: func(w *world, c *clients) error {
			return run(c, c.kms.UpdatePrimaryRegion, &kms.UpdatePrimaryRegionInput{KeyId: w.s("mrk"), PrimaryRegion: aws.String(ireland)})
		}},
		{action: "kms:DescribeKey", call: func(w *world, c *clients) error {
			return run(c, c.kms.DescribeKey, &kms.DescribeKeyInput{KeyId: w.s("mrk")}, func(o *kms.DescribeKeyOutput) {
				m := o.KeyMetadata.MultiRegionConfiguration
				w.equal("type", m.MultiRegionKeyType, types.MultiRegionKeyTypeReplica)
				w.equal("primary", *m.PrimaryKey.Region, ireland)
				w.equal("replicas", *m.ReplicaKeys[0].Arn, "arn:aws:kms:us-east-1:000000000000:key/"+w.id["mrk"])
			})
		}},
	}
}

// TestMultiRegionKeys: two Regions of one server, told apart by what a client signs for, with keys that open each
// other's ciphertexts.
func TestMultiRegionKeys(t *testing.T) {
	t.Parallel()
	w := worldOf(t, rig.Start(t, func(c *server.Config) { c.KMSRegions = []string{ireland} }))
	home, there := w.root, w.in(ireland, w.Root)
	create := &kms.CreateKeyInput{MultiRegion: aws.Bool(true)}
	if err := run(home, home.kms.CreateKey, create, func(o *kms.CreateKeyOutput) { w.keep("mrk", o.KeyMetadata.KeyId) }); err != nil {
		t.Fatal(err)
	}
	w.walk(regionSteps())

	open := func(c *clients, blob []byte) error {
		return run(c, c.kms.Decrypt, &kms.DecryptInput{CiphertextBlob: blob}, func(o *kms.DecryptOutput) { w.equal("plaintext", bytes.Equal(o.Plaintext, plaintext), true) })
	}
	for _, pair := range [][2]*clients{{home, there}, {there, home}} {
		from, to := pair[0], pair[1]
		var blob []byte
		wantCode(t, run(from, from.kms.Encrypt, &kms.EncryptInput{KeyId: w.s("mrk"), Plaintext: plaintext}, func(o *kms.EncryptOutput) { blob = o.CiphertextBlob }), "")
		wantCode(t, open(to, blob), "")
	}
	wantModelled(t, run(home, home.kms.RotateKeyOnDemand, &kms.RotateKeyOnDemandInput{KeyId: w.s("mrk")}), "UnsupportedOperationException")
	wantCode(t, run(there, there.kms.RotateKeyOnDemand, &kms.RotateKeyOnDemandInput{KeyId: w.s("mrk")}), "")
	wantModelled(t, run(there, there.kms.ReplicateKey, &kms.ReplicateKeyInput{KeyId: w.s("mrk"), ReplicaRegion: aws.String("us-east-1")}), "AlreadyExistsException")
	wantModelled(t, run(there, there.kms.UpdatePrimaryRegion, &kms.UpdatePrimaryRegionInput{KeyId: w.s("mrk"), PrimaryRegion: aws.String("ap-south-1")}), "NotFoundException")
	wantCode(t, run(there, there.kms.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: w.s("mrk")}, func(o *kms.ScheduleKeyDeletionOutput) {
		w.equal("state", o.KeyState, types.KeyStatePendingReplicaDeletion)
	}), "")

	// A policy can go by the Region that was asked.
	w.Permit(t, "worker", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}}}`)
	list := func(c *clients) error { return run(c, c.kms.ListKeys, &kms.ListKeysInput{}) }
	worker := w.in(ireland, w.worker.creds)
	wantCode(t, list(worker), "")
	wantDenied(t, list(w.worker), "is not authorized to perform: kms:ListKeys")

	// What is not in the other Region is refused as elsewhere; IAM and STS are everywhere.
	wantCode(t, run(there, there.sts.GetCallerIdentity, &sts.GetCallerIdentityInput{}), "")
	if code, message := kit.CodeOf(run(there, there.video.ListStreams, &kinesisvideo.ListStreamsInput{})); code != "InvalidSignatureException" && code != "NotAuthorizedException" || !strings.Contains(message, "valid region") {
		t.Errorf("streams there: %s: %s", code, message)
	}
	other := w.in("ap-south-1", w.Root)
	if code, message := kit.CodeOf(list(other)); code != "InvalidSignatureException" || !strings.Contains(message, "valid region") {
		t.Errorf("a Region that is not there: %s: %s", code, message)
	}
	w.checkRegionRecord()
}

// checkRegionRecord: each event says in which Region it was.
func (w *world) checkRegionRecord() {
	w.t.Helper()
	for name, want := range map[string][]string{
		"ReplicateKey":              {`"awsRegion":"us-east-1"`, `"arn:aws:kms:eu-west-1:000000000000:key/` + w.id["mrk"]},
		"RotateKeyOnDemand":         {`"awsRegion":"eu-west-1"`},
		"SynchronizeMultiRegionKey": {`"awsRegion":"eu-west-1"`, `"awsRegion":"us-east-1"`, `"type":"AWSService"`},
	} {
		var all strings.Builder
		in := &cloudtrail.LookupEventsInput{LookupAttributes: []cloudtrailtypes.LookupAttribute{{AttributeKey: cloudtrailtypes.LookupAttributeKeyEventName, AttributeValue: aws.String(name)}}}
		wantCode(w.t, run(w.root, w.root.trail.LookupEvents, in, func(o *cloudtrail.LookupEventsOutput) {
			for _, e := range o.Events {
				all.WriteString(*e.CloudTrailEvent)
			}
		}), "")
		for _, text := range want {
			if !strings.Contains(all.String(), text) {
				w.t.Errorf("no event %s has %s in %s", name, text, all.String())
			}
		}
	}
}

// TestRegionWithKeysCannotBeLeftOut: the server does not start without it, and changes nothing.
func TestRegionWithKeysCannotBeLeftOut(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	withRegion := func(c *server.Config) { c.Data, c.KMSRegions = data, []string{ireland} }
	s, stop := rig.Run(t, withRegion)
	w := worldOf(t, s)
	there := w.in(ireland, w.Root)
	wantCode(t, run(there, there.kms.CreateKey, &kms.CreateKeyInput{}, func(o *kms.CreateKeyOutput) { w.keep("key", o.KeyMetadata.KeyId) }), "")
	stop()
	free, off := server.Listener{Listen: "127.0.0.1:0"}, server.Listener{Listen: server.Off}
	_, err := server.Open(t.Context(), server.Config{Data: data, API: free, Media: off, Device: off, Admin: off})
	if err == nil || !strings.Contains(err.Error(), ireland) || !strings.Contains(err.Error(), "--kms-regions") {
		t.Fatalf("opened without it: %v", err)
	}
	s, stop = rig.Run(t, withRegion)
	defer stop()
	w.Server = s
	there = w.in(ireland, s.Root)
	wantCode(t, run(there, there.kms.DescribeKey, &kms.DescribeKeyInput{KeyId: w.s("key")}), "")
}
