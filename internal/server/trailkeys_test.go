// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	trailapi "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// of is the client of another service.
func (w *site) of(service string) protocol.Client {
	c := w.client
	c.Sign = func(r *http.Request, payload []byte) error {
		sigv4.Sign(r, sigv4.HashBody(payload), w.creds, DefaultRegion, service, time.Now())
		return nil
	}
	return c
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*protocol.ResponseError](err); ok {
		return e.Code
	}
	return ""
}

// TestATrailsKeyMustLetCloudTrailUseIt: CreateTrail asks the KMS for the key as the caller, and the key's policy
// whether cloudtrail.amazonaws.com may use it for the very trail.
func TestATrailsKeyMustLetCloudTrailUseIt(t *testing.T) {
	t.Parallel()
	w := start(t, filepath.Join(t.TempDir(), "data"), "")
	keys, trails := kmsapi.NewClient(w.of("kms")), trailapi.NewClient(w.of("cloudtrail"))
	made, err := keys.CreateKey(t.Context(), &kmsapi.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	key := made.KeyMetadata
	signing, err := keys.CreateKey(t.Context(), &kmsapi.CreateKeyInput{KeySpec: ptr("ECC_NIST_P256"), KeyUsage: ptr("SIGN_VERIFY"), Policy: ptr(trailPolicy("other"))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.CreateAlias(t.Context(), &kmsapi.CreateAliasInput{AliasName: ptr("alias/trails"), TargetKeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
	create := func(name, key string) (string, error) {
		out, err := trails.CreateTrail(t.Context(), &trailapi.CreateTrailInput{Name: &name, S3BucketName: ptr("logs"), KmsKeyId: &key})
		if err != nil {
			return "", err
		}
		return *out.KmsKeyId, nil
	}
	if _, err := create("cams", *key.KeyId); codeOf(err) != "InsufficientEncryptionPolicyException" {
		t.Errorf("a key whose policy does not name CloudTrail: %v", err)
	}
	if _, err := keys.PutKeyPolicy(t.Context(), &kmsapi.PutKeyPolicyInput{KeyId: key.KeyId, PolicyName: ptr("default"), Policy: ptr(trailPolicy("cams"))}); err != nil {
		t.Fatal(err)
	}
	if arn, err := create("cams", "alias/trails"); err != nil || arn != *key.Arn {
		t.Errorf("%s, %v", arn, err)
	}
	if _, err := create("more", *key.Arn); codeOf(err) != "InsufficientEncryptionPolicyException" {
		t.Errorf("a key for another trail: %v", err)
	}
	if _, err := create("more", "alias/none"); codeOf(err) != "KmsKeyNotFoundException" {
		t.Errorf("no key: %v", err)
	}
	if _, err := create("other", *signing.KeyMetadata.KeyId); codeOf(err) != "KmsException" {
		t.Errorf("a key that signs: %v", err)
	}
	if _, err := keys.DisableKey(t.Context(), &kmsapi.DisableKeyInput{KeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
	_, err = trails.UpdateTrail(t.Context(), &trailapi.UpdateTrailInput{Name: ptr("cams"), KmsKeyId: key.KeyId})
	if codeOf(err) != "KmsKeyDisabledException" {
		t.Errorf("a disabled key: %v", err)
	}
	var page *trailapi.LookupEventsOutput
	for deadline := time.Now().Add(time.Minute); page == nil || len(page.Events) == 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		page, err = trails.LookupEvents(t.Context(), &trailapi.LookupEventsInput{LookupAttributes: []*trailapi.LookupAttribute{
			{AttributeKey: ptr(trailapi.LookupAttributeKeyEventName), AttributeValue: ptr("DescribeKey")},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(page.Events) == 0 || !strings.Contains(*page.Events[0].CloudTrailEvent, `"invokedBy":"cloudtrail.amazonaws.com"`) {
		t.Errorf("the KMS was not asked on the caller's behalf, on the record: %+v", page.Events)
	}
}

func trailPolicy(trail string) string {
	return `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},"Action":"kms:GenerateDataKey*","Resource":"*","Condition":{
			"StringEquals":{"aws:SourceArn":"arn:aws:cloudtrail:us-east-1:000000000000:trail/` + trail + `","aws:SourceAccount":"000000000000"},
			"StringLike":{"kms:EncryptionContext:aws:cloudtrail:arn":"arn:aws:cloudtrail:*:000000000000:trail/*"}}}]}`
}
