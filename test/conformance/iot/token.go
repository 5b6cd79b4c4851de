// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	iotapi "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/test/conformance/kit"
)

// tokenCases are of operations of our own, with our own client. Against AWS they are skipped.
func tokenCases() []kit.Case {
	return []kit.Case{createToken(), listTokens(), deleteToken()}
}

// ours skips a case at an endpoint that cannot have it.
func ours(w *kit.World) {
	if w.Endpoint == "aws" {
		w.T.Skip("AWS has no such operation")
	}
}

// invitation is a token for a thing, with a policy and a role alias that are there.
func invitation(w *kit.World) *iotapi.CreateEnrolmentTokenInput {
	w.T.Helper()
	ours(w)
	alias := kit.Shared(w, "a role alias for enrolled devices", func(w *kit.World) string { return aliases().new(w) })
	return &iotapi.CreateEnrolmentTokenInput{ThingName: aws.String(w.Name()), PolicyName: aws.String(provisioned(w)), RoleAlias: &alias}
}

// newToken makes a token and returns its ID.
func newToken(w *kit.World) string {
	w.T.Helper()
	out, err := w.Admin.Enrol.CreateEnrolmentToken(w.Admin.Ctx, invitation(w))
	w.Must(err)
	id := *out.TokenId
	w.Cleanup("token "+id, func(c *kit.Clients) error { return gone(removeToken(c, id)) })
	return id
}

func removeToken(c *kit.Clients, id string) error {
	_, err := c.Enrol.DeleteEnrolmentToken(c.Ctx, &iotapi.DeleteEnrolmentTokenInput{TokenId: &id})
	return err
}

// tokens are the things of all tokens, by ID.
func tokens(c *kit.Clients) (map[string]string, error) {
	out, err := c.Enrol.ListEnrolmentTokens(c.Ctx, &iotapi.ListEnrolmentTokensInput{})
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, t := range out.EnrolmentTokens {
		all[*t.TokenId] = *t.ThingName
	}
	return all, nil
}

// removeTokens withdraws those for a thing.
func removeTokens(c *kit.Clients, thing string) error {
	all, err := tokens(c)
	for id, of := range all {
		if of == thing {
			err = errors.Join(err, removeToken(c, id))
		}
	}
	return err
}

func createToken() kit.Case {
	create := func(c *kit.Clients, in *iotapi.CreateEnrolmentTokenInput) error {
		out, err := c.Enrol.CreateEnrolmentToken(c.Ctx, in)
		if err != nil {
			return err
		}
		return kit.True("a token and where to take it", strings.HasPrefix(*out.EnrolmentToken, "obs1_") && *out.EndpointAddress != "")
	}
	return kit.Case{
		Op: "CreateEnrolmentToken",
		Good: func(w *kit.World) kit.Call {
			in := invitation(w)
			thing := things().arn(w, *in.ThingName)
			w.Cleanup("token for "+thing, func(c *kit.Clients) error { return removeTokens(c, *in.ThingName) })
			return kit.Call{
				Needs: []kit.Need{
					{Resource: thing},
					{Action: "iot:CreateThing", Resource: thing},
					{Action: "iot:CreateCertificateFromCsr", Resource: "*"},
					{Action: "iot:AttachThingPrincipal", Resource: thing},
					{Action: "iot:AttachPolicy", Resource: policies().arn(w, *in.PolicyName)},
				},
				Changes: func() any {
					all, err := tokens(w.Admin)
					w.Must(err)
					return slices.Contains(slices.Collect(maps.Values(all)), *in.ThingName)
				},
				Do: func(c *kit.Clients) error { return create(c, in) },
			}
		},
		Others: kit.Errors{
			"ResourceNotFoundException": func(w *kit.World) error {
				in := invitation(w)
				in.PolicyName = aws.String(absent)
				return create(w.Admin, in)
			},
			"InvalidRequestException": func(w *kit.World) error {
				in := invitation(w)
				in.ThingName = aws.String(misnomer)
				return create(w.Admin, in)
			},
		},
	}
}

func listTokens() kit.Case {
	return kit.Case{
		Op: "ListEnrolmentTokens",
		Good: func(w *kit.World) kit.Call {
			id := newToken(w)
			return kit.Call{Do: func(c *kit.Clients) error {
				all, err := tokens(c)
				if err != nil {
					return err
				}
				return kit.True("the token is listed", all[id] != "")
			}}
		},
		Others: kit.Errors{"InvalidRequestException": func(w *kit.World) error {
			ours(w)
			_, err := w.Admin.Enrol.ListEnrolmentTokens(w.Admin.Ctx, &iotapi.ListEnrolmentTokensInput{NextToken: aws.String("no token of ours")})
			return err
		}},
	}
}

func deleteToken() kit.Case {
	return kit.Case{
		Op: "DeleteEnrolmentToken",
		Good: func(w *kit.World) kit.Call {
			id := newToken(w)
			return kit.Call{
				Changes: func() any {
					all, err := tokens(w.Admin)
					w.Must(err)
					return all[id]
				},
				Do: func(c *kit.Clients) error { return removeToken(c, id) },
			}
		},
		Others: kit.Errors{
			"ResourceNotFoundException": func(w *kit.World) error { ours(w); return removeToken(w.Admin, strings.Repeat("0", 16)) },
			"InvalidRequestException":   func(w *kit.World) error { ours(w); return removeToken(w.Admin, misnomer) },
		},
	}
}
