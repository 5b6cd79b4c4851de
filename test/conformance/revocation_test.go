// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go/service/kinesisvideomedia"

	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/rig"
)

// viewing is what a viewer of footage may do; the key is another matter.
const (
	viewing = `{"Effect":"Allow","Action":["kinesisvideo:GetMedia","kinesisvideo:DescribeStream"],"Resource":"*"}`
	opening = `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}`
)

func statements(list string) string { return `{"Version":"2012-10-17","Statement":[` + list + `]}` }

// withdrawal is a way to end somebody's access.
type withdrawal struct {
	// viewer makes who is to lose it.
	viewer func(w *world) *clients
	// do ends it.
	do func(w *world, c *clients) error
}

func (w *world) inline(document string) *clients {
	return newClients(w.t, w.Server, w.User(w.t, "viewer", document))
}

// session is a session of the role "viewer".
func (w *world) session(document string) *clients {
	w.t.Helper()
	c := w.root
	var s sigv4.Credentials
	err := errors.Join(
		run(c, c.iam.CreateRole, &iam.CreateRoleInput{RoleName: aws.String("viewer"), AssumeRolePolicyDocument: aws.String(trustRoot)}),
		run(c, c.iam.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: aws.String("viewer"), PolicyName: aws.String("p"), PolicyDocument: &document}),
	)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Permit(w.t, "worker", rig.Allow("sts:AssumeRole", "*"))
	in := &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::000000000000:role/viewer"), RoleSessionName: aws.String("night")}
	err = run(w.worker, w.worker.sts.AssumeRole, in, func(o *sts.AssumeRoleOutput) {
		s = sigv4.Credentials{AccessKeyID: *o.Credentials.AccessKeyId, SecretAccessKey: *o.Credentials.SecretAccessKey, SessionToken: *o.Credentials.SessionToken}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return newClients(w.t, w.Server, s)
}

// granted is a user whose policies say nothing of keys; a grant opens the stream's key for this stream alone.
func (w *world) granted() *clients {
	w.t.Helper()
	c := w.inline(statements(viewing))
	in := &kms.CreateGrantInput{
		KeyId: w.s("key"), GranteePrincipal: aws.String("arn:aws:iam::000000000000:user/viewer"),
		Operations: []types.GrantOperation{types.GrantOperationDecrypt}, Constraints: &types.GrantConstraints{SourceArn: w.s("stream")},
	}
	if err := run(w.root, w.root.kms.CreateGrant, in, func(o *kms.CreateGrantOutput) { w.keep("grant", o.GrantId) }); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// managed is a user with a managed policy of two versions, the second of which allows nothing of this.
func (w *world) managed() *clients {
	w.t.Helper()
	viewer := w.inline("")
	c := w.root
	err := run(c, c.iam.CreatePolicy, &iam.CreatePolicyInput{PolicyName: aws.String("view"), PolicyDocument: aws.String(statements(viewing + "," + opening))},
		func(o *iam.CreatePolicyOutput) { w.keep("policy", o.Policy.Arn) })
	if err != nil {
		w.t.Fatal(err)
	}
	err = errors.Join(
		run(c, c.iam.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: w.s("policy"), PolicyDocument: aws.String(statements(opening))}),
		run(c, c.iam.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: aws.String("viewer"), PolicyArn: w.s("policy")}),
	)
	if err != nil {
		w.t.Fatal(err)
	}
	return viewer
}

// member is a user who may look because of a group.
func (w *world) member() *clients {
	w.t.Helper()
	viewer := w.inline("")
	c := w.root
	err := errors.Join(
		run(c, c.iam.CreateGroup, &iam.CreateGroupInput{GroupName: aws.String("viewers")}),
		run(c, c.iam.PutGroupPolicy, &iam.PutGroupPolicyInput{GroupName: aws.String("viewers"), PolicyName: aws.String("p"), PolicyDocument: aws.String(statements(viewing + "," + opening))}),
		run(c, c.iam.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: aws.String("viewers"), UserName: aws.String("viewer")}),
	)
	if err != nil {
		w.t.Fatal(err)
	}
	return viewer
}

