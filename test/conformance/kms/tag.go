// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

func tag(c *kit.Clients, id string, names ...string) error {
	in := &kms.TagResourceInput{KeyId: &id}
	for _, name := range names {
		in.Tags = append(in.Tags, types.Tag{TagKey: aws.String(name), TagValue: aws.String("v")})
	}
	return kit.Run(c, c.KMS.TagResource, in)
}

func untag(c *kit.Clients, id string, names ...string) error {
	return kit.Run(c, c.KMS.UntagResource, &kms.UntagResourceInput{KeyId: &id, TagKeys: names})
}

func listTags(c *kit.Clients, id string) error {
	return kit.Run(c, c.KMS.ListResourceTags, &kms.ListResourceTagsInput{KeyId: &id})
}

// tags are the names of the key's tags.
func (k *key) tags() any {
	k.w.T.Helper()
	names := []string{}
	k.w.Must(kit.Run(k.w.Admin, k.w.Admin.KMS.ListResourceTags, &kms.ListResourceTagsInput{KeyId: &k.ID}, func(o *kms.ListResourceTagsOutput) error {
		for _, t := range o.Tags {
			names = append(names, *t.TagKey)
		}
		return nil
	}))
	return names
}

// tagged is a key with a tag "old".
func tagged(w *kit.World) *key {
	w.T.Helper()
	k := symmetric(w)
	w.Must(tag(w.Admin, k.ID, "old"))
	return k
}

func tagCases() []kit.Case {
	return []kit.Case{
		{
			Op: "TagResource",
			Good: func(w *kit.World) kit.Call {
				k := tagged(w)
				return kit.Call{Needs: kit.On(k.ARN), Changes: k.tags, Do: func(c *kit.Clients) error { return tag(c, k.ID, "new") }}
			},
			Errors: kit.Merge(
				flawed(func(c *kit.Clients, id string) error { return tag(c, id, "k") }, missing, unheardOf, pendingDeletion),
				kit.Errors{"TagException": func(w *kit.World) error {
					return kit.Saying(tag(w.Admin, symmetric(w).ID, "aws:mine"), "Tags beginning with aws: are reserved")
				}}),
			Never: map[string]string{"LimitExceededException": "too many tags are a TagException"},
		},
		{
			Op: "UntagResource",
			Good: func(w *kit.World) kit.Call {
				k := tagged(w)
				return kit.Call{Needs: kit.On(k.ARN), Changes: k.tags, Do: func(c *kit.Clients) error { return untag(c, k.ID, "old") }}
			},
			Errors: kit.Merge(
				flawed(func(c *kit.Clients, id string) error { return untag(c, id, "k") }, missing, unheardOf, pendingDeletion),
				kit.Errors{"TagException": func(w *kit.World) error { return untag(w.Admin, tagged(w).ID, "aws:mine") }}),
		},
		{
			Op: "ListResourceTags",
			Good: func(w *kit.World) kit.Call {
				k := tagged(w)
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					return kit.Run(c, c.KMS.ListResourceTags, &kms.ListResourceTagsInput{KeyId: &k.ID}, func(o *kms.ListResourceTagsOutput) error {
						if len(o.Tags) != 1 {
							return fmt.Errorf("%d tags", len(o.Tags))
						}
						return kit.Want("tag", []string{*o.Tags[0].TagKey, *o.Tags[0].TagValue}, []string{"old", "v"})
					})
				}}
			},
			Errors: kit.Merge(flawed(listTags, missing, unheardOf), kit.Errors{"InvalidMarkerException": func(w *kit.World) error {
				return kit.Run(w.Admin, w.Admin.KMS.ListResourceTags, &kms.ListResourceTagsInput{KeyId: &shared(w, sealing).ID, Marker: aws.String("no marker of ours")})
			}}),
		},
	}
}
