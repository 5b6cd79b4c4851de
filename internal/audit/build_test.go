// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/policy"
)

func TestIdentityOfEveryKindOfCaller(t *testing.T) {
	created := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	tests := []struct {
		name      string
		principal access.Principal
		want      string
		user      string
	}{
		{"root", access.Principal{
			Principal:   policy.Principal{Kind: policy.Root, Account: testAccount, ARN: "arn:aws:iam::000000000000:root"},
			AccessKeyID: "AKIAROOT",
		}, `{"type":"Root","principalId":"000000000000","arn":"arn:aws:iam::000000000000:root","accountId":"000000000000","accessKeyId":"AKIAROOT"}`, "root"},
		{"user with a session token", access.Principal{
			Principal:   policy.Principal{Kind: policy.User, Account: testAccount, ARN: "arn:aws:iam::000000000000:user/a", UniqueID: "AIDA1"},
			AccessKeyID: "ASIA1", UserName: "a", Session: &access.Session{Created: created, MFA: true},
		}, `{"type":"IAMUser","principalId":"AIDA1","arn":"arn:aws:iam::000000000000:user/a","accountId":"000000000000","accessKeyId":"ASIA1","userName":"a",` +
			`"sessionContext":{"attributes":{"creationDate":"2026-11-23T03:00:00Z","mfaAuthenticated":"true"}}}`, "a"},
		{"role session", access.Principal{
			Principal: policy.Principal{
				Kind: policy.AssumedRole, Account: testAccount, ARN: "arn:aws:sts::000000000000:assumed-role/cam/door",
				RoleARN: "arn:aws:iam::000000000000:role/x/cam", UniqueID: "AROA1:door",
			},
			AccessKeyID: "ASIA2", UserName: "door", Session: &access.Session{Created: created, RoleName: "cam", RoleID: "AROA1", SourceIdentity: "eve"},
		}, `{"type":"AssumedRole","principalId":"AROA1:door","arn":"arn:aws:sts::000000000000:assumed-role/cam/door","accountId":"000000000000","accessKeyId":"ASIA2",` +
			`"sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROA1","arn":"arn:aws:iam::000000000000:role/x/cam","accountId":"000000000000","userName":"cam"},` +
			`"webIdFederationData":{},"attributes":{"creationDate":"2026-11-23T03:00:00Z","mfaAuthenticated":"false"},"sourceIdentity":"eve"}}`, "door"},
		{"federated user", access.Principal{
			Principal:   policy.Principal{Kind: policy.FederatedUser, Account: testAccount, ARN: "arn:aws:sts::000000000000:federated-user/f", UniqueID: "000000000000:f"},
			AccessKeyID: "ASIA3", UserName: "f", Session: &access.Session{Created: created},
		}, `{"type":"FederatedUser","principalId":"000000000000:f","arn":"arn:aws:sts::000000000000:federated-user/f","accountId":"000000000000","accessKeyId":"ASIA3",` +
			`"sessionContext":{"attributes":{"creationDate":"2026-11-23T03:00:00Z","mfaAuthenticated":"false"}}}`, "f"},
		{
			"service",
			access.Principal{Principal: policy.Principal{Kind: policy.Service, Service: "cloudtrail.amazonaws.com"}},
			`{"type":"AWSService","invokedBy":"cloudtrail.amazonaws.com"}`, "",
		},
		{"web identity", access.Principal{
			Principal: policy.Principal{Kind: policy.WebIdentity, ARN: "idp.example.org", UniqueID: "idp.example.org:aud:sub"}, UserName: "sub",
		}, `{"type":"WebIdentityUser","principalId":"idp.example.org:aud:sub","userName":"sub","identityProvider":"idp.example.org"}`, "sub"},
		{"nobody", access.Principal{}, `{"type":"Unknown"}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := NewEvent(&access.Call{Principal: tt.principal, Service: "sts", Operation: "GetCallerIdentity"}, Outcome{})
			got, err := json.Marshal(e.UserIdentity)
			if err != nil || string(got) != tt.want {
				t.Errorf("got  %s\nwant %s (%v)", got, tt.want, err)
			}
			if e.Username() != tt.user {
				t.Errorf("user name %q", e.Username())
			}
		})
	}
}

func TestCallByAServiceKeepsTheUserAndShowsTheService(t *testing.T) {
	outer := call("alice", "kinesisvideo", "PutMedia")
	outer.TLSVersion = "TLS 1.3"
	_, inner := access.Via(access.NewContext(t.Context(), outer), "kinesisvideo.us-east-1.amazonaws.com", "kms", "GenerateDataKey")
	e := NewEvent(inner, Outcome{Account: testAccount})
	const host = "kinesisvideo.amazonaws.com"
	if e.UserIdentity.UserName != "alice" || e.UserIdentity.InvokedBy != host || e.SourceIPAddress != host || e.UserAgent != host || e.TLSDetails != nil {
		t.Errorf("%+v", e)
	}
}

func TestErrorsAreRecordedByTheirPublicNameOnly(t *testing.T) {
	for _, tt := range []struct {
		err           error
		code, message string
	}{
		{nil, "", ""},
		{fmt.Errorf("op: %w", &access.Denied{Message: "User: x is not authorized"}), "AccessDenied", "User: x is not authorized"},
		{protocol.NewError("AccessDeniedException", 400, "no"), "AccessDenied", "no"},
		{fmt.Errorf("op: %w", protocol.NewError("IncorrectKeyException", 400, "m")), "IncorrectKeyException", "m"},
		{&iamapi.NoSuchEntityException{Message: "no user"}, "NoSuchEntityException", "no user"},
		{errors.New("pebble: secret path"), "InternalFailure", "An internal error occurred."},
	} {
		e := NewEvent(call("alice", "kms", "CreateKey"), Outcome{Err: tt.err, Response: map[string]any{"k": "v"}})
		if e.ErrorCode != tt.code || e.ErrorMessage != tt.message {
			t.Errorf("%v: %q, %q", tt.err, e.ErrorCode, e.ErrorMessage)
		}
		if (e.ResponseElements != nil) != (tt.err == nil) {
			t.Errorf("%v: response %v", tt.err, e.ResponseElements)
		}
	}
}

func TestReadOnlyAndCategoryOfOperations(t *testing.T) {
	for _, tt := range []struct {
		service, operation string
		readOnly           bool
		category           Category
	}{
		{"kms", "Decrypt", true, Management},
		{"kms", "GenerateDataKeyWithoutPlaintext", true, Management},
		{"kms", "ReEncrypt", true, Management},
		{"kms", "CreateKey", false, Management},
		{"kms", "RetireGrant", false, Management},
		{"kms", "ListAliases", true, Management},
		{"iam", "CreateUser", false, Management},
		{"iam", "SimulateCustomPolicy", true, Management},
		{"iam", "UploadServerCertificate", false, Management},
		{"sts", "AssumeRole", true, Management},
		{"cloudtrail", "LookupEvents", true, Management},
		{"cloudtrail", "StopLogging", false, Management},
		{"kinesisvideo", "GetDataEndpoint", true, Management},
		{"kinesisvideo", "CreateStream", false, Management},
		{"kinesisvideo", "PutMedia", false, Data},
		{"kinesisvideomedia", "GetMedia", true, Data},
		{"kinesisvideoarchivedmedia", "GetHLSStreamingSessionURL", true, Data},
		{"kinesis", "PutRecords", false, Data},
		{"mailbox", "PutObject", false, Management},
		{"mailbox", "GetObject", true, Data},
		{"s3", "PutObject", false, Data},
		{"s3", "CompleteMultipartUpload", false, Data},
		{"s3", "PutObjectLockConfiguration", false, Management},
		{"s3", "CreateBucket", false, Management},
	} {
		e := NewEvent(call("alice", tt.service, tt.operation), Outcome{})
		if e.ReadOnly != tt.readOnly || e.EventCategory != tt.category || e.ManagementEvent != (tt.category == Management) {
			t.Errorf("%s %s: readOnly %v, %s", tt.service, tt.operation, e.ReadOnly, e.EventCategory)
		}
	}
}

func TestServiceEventHasNoCaller(t *testing.T) {
	e := NewServiceEvent(ServiceAction{
		Service: "kms", Name: "RotateKey", Region: "us-east-1", Account: testAccount,
		Resources: []Resource{{ARN: "arn:aws:kms:us-east-1:000000000000:key/1", Type: "AWS::KMS::Key"}},
		Details:   map[string]any{"keyId": "1"},
	})
	if e.ReadOnly || e.EventType != ServiceEvent || e.UserIdentity.Type != "AWSService" || e.Username() != "" || e.Resources[0].AccountID != testAccount {
		t.Errorf("%+v", e)
	}
}

// TestParametersOfTheKMSAreThoseOfItsExamples: defaults are shown as if they had been sent.
func TestParametersOfTheKMSAreThoseOfItsExamples(t *testing.T) {
	const key = "arn:aws:kms:us-east-1:000000000000:key/1"
	for _, tt := range []struct {
		operation string
		sent      map[string]any
		want      string
	}{
		{"Decrypt", map[string]any{"encryptionContext": map[string]any{"a": "b"}}, `{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":{"a":"b"},"keyId":"` + key + `"}`},
		{"Decrypt", map[string]any{"keyId": "alias/x", "encryptionAlgorithm": "RSAES_OAEP_SHA_256"}, `{"encryptionAlgorithm":"RSAES_OAEP_SHA_256","keyId":"alias/x"}`},
		{"Encrypt", map[string]any{"keyId": "1"}, `{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","keyId":"1"}`},
		{"ReEncrypt", map[string]any{"destinationKeyId": "1"}, `{"destinationEncryptionAlgorithm":"SYMMETRIC_DEFAULT","destinationKeyId":"1","sourceEncryptionAlgorithm":"SYMMETRIC_DEFAULT"}`},
		{"Sign", map[string]any{"keyId": "1", "messageType": "DIGEST"}, `{"keyId":"1","messageType":"DIGEST"}`},
		{"Verify", map[string]any{"keyId": "1"}, `{"keyId":"1","messageType":"RAW"}`},
		{"GenerateRandom", map[string]any{"numberOfBytes": 1}, `null`},
		{"RetireGrant", map[string]any{"grantId": "1"}, `null`},
		{"GenerateDataKey", map[string]any{"keyId": "1", "keySpec": "AES_256"}, `{"keyId":"1","keySpec":"AES_256"}`},
		{"Decrypt", nil, `null`}, // refused: nothing was looked at
	} {
		c := call("alice", "kms", tt.operation)
		access.AddResource(access.NewContext(t.Context(), c), key, "AWS::KMS::Key")
		got, err := json.Marshal(NewEvent(c, Outcome{Params: tt.sent}).RequestParameters)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.operation, got, err, tt.want)
		}
	}
}

