// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// maxAliases is AWS's quota of aliases on one key.
const maxAliases = 50

// alias is the name of an alias that there is not yet, and its ARN. It is deleted at the end if it was made.
func alias(w *kit.World) (name, arn string) {
	name = "alias/" + w.Name()
	w.Cleanup(name, func(c *kit.Clients) error {
		err := deleteAlias(c, name)
		if code, _ := kit.CodeOf(err); code == "NotFoundException" {
			return nil
		}
		return err
	})
	return name, w.ARN("kms", name)
}

// newAlias makes an alias of a key.
func newAlias(w *kit.World, k *key) (name, arn string) {
	w.T.Helper()
	name, arn = alias(w)
	w.Must(createAlias(w.Admin, name, k.ID))
	return name, arn
}

func createAlias(c *kit.Clients, name, target string) error {
	return kit.Run(c, c.KMS.CreateAlias, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &target})
}

func updateAlias(c *kit.Clients, name, target string) error {
	return kit.Run(c, c.KMS.UpdateAlias, &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: &target})
}

func deleteAlias(c *kit.Clients, name string) error {
	return kit.Run(c, c.KMS.DeleteAlias, &kms.DeleteAliasInput{AliasName: &name})
}

// aliases are the names of a key's aliases.
func (k *key) aliases() any {
	k.w.T.Helper()
	names := []string{}
	k.w.Must(kit.Run(k.w.Admin, k.w.Admin.KMS.ListAliases, &kms.ListAliasesInput{KeyId: &k.ID}, func(o *kms.ListAliasesOutput) error {
		for _, a := range o.Aliases {
			names = append(names, *a.AliasName)
		}
		return nil
	}))
	return names
}

// crowded is a key with as many aliases as a key can have.
func crowded(w *kit.World) *key {
	w.Slow()
	return kit.Shared(w, "a key with all its aliases", func(w *kit.World) *key {
		k := symmetric(w)
		for range maxAliases {
			newAlias(w, k)
		}
		return k
	})
}

func aliasCases() []kit.Case {
	return []kit.Case{
		{
			Op: "CreateAlias",
			Good: func(w *kit.World) kit.Call {
				k := symmetric(w)
				name, arn := alias(w)
				return kit.Call{
					Needs:   []kit.Need{{Resource: arn}, {Resource: k.ARN}},
					Changes: k.aliases,
					Do:      func(c *kit.Clients) error { return createAlias(c, name, k.ID) },
				}
			},
			Errors: kit.Errors{
				"AlreadyExistsException": func(w *kit.World) error {
					name, arn := newAlias(w, symmetric(w))
					return kit.Saying(createAlias(w.Admin, name, shared(w, sealing).ID), "An alias with the name "+arn+" already exists")
				},
				"NotFoundException": func(w *kit.World) error {
					name, _ := alias(w)
					return createAlias(w.Admin, name, absentID)
				},
				"InvalidAliasNameException": func(w *kit.World) error {
					return createAlias(w.Admin, "alias/aws/conformance", shared(w, sealing).ID)
				},
				"LimitExceededException": func(w *kit.World) error {
					k := crowded(w)
					name, _ := alias(w)
					return createAlias(w.Admin, name, k.ID)
				},
				"KMSInvalidStateException": func(w *kit.World) error {
					k := shared(w, condemned)
					name, _ := alias(w)
					return kit.Saying(createAlias(w.Admin, name, k.ID), k.ARN+" is pending deletion.")
				},
			},
			Others: kit.Errors{
				"ValidationException": func(w *kit.World) error {
					return kit.Saying(createAlias(w.Admin, "conformance", shared(w, sealing).ID), `Alias must start with the prefix "alias/"`)
				},
			},
		},
		{
			Op: "UpdateAlias",
			Good: func(w *kit.World) kit.Call {
				from, to := symmetric(w), symmetric(w)
				name, arn := newAlias(w, from)
				return kit.Call{
					Needs:   []kit.Need{{Resource: arn}, {Resource: from.ARN}, {Resource: to.ARN}},
					Changes: to.aliases,
					Do:      func(c *kit.Clients) error { return updateAlias(c, name, to.ID) },
				}
			},
			Errors: kit.Errors{
				"NotFoundException": func(w *kit.World) error {
					name, arn := alias(w)
					return kit.Saying(updateAlias(w.Admin, name, shared(w, sealing).ID), "Alias "+arn+" is not found.")
				},
				"LimitExceededException": func(w *kit.World) error {
					k := crowded(w)
					name, _ := newAlias(w, symmetric(w))
					return updateAlias(w.Admin, name, k.ID)
				},
				"KMSInvalidStateException": func(w *kit.World) error {
					name, _ := newAlias(w, symmetric(w))
					return updateAlias(w.Admin, name, shared(w, condemned).ID)
				},
			},
		},
		{
			Op: "DeleteAlias",
			Good: func(w *kit.World) kit.Call {
				k := symmetric(w)
				name, arn := newAlias(w, k)
				return kit.Call{
					Needs:   []kit.Need{{Resource: arn}, {Resource: k.ARN}},
					Changes: k.aliases,
					Do:      func(c *kit.Clients) error { return deleteAlias(c, name) },
				}
			},
			Errors: kit.Errors{
				"NotFoundException": func(w *kit.World) error {
					name, arn := alias(w)
					return kit.Saying(deleteAlias(w.Admin, name), "Alias "+arn+" is not found.")
				},
			},
			Never: map[string]string{"KMSInvalidStateException": anyState},
		},
		{
			Op: "ListAliases",
			Good: func(w *kit.World) kit.Call {
				k := symmetric(w)
				name, arn := newAlias(w, k)
				return kit.Call{Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.ListAliases, &kms.ListAliasesInput{KeyId: &k.ID}, func(o *kms.ListAliasesOutput) error {
						if len(o.Aliases) != 1 {
							return fmt.Errorf("%d aliases", len(o.Aliases))
						}
						a := o.Aliases[0]
						return kit.Want("alias", []string{*a.AliasName, *a.AliasArn, *a.TargetKeyId}, []string{name, arn, k.ID})
					})
				}}
			},
			Errors: kit.Merge(
				flawed(func(c *kit.Clients, id string) error {
					return kit.Run(c, c.KMS.ListAliases, &kms.ListAliasesInput{KeyId: &id})
				}, missing, unheardOf),
				foreignMarker(func(c *kit.Clients, marker *string) error {
					return kit.Run(c, c.KMS.ListAliases, &kms.ListAliasesInput{Marker: marker, Limit: aws.Int32(1)})
				})),
		},
	}
}