// withdrawals are all the ways, each the very act that an administrator does.
func withdrawals() map[string]withdrawal {
	user := func(w *world) *clients { return w.inline(statements(viewing + "," + opening)) }
	role := func(w *world) *clients { return w.session(statements(viewing + "," + opening)) }
	viewer := aws.String("viewer")
	keyPolicy := statements(`{"Effect":"Allow","Principal":{"AWS":"` + accountRoot + `"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::000000000000:user/viewer"},"Action":"kms:Decrypt","Resource":"*"}`)
	return map[string]withdrawal{
		"policy": {user, func(w *world, _ *clients) error {
			w.Permit(w.t, "viewer", statements(opening))
			return nil
		}},
		"policy for the key": {user, func(w *world, _ *clients) error {
			w.Permit(w.t, "viewer", statements(viewing))
			return nil
		}},
		"version of a policy": {(*world).managed, func(w *world, _ *clients) error {
			return run(w.root, w.root.iam.SetDefaultPolicyVersion, &iam.SetDefaultPolicyVersionInput{PolicyArn: w.s("policy"), VersionId: aws.String("v2")})
		}},
		"group": {(*world).member, func(w *world, _ *clients) error {
			return run(w.root, w.root.iam.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: aws.String("viewers"), UserName: viewer})
		}},
		"boundary": {user, func(w *world, _ *clients) error {
			in := &iam.PutUserPermissionsBoundaryInput{UserName: viewer, PermissionsBoundary: aws.String("arn:aws:iam::aws:policy/IAMReadOnlyAccess")}
			return run(w.root, w.root.iam.PutUserPermissionsBoundary, in)
		}},
		"access key deactivated": {user, func(w *world, c *clients) error {
			in := &iam.UpdateAccessKeyInput{UserName: viewer, AccessKeyId: &c.creds.AccessKeyID, Status: iamtypes.StatusTypeInactive}
			return run(w.root, w.root.iam.UpdateAccessKey, in)
		}},
		"access key deleted": {user, func(w *world, c *clients) error {
			return run(w.root, w.root.iam.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: viewer, AccessKeyId: &c.creds.AccessKeyID})
		}},
		"key policy": {user, func(w *world, _ *clients) error {
			return run(w.root, w.root.kms.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: w.s("key"), Policy: &keyPolicy})
		}},
		"key disabled": {user, func(w *world, _ *clients) error {
			return run(w.root, w.root.kms.DisableKey, &kms.DisableKeyInput{KeyId: w.s("key")})
		}},
		"grant": {(*world).granted, func(w *world, _ *clients) error {
			return run(w.root, w.root.kms.RevokeGrant, &kms.RevokeGrantInput{KeyId: w.s("key"), GrantId: w.s("grant")})
		}},
		"policy of the role": {role, func(w *world, _ *clients) error {
			return run(w.root, w.root.iam.DeleteRolePolicy, &iam.DeleteRolePolicyInput{RoleName: viewer, PolicyName: aws.String("p")})
		}},
		"role deleted": {role, func(w *world, _ *clients) error {
			return errors.Join(
				run(w.root, w.root.iam.DeleteRolePolicy, &iam.DeleteRolePolicyInput{RoleName: viewer, PolicyName: aws.String("p")}),
				run(w.root, w.root.iam.DeleteRole, &iam.DeleteRoleInput{RoleName: viewer}),
			)
		}},
		// What AWS's console does for "Revoke active sessions".
		"sessions issued before now": {role, func(w *world, _ *clients) error {
			deny := fmt.Sprintf(`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":%q}}}`, time.Now().Add(time.Second).UTC().Format(time.RFC3339))
			in := &iam.PutRolePolicyInput{RoleName: viewer, PolicyName: aws.String("AWSRevokeOlderSessions"), PolicyDocument: aws.String(statements(deny))}
			return run(w.root, w.root.iam.PutRolePolicy, in)
		}},
	}
}

