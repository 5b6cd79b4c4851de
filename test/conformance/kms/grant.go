// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// absentGrant is well formed, and no grant's.
const absentGrant = "0000000000000000000000000000000000000000000000000000000000000000"

// grant is one that lets the account decrypt, which changes nothing.
func (k *key) grant() (id, token string) {
	k.w.T.Helper()
	k.w.Must(kit.Run(k.w.Admin, k.w.Admin.KMS.CreateGrant, k.grantInput(), func(o *kms.CreateGrantOutput) error {
		id, token = *o.GrantId, *o.GrantToken
		return nil
	}))
	return id, token
}

func (k *key) grantInput() *kms.CreateGrantInput {
	return grantInput(k.w, k.ID)
}

func grantInput(w *kit.World, keyID string) *kms.CreateGrantInput {
	return &kms.CreateGrantInput{
		KeyId: &keyID, GranteePrincipal: aws.String(w.ARN("iam", "root")), RetiringPrincipal: aws.String(w.ARN("iam", "root")),
		Operations: []types.GrantOperation{types.GrantOperationDecrypt},
	}
}

// grants are the ids of the key's grants.
func (k *key) grants() any {
	k.w.T.Helper()
	ids := []string{}
	k.w.Must(kit.Run(k.w.Admin, k.w.Admin.KMS.ListGrants, &kms.ListGrantsInput{KeyId: &k.ID}, func(o *kms.ListGrantsOutput) error {
		for _, g := range o.Grants {
			ids = append(ids, *g.GrantId)
		}
		return nil
	}))
	return ids
}

func listGrants(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.ListGrants, &kms.ListGrantsInput{KeyId: &id})
}

func revoke(c *kit.Clients, keyID, grantID string) error {
	return kit.Run(c, c.KMS.RevokeGrant, &kms.RevokeGrantInput{KeyId: &keyID, GrantId: &grantID})
}

func retire(c *kit.Clients, keyARN, grantID string) error {
	return kit.Run(c, c.KMS.RetireGrant, &kms.RetireGrantInput{KeyId: &keyARN, GrantId: &grantID})
}

// dry is how DryRun ends where all is well.
func dry(err error) error {
	return kit.Saying(err, "The request would have succeeded, but the DryRun option is set.")
}

func grantCases() []kit.Case {
	return []kit.Case{createGrant(), listGrantsCase(), listRetirable(), revokeGrant(), retireGrant()}
}

func createGrant() kit.Case {
	// with makes a grant on a shared key with one thing changed.
	with := func(change func(w *kit.World, in *kms.CreateGrantInput)) func(w *kit.World) error {
		return func(w *kit.World) error {
			in := shared(w, sealing).grantInput()
			change(w, in)
			return kit.Run(w.Admin, w.Admin.KMS.CreateGrant, in)
		}
	}
	return kit.Case{
		Op: "CreateGrant",
		Good: func(w *kit.World) kit.Call {
			k := symmetric(w)
			return kit.Call{Needs: kit.On(k.ARN), Changes: k.grants, Do: func(c *kit.Clients) error {
				return kit.Run(c, c.KMS.CreateGrant, k.grantInput(), func(o *kms.CreateGrantOutput) error {
					return kit.True("an id and a token", len(*o.GrantId) == 64 && *o.GrantToken != "")
				})
			}}
		},
		Errors: kit.Errors{
			"NotFoundException": with(func(_ *kit.World, in *kms.CreateGrantInput) { in.KeyId = aws.String(absentID) }),
			"DisabledException": with(func(w *kit.World, in *kms.CreateGrantInput) { in.KeyId = &shared(w, asleep).ID }),
			"InvalidArnException": with(func(w *kit.World, in *kms.CreateGrantInput) {
				in.GranteePrincipal = aws.String(w.ARN("iam", "group/conformance"))
			}),
			"InvalidGrantTokenException": with(func(_ *kit.World, in *kms.CreateGrantInput) { in.GrantTokens = []string{"no token of ours"} }),
			"KMSInvalidStateException":   with(func(w *kit.World, in *kms.CreateGrantInput) { in.KeyId = &shared(w, condemned).ID }),
			"DryRunOperationException":   with(func(_ *kit.World, in *kms.CreateGrantInput) { in.DryRun = aws.Bool(true) }),
		},
		Others: kit.Errors{
			"ValidationException": with(func(_ *kit.World, in *kms.CreateGrantInput) {
				in.Operations = []types.GrantOperation{types.GrantOperationSign}
			}),
		},
		Never: map[string]string{"LimitExceededException": "the quota is 50,000 grants on a key"},
	}
}

