// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/obscura-video/obscura/internal/oidc"
	"github.com/obscura-video/obscura/test/conformance/kit"
)

// newRole makes a role with a trust policy of one statement, and returns its name and ARN.
func newRole(w *kit.World, statement map[string]any) (name, arn string) {
	w.T.Helper()
	name = w.Name()
	statement["Effect"] = "Allow"
	trust, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statement})
	w.Must(err)
	w.Must(kit.Run(w.Admin, w.Admin.IAM.CreateRole, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(string(trust))}))
	w.Cleanup("role "+name, func(c *kit.Clients) error { return kit.Run(c, c.IAM.DeleteRole, &iam.DeleteRoleInput{RoleName: &name}) })
	return name, w.ARN("iam", "role/"+name)
}

// accountRole is a role that the account's users may be allowed to assume.
func accountRole(w *kit.World) (name, arn string) {
	w.T.Helper()
	return newRole(w, map[string]any{"Principal": map[string]string{"AWS": w.ARN("iam", "root")}, "Action": []string{"sts:AssumeRole", "sts:TagSession"}})
}

func roleCases() []kit.Case {
	// with assumes a role as a member, with one thing wrong.
	with := func(change func(w *kit.World, in *sts.AssumeRoleInput)) func(w *kit.World) error {
		return func(w *kit.World) error {
			_, arn := accountRole(w)
			in := &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("night")}
			change(w, in)
			c := member(w)
			return kit.Run(c, c.STS.AssumeRole, in)
		}
	}
	return []kit.Case{{
		Op: "AssumeRole",
		Good: func(w *kit.World) kit.Call {
			name, arn := accountRole(w)
			return kit.Call{Needs: kit.On(arn), Do: func(c *kit.Clients) error {
				return kit.Run(c, c.STS.AssumeRole, &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("night")}, func(o *sts.AssumeRoleOutput) error {
					session := w.ARN("sts", "assumed-role/"+name+"/night")
					if err := kit.Want("session", []any{*o.AssumedRoleUser.Arn, (*o.AssumedRoleUser.AssumedRoleId)[:4]}, []any{session, "AROA"}); err != nil {
						return err
					}
					return is(w, o.Credentials, session)
				})
			}}
		},
		Errors: kit.Errors{
			"MalformedPolicyDocument": with(func(_ *kit.World, in *sts.AssumeRoleInput) { in.Policy = aws.String(`{}`) }),
			"PackedPolicyTooLarge":    with(func(w *kit.World, in *sts.AssumeRoleInput) { in.Tags = manyTags(w) }),
		},
		Others: kit.Errors{
			"AccessDenied": with(func(w *kit.World, in *sts.AssumeRoleInput) {
				in.RoleArn = aws.String(w.ARN("iam", "role/conformance-absent"))
			}),
			"ValidationError": with(func(_ *kit.World, in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(7200) }),
		},
		Never: map[string]string{"ExpiredTokenException": "is about ProvidedContexts, which are not looked at"},
	}}
}

// web is a role that trusts the subject camera-7 of an issuer.
type web struct {
	w         *kit.World
	name, arn string
	url       string
}

// newWeb makes one; url is the issuer's.
func newWeb(w *kit.World, url string) *web {
	w.T.Helper()
	provider := w.ARN("iam", "oidc-provider/"+oidc.Name(url))
	err := kit.Run(w.Admin, w.Admin.IAM.CreateOpenIDConnectProvider, &iam.CreateOpenIDConnectProviderInput{
		Url: &url, ClientIDList: []string{"app"}, ThumbprintList: []string{strings.Repeat("ab", 20)},
	})
	if code, _ := kit.CodeOf(err); code != "EntityAlreadyExists" { // another case has made it
		w.Must(err)
	}
	r := &web{w: w, url: url}
	r.name, r.arn = newRole(w, map[string]any{
		"Principal": map[string]string{"Federated": provider}, "Action": []string{"sts:AssumeRoleWithWebIdentity", "sts:TagSession"},
		"Condition": map[string]any{"StringEquals": map[string]string{oidc.Name(url) + ":sub": "camera-7"}},
	})
	return r
}

// assume brings a token in which some claims are changed.
func (r *web) assume(claims map[string]any, policy *string, got ...func(*sts.AssumeRoleWithWebIdentityOutput) error) error {
	all := map[string]any{"iss": r.url}
	maps.Copy(all, claims)
	token := r.w.Issuer().Token(time.Now(), all)
	c := r.w.Anonymous()
	return kit.Run(c, c.STS.AssumeRoleWithWebIdentity, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &r.arn, RoleSessionName: aws.String("night"), WebIdentityToken: &token, Policy: policy,
	}, got...)
}

// bringing brings a token of the issuer's to a role of its own, with one thing changed.
func bringing(claims func(w *kit.World) map[string]any, policy *string) func(w *kit.World) error {
	return func(w *kit.World) error { return newWeb(w, w.Issuer().URL).assume(claims(w), policy) }
}

// webCases take tokens of identity providers. Nobody signs these calls: it is the trust policy that decides, and the
// claims that it asks for.
func webCases() []kit.Case {
	fixed := func(claims map[string]any) func(*kit.World) map[string]any {
		return func(*kit.World) map[string]any { return claims }
	}
	return []kit.Case{{
		Op: "AssumeRoleWithWebIdentity", Free: true,
		Good: func(w *kit.World) kit.Call {
			r := newWeb(w, w.Issuer().URL)
			return kit.Call{Do: func(*kit.Clients) error {
				return r.assume(nil, nil, func(o *sts.AssumeRoleWithWebIdentityOutput) error {
					session := w.ARN("sts", "assumed-role/"+r.name+"/night")
					if err := kit.Want("session", []string{*o.AssumedRoleUser.Arn, *o.SubjectFromWebIdentityToken, *o.Audience}, []string{session, "camera-7", "app"}); err != nil {
						return err
					}
					return is(w, o.Credentials, session)
				})
			}}
		},
		Errors: kit.Errors{
			"MalformedPolicyDocument": bringing(fixed(nil), aws.String(`{}`)),
			"PackedPolicyTooLarge": bringing(func(w *kit.World) map[string]any {
				tags := map[string][]string{}
				for _, t := range manyTags(w) {
					tags[*t.Key] = []string{*t.Value}
				}
				return map[string]any{"https://aws.amazon.com/tags": map[string]any{"principal_tags": tags}}
			}, nil),
			"IDPRejectedClaim": bringing(fixed(map[string]any{
				"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string][]string{"not<a>tag": {"v"}}},
			}), nil),
			"InvalidIdentityToken":  bringing(fixed(map[string]any{"aud": "another"}), nil),
			"ExpiredTokenException": bringing(fixed(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), nil),
			"IDPCommunicationError": func(w *kit.World) error {
				w.Issuer()
				return newWeb(w, "https://127.0.0.1:1/nobody").assume(nil, nil)
			},
		},
		Others: kit.Errors{
			"AccessDenied": func(w *kit.World) error {
				return kit.Saying(bringing(fixed(map[string]any{"sub": "camera-8"}), nil)(w), "Not authorized to perform sts:AssumeRoleWithWebIdentity")
			},
		},
	}}
}