// TestWithdrawalCountsAtOnce: whatever is withdrawn, the next request is refused, and a GetMedia that waits for footage
// ends within a second though none comes.
func TestWithdrawalCountsAtOnce(t *testing.T) {
	t.Parallel()
	quick := []string{"policy", "grant", "sessions issued before now", "access key deactivated"}
	for name, tc := range withdrawals() {
		if !rig.Full() && !slices.Contains(quick, name) {
			continue // each takes a second or two of waiting
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if err := run(w.root, w.root.kms.CreateKey, &kms.CreateKeyInput{}, func(o *kms.CreateKeyOutput) { w.keep("key", o.KeyMetadata.Arn) }); err != nil {
				t.Fatal(err)
			}
			w.id["stream"] = w.createStream("door", kinesisvideo.CreateStreamInput{KmsKeyId: w.s("key")})
			if err := w.putOne(w.root, "door", 1000); err != nil {
				t.Fatal(err)
			}
			c := tc.viewer(w)
			waiting := w.wait(c)
			if err := tc.do(w, c); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := w.getOne(c, "door", "EARLIEST"); err == nil {
				t.Error("the next request is served")
			}
			select {
			case <-waiting:
				if took := time.Since(began); took > time.Second {
					t.Errorf("the GetMedia that waits ended after %v", took)
				}
			case <-time.After(5 * time.Second):
				t.Error("the GetMedia that waits goes on")
			}
		})
	}
}

// wait reads all the footage there is and goes on to wait; what it returns is closed when that ends.
func (w *world) wait(c *clients) <-chan struct{} {
	w.t.Helper()
	ctx, cancel := context.WithCancel(c.ctx)
	w.t.Cleanup(cancel)
	out, err := c.media.GetMediaWithContext(ctx, &kinesisvideomedia.GetMediaInput{
		StreamName: aws.String("door"), StartSelector: &kinesisvideomedia.StartSelector{StartSelectorType: aws.String("EARLIEST")},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := rig.ReadMedia(out.Payload, 1); err != nil {
		w.t.Fatal(err)
	}
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(io.Discard, out.Payload)
		out.Payload.Close()
	}()
	time.Sleep(700 * time.Millisecond) // longer than it takes to find out
	select {
	case <-end:
		w.t.Fatal("it ended before anything was withdrawn")
	default:
	}
	return end
}

// TestGrantForAStreamOpensThatStreamAlone: a grant that is bound to a stream's ARN serves its footage, no other
// stream's, and no direct use of the key.
func TestGrantForAStreamOpensThatStreamAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := run(w.root, w.root.kms.CreateKey, &kms.CreateKeyInput{}, func(o *kms.CreateKeyOutput) { w.keep("key", o.KeyMetadata.Arn) }); err != nil {
		t.Fatal(err)
	}
	w.id["stream"] = w.createStream("door", kinesisvideo.CreateStreamInput{KmsKeyId: w.s("key")})
	w.createStream("hall", kinesisvideo.CreateStreamInput{KmsKeyId: w.s("key")})
	for _, stream := range []string{"door", "hall"} {
		if err := w.putOne(w.root, stream, 1000); err != nil {
			t.Fatal(err)
		}
	}
	c := w.granted()
	if err := w.getOne(c, "door", "EARLIEST"); err != nil {
		t.Error(err)
	}
	if err := w.getOne(c, "hall", "EARLIEST"); err == nil {
		t.Error("the grant opens another stream")
	}
	var blob []byte
	wantCode(t, run(w.root, w.root.kms.Encrypt, &kms.EncryptInput{KeyId: w.s("key"), Plaintext: plaintext}, func(o *kms.EncryptOutput) { blob = o.CiphertextBlob }), "")
	wantDenied(t, run(c, c.kms.Decrypt, &kms.DecryptInput{CiphertextBlob: blob}), notAllowed)
}