func listGrantsCase() kit.Case {
	return kit.Case{
		Op: "ListGrants",
		Good: func(w *kit.World) kit.Call {
			k := symmetric(w)
			id, _ := k.grant()
			return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
				return kit.Run(c, c.KMS.ListGrants, &kms.ListGrantsInput{KeyId: &k.ID}, func(o *kms.ListGrantsOutput) error {
					if err := kit.Want("grants", len(o.Grants), 1); err != nil {
						return err
					}
					g := o.Grants[0]
					return kit.Want("grant", []any{*g.GrantId, *g.KeyId, *g.GranteePrincipal, g.Operations},
						[]any{id, k.ARN, w.ARN("iam", "root"), []types.GrantOperation{types.GrantOperationDecrypt}})
				})
			}}
		},
		Errors: kit.Merge(flawed(listGrants, missing, unheardOf), kit.Errors{
			"InvalidMarkerException": func(w *kit.World) error {
				return kit.Run(w.Admin, w.Admin.KMS.ListGrants, &kms.ListGrantsInput{KeyId: &shared(w, sealing).ID, Marker: aws.String("no marker of ours")})
			},
			"InvalidGrantIdException": func(w *kit.World) error {
				return kit.Run(w.Admin, w.Admin.KMS.ListGrants, &kms.ListGrantsInput{KeyId: &shared(w, sealing).ID, GrantId: aws.String("no id")})
			},
		}),
		Never: map[string]string{"KMSInvalidStateException": anyState},
	}
}

func listRetirable() kit.Case {
	list := func(c *kit.Clients, principal string, marker *string) error {
		return kit.Run(c, c.KMS.ListRetirableGrants, &kms.ListRetirableGrantsInput{RetiringPrincipal: &principal, Marker: marker})
	}
	return kit.Case{
		Op: "ListRetirableGrants",
		Good: func(w *kit.World) kit.Call {
			k := symmetric(w)
			in := k.grantInput()
			in.RetiringPrincipal = &w.Worker.ARN
			w.Must(kit.Run(w.Admin, w.Admin.KMS.CreateGrant, in))
			return kit.Call{Do: func(c *kit.Clients) error {
				return kit.Run(c, c.KMS.ListRetirableGrants, &kms.ListRetirableGrantsInput{RetiringPrincipal: &w.Worker.ARN}, func(o *kms.ListRetirableGrantsOutput) error {
					return kit.True("the grant just made is among them", len(o.Grants) > 0)
				})
			}}
		},
		Errors: kit.Errors{
			"InvalidMarkerException": func(w *kit.World) error {
				return list(w.Admin, w.ARN("iam", "root"), aws.String("no marker of ours"))
			},
			"InvalidArnException": func(w *kit.World) error { return list(w.Admin, w.ARN("iam", "group/conformance"), nil) },
		},
		Never: map[string]string{"NotFoundException": "takes no key, and a principal without grants has an empty list"},
	}
}

func revokeGrant() kit.Case {
	return kit.Case{
		Op: "RevokeGrant",
		Good: func(w *kit.World) kit.Call {
			k := symmetric(w)
			id, _ := k.grant()
			return kit.Call{Needs: kit.On(k.ARN), Changes: k.grants, Do: func(c *kit.Clients) error { return revoke(c, k.ID, id) }}
		},
		Errors: kit.Merge(
			flawed(func(c *kit.Clients, id string) error { return revoke(c, id, absentGrant) }, missing, unheardOf),
			kit.Errors{
				"InvalidGrantIdException": func(w *kit.World) error {
					return revoke(w.Admin, shared(w, sealing).ID, strings.Repeat("x", 64))
				},
				"DryRunOperationException": func(w *kit.World) error {
					k := symmetric(w)
					id, _ := k.grant()
					return dry(kit.Run(w.Admin, w.Admin.KMS.RevokeGrant, &kms.RevokeGrantInput{KeyId: &k.ID, GrantId: &id, DryRun: aws.Bool(true)}))
				},
			}),
		Never: map[string]string{"KMSInvalidStateException": anyState},
	}
}

func retireGrant() kit.Case {
	return kit.Case{
		Op: "RetireGrant",
		Good: func(w *kit.World) kit.Call {
			k := symmetric(w)
			id, _ := k.grant()
			return kit.Call{Needs: kit.On(k.ARN), Changes: k.grants, Do: func(c *kit.Clients) error { return retire(c, k.ARN, id) }}
		},
		Errors: kit.Errors{
			"NotFoundException":   func(w *kit.World) error { return retire(w.Admin, w.ARN("kms", "key/"+absentID), absentGrant) },
			"InvalidArnException": func(w *kit.World) error { return retire(w.Admin, w.ARN("kms", "nothing/"+absentID), absentGrant) },
			"InvalidGrantIdException": func(w *kit.World) error {
				return retire(w.Admin, shared(w, sealing).ARN, strings.Repeat("x", 64))
			},
			"InvalidGrantTokenException": func(w *kit.World) error {
				return kit.Run(w.Admin, w.Admin.KMS.RetireGrant, &kms.RetireGrantInput{GrantToken: aws.String("no token of ours")})
			},
			"DryRunOperationException": func(w *kit.World) error {
				_, token := symmetric(w).grant()
				return dry(kit.Run(w.Admin, w.Admin.KMS.RetireGrant, &kms.RetireGrantInput{GrantToken: &token, DryRun: aws.Bool(true)}))
			},
		},
		Never: map[string]string{"KMSInvalidStateException": anyState},
	}
}
