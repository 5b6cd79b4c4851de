// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/obscura-video/obscura/internal/oidc/oidctest"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// World is the target as one test sees it.
type World struct {
	*Target
	T testing.TB
	// Admin may do everything. It is the root user of a server that the run has started, and need not be so elsewhere.
	Admin *Clients
	// Worker is who will make the good call. Only Good has it.
	Worker *User
}

// User is an IAM user with an access key.
type User struct {
	Name, ARN string
	Clients   *Clients
}

// Name is a name that nothing else has, for something that the run makes.
func (w *World) Name() string {
	var b [6]byte
	rand.Read(b[:])
	return "conformance-" + hex.EncodeToString(b[:])
}

// ARN is an ARN of the target's account; service is, for example, "kms", and region "" for IAM.
func (w *World) ARN(service, resource string) string {
	region := w.Region
	if service == "iam" || service == "sts" {
		region = ""
	}
	return "arn:aws:" + service + ":" + region + ":" + w.Account + ":" + resource
}

// Must ends the test when what it needs could not be made.
func (w *World) Must(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatalf("prepare: %v", err)
	}
}

// Cleanup runs f at the end of a run against a foreign target. The server that a run has started keeps nothing anyway.
func (w *World) Cleanup(what string, f func(c *Clients) error) { w.atTheEnd(what, f) }

// Afterwards runs f at the end of the test, at every target: for what there can be few of.
func (w *World) Afterwards(what string, f func(c *Clients) error) {
	w.T.Cleanup(func() {
		if err := f(w.admin.with(context.Background())); err != nil {
			w.T.Errorf("left behind: %s: %v", what, err)
		}
	})
}

// Destructive skips the test at a foreign target, unless the run was asked to alter what is the whole account's.
func (w *World) Destructive() {
	if w.Foreign && !w.Options.Destructive {
		w.T.Skip("alters what is the whole account's; -destructive allows it")
	}
}

// Slow skips the test at a foreign target, unless the run was asked to take its time.
func (w *World) Slow() {
	if w.Foreign && !w.Options.Slow {
		w.T.Skip("takes hundreds of calls, or minutes; -slow allows it")
	}
}

// Issuer is an OpenID Connect issuer whose tokens the target can verify. The test is skipped at a foreign target, which
// could not reach it.
func (w *World) Issuer() *oidctest.Issuer {
	if w.issuer == nil {
		w.T.Skip("the endpoint cannot reach an issuer of the test's")
	}
	return w.issuer
}

// Anonymous is the clients of who has no credentials.
func (w *World) Anonymous() *Clients { return w.anonymous.with(w.Admin.Ctx) }

// NewUser makes an IAM user who may do nothing, with an access key.
func (w *World) NewUser(role string) *User {
	w.T.Helper()
	name := w.Name() + "-" + role
	made, err := w.Admin.IAM.CreateUser(w.Admin.Ctx, &iam.CreateUserInput{UserName: &name})
	w.Must(err)
	w.Cleanup("user "+name, func(c *Clients) error { return removeUser(c, name) })
	key, err := w.Admin.IAM.CreateAccessKey(w.Admin.Ctx, &iam.CreateAccessKeyInput{UserName: &name})
	w.Must(err)
	return &User{Name: name, ARN: *made.User.Arn, Clients: w.As(sigv4.Credentials{
		AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey,
	})}
}

// removeUser takes away a user and what the kit gave it.
func removeUser(c *Clients, name string) error {
	keys, err := c.IAM.ListAccessKeys(c.Ctx, &iam.ListAccessKeysInput{UserName: &name})
	if err != nil {
		return err
	}
	for _, k := range keys.AccessKeyMetadata {
		if err := Run(c, c.IAM.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: &name, AccessKeyId: k.AccessKeyId}); err != nil {
			return err
		}
	}
	policies, err := c.IAM.ListUserPolicies(c.Ctx, &iam.ListUserPoliciesInput{UserName: &name})
	if err != nil {
		return err
	}
	for _, p := range policies.PolicyNames {
		if err := Run(c, c.IAM.DeleteUserPolicy, &iam.DeleteUserPolicyInput{UserName: &name, PolicyName: &p}); err != nil {
			return err
		}
	}
	return Run(c, c.IAM.DeleteUser, &iam.DeleteUserInput{UserName: &name})
}

// As is the clients of whoever has these credentials.
func (w *World) As(c sigv4.Credentials) *Clients { return w.clients(c).with(w.Admin.Ctx) }

// Permit gives a user exactly these permissions.
func (w *World) Permit(u *User, needs ...Need) {
	w.T.Helper()
	w.Must(Run(w.Admin, w.Admin.IAM.PutUserPolicy, &iam.PutUserPolicyInput{
		UserName: &u.Name, PolicyName: aws.String("permit"), PolicyDocument: aws.String(Allow(needs...)),
	}))
}

// Forbid takes all permissions from a user.
func (w *World) Forbid(u *User) {
	w.T.Helper()
	err := Run(w.Admin, w.Admin.IAM.DeleteUserPolicy, &iam.DeleteUserPolicyInput{UserName: &u.Name, PolicyName: aws.String("permit")})
	if code, _ := CodeOf(err); code != "NoSuchEntity" {
		w.Must(err)
	}
}

// Allow is a policy document that allows these permissions.
func Allow(needs ...Need) string {
	type statement struct{ Effect, Action, Resource string }
	var all []statement
	for _, n := range needs {
		all = append(all, statement{"Allow", n.Action, n.Resource})
	}
	document, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": all})
	if err != nil {
		panic(fmt.Sprint("text does not marshal: ", err))
	}
	return string(document)
}

// patience is how long a foreign target may take until it knows of what was altered a moment ago.
const patience = 30 * time.Second

// Eventually tries again while again says so of the error; a server that the run has started is asked once.
func (w *World) Eventually(try func() error, again func(error) bool) error {
	err := try()
	for end := time.Now().Add(patience); w.Foreign && err != nil && again(err) && time.Now().Before(end); {
		time.Sleep(time.Second)
		err = try()
	}
	return err
}
