// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/rig"
)

// recordWorld makes calls, and looks at what the record says of them.
type recordWorld struct {
	t *testing.T
	s *rig.Server
}

// events are all management events, the newest first.
func (w *recordWorld) events() (all []map[string]any) {
	w.t.Helper()
	time.Sleep(250 * time.Millisecond) // read-only events are gathered
	trail := cloudtrail.NewFromConfig(w.s.V2(w.s.Root))
	for in := (&cloudtrail.LookupEventsInput{}); ; {
		out, err := trail.LookupEvents(w.t.Context(), in)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range out.Events {
			var record map[string]any
			if err := json.Unmarshal([]byte(*e.CloudTrailEvent), &record); err != nil {
				w.t.Fatal(err)
			}
			all = append(all, record)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return all
		}
	}
}

// at returns what lies at a path in a record, "a.b.0.c"; nil when nothing does.
func at(record any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		switch v := record.(type) {
		case map[string]any:
			record = v[name]
		case []any:
			if name != "0" || len(v) == 0 {
				return nil
			}
			record = v[0]
		default:
			return nil
		}
	}
	return record
}

func (w *recordWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestTheRecordSaysWhoDidWhatAsCloudTrailDoes makes calls of every kind in a server that is not in us-east-1, and
// compares what is recorded, member by member, with CloudTrail's form.
func TestTheRecordSaysWhoDidWhatAsCloudTrailDoes(t *testing.T) {
	t.Parallel()
	w := &recordWorld{t: t, s: rig.Start(t, func(c *server.Config) { c.Region = "eu-central-1" })}
	ctx, s := t.Context(), w.s
	people, keys := iam.NewFromConfig(s.V2(s.Root)), kms.NewFromConfig(s.V2(s.Root))
	const all = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	_, err := people.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("ana")})
	w.must(err)
	_, err = people.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("ana")})
	if err == nil {
		t.Fatal("made twice")
	}
	policy, err := people.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("all"), PolicyDocument: aws.String(all)})
	w.must(err)
	_, err = people.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("ana"), PolicyArn: policy.Policy.Arn})
	w.must(err)
	made, err := people.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("ana")})
	w.must(err)
	_, err = people.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("night"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"sts:AssumeRole"}]}`)})
	w.must(err)
	ana := sigv4.Credentials{AccessKeyID: *made.AccessKey.AccessKeyId, SecretAccessKey: *made.AccessKey.SecretAccessKey}
	session, err := sts.NewFromConfig(s.V2(ana)).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::000000000000:role/night"), RoleSessionName: aws.String("watch")})
	w.must(err)
	guard := sigv4.Credentials{AccessKeyID: *session.Credentials.AccessKeyId, SecretAccessKey: *session.Credentials.SecretAccessKey, SessionToken: *session.Credentials.SessionToken}
	if _, err = kms.NewFromConfig(s.V2(guard)).ListKeys(ctx, &kms.ListKeysInput{}); err == nil {
		t.Fatal("the role may do nothing")
	}
	key, err := keys.CreateKey(ctx, &kms.CreateKeyInput{})
	w.must(err)
	purpose := map[string]string{"purpose": "test"}
	sealed, err := keys.Encrypt(ctx, &kms.EncryptInput{KeyId: key.KeyMetadata.KeyId, Plaintext: []byte("x"), EncryptionContext: purpose})
	w.must(err)
	_, err = keys.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: purpose})
	w.must(err)
	_, err = keys.GenerateRandom(ctx, &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(8)})
	w.must(err)
	stream, err := kinesisvideo.NewFromConfig(s.V2(ana)).CreateStream(ctx, &kinesisvideo.CreateStreamInput{StreamName: aws.String("door"), DataRetentionInHours: aws.Int32(1)})
	w.must(err)
	p, err := s.PutMedia(ctx, ana, "door")
	w.must(err)
	_, err = p.Write(append(rig.Header(), rig.Fragment(1000, rig.Frames("door", 1000, 2, 100))...))
	w.must(err)
	_, err = p.Await("PERSISTED")
	w.must(err)
	p.Cut()
	keyARN, watcher := *key.KeyMetadata.Arn, "arn:aws:sts::000000000000:assumed-role/night/watch"
	for name, want := range map[string]map[string]any{
		"CreateUser": {
			"userIdentity.type": "Root", "userIdentity.principalId": "000000000000", "awsRegion": "us-east-1", "eventSource": "iam.amazonaws.com",
			"requestParameters.userName": "ana", "responseElements.user.userName": "ana", "resources.0.ARN": "arn:aws:iam::000000000000:user/ana",
			"readOnly": false, "managementEvent": true, "eventCategory": "Management", "eventType": "AwsApiCall", "recipientAccountId": "000000000000",
			"eventVersion": "1.11", "tlsDetails.tlsVersion": "TLSv1.3", "errorCode": nil,
		},
		"CreateUser EntityAlreadyExistsException": {"errorMessage": "User with name ana already exists.", "responseElements": nil},
		"AttachUserPolicy":                        {"resources.0.type": "AWS::IAM::User", "responseElements": nil},
		"CreateAccessKey":                         {"responseElements.accessKey.accessKeyId": ana.AccessKeyID, "responseElements.accessKey.secretAccessKey": nil},
		"AssumeRole": {
			"userIdentity.type": "IAMUser", "userIdentity.userName": "ana", "userIdentity.accessKeyId": ana.AccessKeyID, "awsRegion": "eu-central-1",
			"responseElements.credentials.accessKeyId": guard.AccessKeyID, "responseElements.credentials.sessionToken": nil, "responseElements.credentials.secretAccessKey": nil,
			"responseElements.assumedRoleUser.arn": watcher, "readOnly": true, "resources.0.type": "AWS::IAM::Role",
		},
		"ListKeys AccessDenied": {
			"userIdentity.type": "AssumedRole", "userIdentity.arn": watcher, "userIdentity.sessionContext.sessionIssuer.userName": "night",
			"userIdentity.sessionContext.attributes.mfaAuthenticated": "false", "requestParameters": nil,
		},
		"Decrypt": {
			"requestParameters.keyId": keyARN, "requestParameters.encryptionAlgorithm": "SYMMETRIC_DEFAULT", "requestParameters.encryptionContext.purpose": "test",
			"requestParameters.ciphertextBlob": nil, "responseElements": nil, "readOnly": true, "resources.0.ARN": keyARN, "resources.0.type": "AWS::KMS::Key", "awsRegion": "eu-central-1",
		},
		"GenerateRandom": {"requestParameters": nil},
		"CreateStream":   {"eventSource": "kinesisvideo.amazonaws.com", "resources.0.ARN": *stream.StreamARN, "responseElements.streamARN": *stream.StreamARN},
		"GenerateDataKey": {
			"userIdentity.userName": "ana", "userIdentity.invokedBy": "kinesisvideo.amazonaws.com", "sourceIPAddress": "kinesisvideo.amazonaws.com",
			"userAgent": "kinesisvideo.amazonaws.com", "tlsDetails": nil, "resources.0.type": "AWS::KMS::Key", "requestParameters.keySpec": "AES_256",
		},
	} {
		w.record(name, want)
	}
	w.everyRecordIsWhole()
}

// record finds the event of a name, and of an error code behind it, and compares its members.
func (w *recordWorld) record(name string, want map[string]any) {
	w.t.Helper()
	name, code, failed := strings.Cut(name, " ")
	for _, e := range w.events() {
		if e["eventName"] != name || failed != (e["errorCode"] != nil) || failed && e["errorCode"] != code {
			continue
		}
		for path, value := range want {
			if got := at(e, path); got != value {
				w.t.Errorf("%s %s: %s is %v, want %v", name, code, path, got, value)
			}
		}
		return
	}
	w.t.Errorf("%s %s is not recorded", name, code)
}

// everyRecordIsWhole looks for what each record has: the members that are null rather than absent, IDs that are unique,
// a context for each use of a key by a service, and nothing secret.
func (w *recordWorld) everyRecordIsWhole() {
	w.t.Helper()
	seen := map[any]bool{}
	for _, e := range w.events() {
		for _, member := range []string{"eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress", "userAgent", "requestParameters", "responseElements", "requestID", "eventID", "readOnly", "eventType", "managementEvent", "recipientAccountId", "eventCategory"} {
			if _, there := e[member]; !there {
				w.t.Errorf("%v has no %s", e["eventName"], member)
			}
		}
		if seen[e["eventID"]] {
			w.t.Errorf("%v is there twice", e["eventID"])
		}
		seen[e["eventID"]] = true
		if at(e, "userIdentity.invokedBy") != nil && e["eventSource"] == "kms.amazonaws.com" && at(e, "requestParameters.encryptionContext") == nil {
			w.t.Errorf("%v on somebody's behalf without its encryption context: %v", e["eventName"], e)
		}
	}
}