func TestResponsesThatAreShown(t *testing.T) {
	for _, tt := range []struct {
		service, operation string
		shown              bool
	}{
		{"sts", "AssumeRole", true},
		{"sts", "AssumeRoleWithWebIdentity", true},
		{"sts", "GetSessionToken", true},
		{"sts", "GetCallerIdentity", false},
		{"kms", "Decrypt", false},
		{"kms", "CreateKey", true},
		{"iam", "GetUser", false},
	} {
		e := NewEvent(call("alice", tt.service, tt.operation), Outcome{Response: map[string]any{"k": "v"}})
		if (e.ResponseElements != nil) != tt.shown {
			t.Errorf("%s %s: %v", tt.service, tt.operation, e.ResponseElements)
		}
	}
}

func TestGlobalServicesAreInOneRegion(t *testing.T) {
	for service, want := range map[string]string{"iam": "us-east-1", "sts": "eu-west-1", "kms": "eu-west-1"} {
		if e := NewEvent(call("alice", service, "x"), Outcome{Region: "eu-west-1"}); e.AWSRegion != want {
			t.Errorf("%s: %s", service, e.AWSRegion)
		}
	}
}

func TestCipherSuitesHaveTheNamesOfCloudTrail(t *testing.T) {
	for name, want := range map[string]string{
		"TLS_AES_128_GCM_SHA256":                        "TLS_AES_128_GCM_SHA256",
		"TLS_CHACHA20_POLY1305_SHA256":                  "TLS_CHACHA20_POLY1305_SHA256",
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256":         "ECDHE-RSA-AES128-GCM-SHA256",
		"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384":       "ECDHE-ECDSA-AES256-GCM-SHA384",
		"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256":   "ECDHE-RSA-CHACHA20-POLY1305",
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
		"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA":            "ECDHE-RSA-AES256-SHA",
		"TLS_RSA_WITH_AES_128_GCM_SHA256":               "AES128-GCM-SHA256",
		"":                                              "",
	} {
		if got := cipherSuite(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
