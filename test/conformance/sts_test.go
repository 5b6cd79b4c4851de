// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/conformance/kit"
	"github.com/obscura-video/obscura/test/rig"
)

const (
	accountRoot = "arn:aws:iam::000000000000:root"
	trustRoot   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + accountRoot + `"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	watcher     = "arn:aws:iam::000000000000:role/watcher"
)

// TestSessionMayDoWhatItsRoleMay: a session has its role's permissions, narrowed by its own policy, and none of
// the caller's; a changed token or a wrong secret opens nothing.
func TestSessionMayDoWhatItsRoleMay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.root
	if err := run(c, c.iam.CreateRole, &iam.CreateRoleInput{RoleName: aws.String("watcher"), AssumeRolePolicyDocument: aws.String(trustRoot)}); err != nil {
		t.Fatal(err)
	}
	policy := aws.String(rig.Allow("kms:ListKeys", "*", "kms:ListAliases", "*"))
	if err := run(c, c.iam.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: aws.String("watcher"), PolicyName: aws.String("p"), PolicyDocument: policy}); err != nil {
		t.Fatal(err)
	}
	w.Permit(t, "worker", rig.Allow("sts:AssumeRole", "*", "kms:CreateKey", "*"))
	var session sigv4.Credentials
	in := &sts.AssumeRoleInput{
		RoleArn: aws.String(watcher), RoleSessionName: aws.String("night"), Policy: aws.String(rig.Allow("kms:ListKeys", "*", "kms:CreateKey", "*")),
	}
	err := run(w.worker, w.worker.sts.AssumeRole, in, func(o *sts.AssumeRoleOutput) {
		session = sigv4.Credentials{AccessKeyID: *o.Credentials.AccessKeyId, SecretAccessKey: *o.Credentials.SecretAccessKey, SessionToken: *o.Credentials.SessionToken}
		w.equal("arn", *o.AssumedRoleUser.Arn, "arn:aws:sts::000000000000:assumed-role/watcher/night")
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newClients(t, w.Server, session)
	wantCode(t, run(s, s.kms.ListKeys, &kms.ListKeysInput{}), "")
	wantDenied(t, run(s, s.kms.ListAliases, &kms.ListAliasesInput{}), "assumed-role/watcher/night is not authorized to perform: kms:ListAliases")
	wantDenied(t, run(s, s.kms.CreateKey, &kms.CreateKeyInput{}), "is not authorized to perform: kms:CreateKey")
	for name, change := range map[string]func(*sigv4.Credentials){
		"changed token": func(c *sigv4.Credentials) { c.SessionToken = "A" + c.SessionToken[1:] + "A" },
		"no token":      func(c *sigv4.Credentials) { c.SessionToken = "" },
	} {
		other := session
		change(&other)
		o := newClients(t, w.Server, other)
		if code, _ := kit.CodeOf(run(o, o.kms.ListKeys, &kms.ListKeysInput{})); code != "UnrecognizedClientException" {
			t.Errorf("%s: got %q", name, code)
		}
	}
	other := session
	other.SecretAccessKey += "x"
	o := newClients(t, w.Server, other)
	wantCode(t, run(o, o.kms.ListKeys, &kms.ListKeysInput{}), "InvalidSignatureException")
}

// TestDenialIsExplainedToWhoMayReadIt: with --explain-denials a denied caller has a text that he cannot read, and that
// somebody else can.
func TestDenialIsExplainedToWhoMayReadIt(t *testing.T) {
	t.Parallel()
	w := worldOf(t, rig.Start(t, func(c *server.Config) { c.ExplainDenials = true }))
	err := run(w.nobody, w.nobody.kms.ListKeys, &kms.ListKeysInput{})
	wantDenied(t, err, "because no identity-based policy allows the kms:ListKeys action. Encoded authorization failure message: ")
	_, message := kit.CodeOf(err)
	_, encoded, _ := strings.Cut(message, "Encoded authorization failure message: ")
	in := &sts.DecodeAuthorizationMessageInput{EncodedMessage: &encoded}
	wantDenied(t, run(w.nobody, w.nobody.sts.DecodeAuthorizationMessage, in), "sts:DecodeAuthorizationMessage")
	wantCode(t, run(w.root, w.root.sts.DecodeAuthorizationMessage, in, func(o *sts.DecodeAuthorizationMessageOutput) {
		for _, want := range []string{`"allowed":false`, `"arn":"arn:aws:iam::000000000000:user/nobody"`, `"action":"kms:ListKeys"`, `"key":"aws:SourceIp","values":{"items":[{"value":"127.0.0.1"}]}`} {
			if !strings.Contains(*o.DecodedMessage, want) {
				t.Errorf("no %s in %s", want, *o.DecodedMessage)
			}
		}
	}), "")
}
