// SPDX-License-Identifier: Apache-2.0

// Package sts is the conformance cases of AWS STS. See kit for what a case is.
//
// Sources: AWS STS API Reference and IAM User Guide; the texts are those that AWS sends.
package sts

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/test/conformance/kit"
)

// API is the cases of STS.
func API() *kit.API {
	return &kit.API{
		Model: stsapi.New(stsapi.Unimplemented{}), Denied: "AccessDenied",
		Never: map[string]string{"RegionDisabledException": "there is no Region that could be disabled"},
		Cases: slices.Concat(identityCases(), roleCases(), webCases()),
	}
}

// as is the clients of temporary credentials.
func as(w *kit.World, c *types.Credentials) *kit.Clients {
	return w.As(sigv4.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken})
}

// is checks that temporary credentials are those of a caller.
func is(w *kit.World, c *types.Credentials, arn string) error {
	s := as(w, c)
	return kit.Run(s, s.STS.GetCallerIdentity, &sts.GetCallerIdentityInput{}, func(o *sts.GetCallerIdentityOutput) error {
		return kit.Want("who has the credentials", *o.Arn, arn)
	})
}

// member is a user who may call all of STS, for errors that the administrator would not meet: root may assume no role.
func member(w *kit.World) *kit.Clients {
	w.T.Helper()
	u := kit.Shared(w, "a user who may call STS", func(w *kit.World) *kit.User {
		u := w.NewUser("member")
		w.Permit(u, kit.Need{Action: "sts:*", Resource: "*"})
		return u
	})
	return w.As(u.Clients.Credentials)
}

// identityCases say who somebody is, and make sessions of users.
func identityCases() []kit.Case {
	return []kit.Case{
		{
			Op: "GetCallerIdentity", Free: true,
			Good: func(w *kit.World) kit.Call {
				return kit.Call{Do: func(c *kit.Clients) error {
					return kit.Run(c, c.STS.GetCallerIdentity, &sts.GetCallerIdentityInput{}, func(o *sts.GetCallerIdentityOutput) error {
						return kit.Want("caller", []any{*o.Account, *o.Arn, (*o.UserId)[:4]}, []any{w.Account, w.Worker.ARN, "AIDA"})
					})
				}}
			},
		},
		{
			Op: "GetAccessKeyInfo",
			Good: func(w *kit.World) kit.Call {
				id := w.Admin.Credentials.AccessKeyID
				return kit.Call{Do: func(c *kit.Clients) error {
					return kit.Run(c, c.STS.GetAccessKeyInfo, &sts.GetAccessKeyInfoInput{AccessKeyId: &id}, func(o *sts.GetAccessKeyInfoOutput) error {
						return kit.Want("account", *o.Account, w.Account)
					})
				}}
			},
		},
		{
			Op: "GetSessionToken", Free: true,
			Good: func(w *kit.World) kit.Call {
				return kit.Call{Do: func(c *kit.Clients) error {
					return kit.Run(c, c.STS.GetSessionToken, &sts.GetSessionTokenInput{}, func(o *sts.GetSessionTokenOutput) error {
						return is(w, o.Credentials, w.Worker.ARN)
					})
				}}
			},
			Others: kit.Errors{"AccessDenied": func(w *kit.World) error {
				out, err := member(w).STS.GetSessionToken(w.Admin.Ctx, &sts.GetSessionTokenInput{})
				w.Must(err)
				s := as(w, out.Credentials)
				return kit.Saying(kit.Run(s, s.STS.GetSessionToken, &sts.GetSessionTokenInput{}), "Cannot call GetSessionToken with session credentials")
			}},
		},
		{
			Op: "GetFederationToken",
			Good: func(w *kit.World) kit.Call {
				name := "guest"
				arn := w.ARN("sts", "federated-user/"+name)
				return kit.Call{Needs: kit.On(arn), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.STS.GetFederationToken, &sts.GetFederationTokenInput{Name: &name}, func(o *sts.GetFederationTokenOutput) error {
						if err := kit.Want("guest", []string{*o.FederatedUser.Arn, *o.FederatedUser.FederatedUserId}, []string{arn, w.Account + ":" + name}); err != nil {
							return err
						}
						return is(w, o.Credentials, arn)
					})
				}}
			},
			Errors: kit.Errors{
				"MalformedPolicyDocument": func(w *kit.World) error {
					c := member(w)
					return kit.Run(c, c.STS.GetFederationToken, &sts.GetFederationTokenInput{Name: aws.String("guest"), Policy: aws.String(`{}`)})
				},
				"PackedPolicyTooLarge": func(w *kit.World) error {
					c := member(w)
					return kit.Run(c, c.STS.GetFederationToken, &sts.GetFederationTokenInput{Name: aws.String("guest"), Tags: manyTags(w)})
				},
			},
		},
		decodeMessage(),
	}
}

// manyTags take more room than a session has, however they are packed.
func manyTags(w *kit.World) (tags []types.Tag) {
	for range 40 {
		value := strings.Join([]string{w.Name(), w.Name(), w.Name(), w.Name(), w.Name(), w.Name(), w.Name(), w.Name(), w.Name(), w.Name()}, " ")
		tags = append(tags, types.Tag{Key: aws.String(w.Name()), Value: &value})
	}
	return tags
}

const explained = "Encoded authorization failure message: "

func decodeMessage() kit.Case {
	return kit.Case{
		Op: "DecodeAuthorizationMessage",
		Good: func(w *kit.World) kit.Call {
			_, text := kit.CodeOf(kit.Run(w.Worker.Clients, w.Worker.Clients.KMS.ListKeys, &kms.ListKeysInput{}))
			_, message, ok := strings.Cut(text, explained)
			if !ok {
				w.T.Skip("the endpoint does not explain its denials")
			}
			return kit.Call{Do: func(c *kit.Clients) error {
				in := &sts.DecodeAuthorizationMessageInput{EncodedMessage: &message}
				return kit.Run(c, c.STS.DecodeAuthorizationMessage, in, func(o *sts.DecodeAuthorizationMessageOutput) error {
					return kit.True("it says who was denied what", strings.Contains(*o.DecodedMessage, w.Worker.ARN) && strings.Contains(*o.DecodedMessage, "kms:ListKeys"))
				})
			}}
		},
		Errors: kit.Errors{"InvalidAuthorizationMessageException": func(w *kit.World) error {
			in := &sts.DecodeAuthorizationMessageInput{EncodedMessage: aws.String("no message of ours")}
			return kit.Run(w.Admin, w.Admin.STS.DecodeAuthorizationMessage, in)
		}},
	}
}
