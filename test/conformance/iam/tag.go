// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

// maxTags is the quota of tags on one resource.
const maxTags = 50

// tagger is the operations on the tags of one kind of resource; id is its name or ARN.
type tagger struct {
	make  func(w *kit.World) (id string)
	arn   func(w *kit.World, id string) string
	tag   func(c *kit.Clients, id string, tags []types.Tag) error
	untag func(c *kit.Clients, id string, keys []string) error
	list  func(c *kit.Clients, id string) ([]types.Tag, error)
	// bad is the errors of an operation on a resource that is not there, or is no such resource.
	bad func(call func(c *kit.Clients, id string) error) kit.Errors
}

// entityTags is a tagger of users or roles.
func entityTags(k kind) tagger {
	return tagger{make: k.make, arn: k.arn, bad: func(call func(c *kit.Clients, id string) error) kit.Errors { return missing(k, call) }}
}

func userTags() tagger {
	t := entityTags(users())
	t.tag = func(c *kit.Clients, id string, tags []types.Tag) error {
		return kit.Run(c, c.IAM.TagUser, &iam.TagUserInput{UserName: &id, Tags: tags})
	}
	t.untag = func(c *kit.Clients, id string, keys []string) error {
		return kit.Run(c, c.IAM.UntagUser, &iam.UntagUserInput{UserName: &id, TagKeys: keys})
	}
	t.list = func(c *kit.Clients, id string) (tags []types.Tag, err error) {
		return tags, kit.Run(c, c.IAM.ListUserTags, &iam.ListUserTagsInput{UserName: &id}, func(o *iam.ListUserTagsOutput) error { tags = o.Tags; return nil })
	}
	return t
}

func roleTags() tagger {
	t := entityTags(roles())
	t.tag = func(c *kit.Clients, id string, tags []types.Tag) error {
		return kit.Run(c, c.IAM.TagRole, &iam.TagRoleInput{RoleName: &id, Tags: tags})
	}
	t.untag = func(c *kit.Clients, id string, keys []string) error {
		return kit.Run(c, c.IAM.UntagRole, &iam.UntagRoleInput{RoleName: &id, TagKeys: keys})
	}
	t.list = func(c *kit.Clients, id string) (tags []types.Tag, err error) {
		return tags, kit.Run(c, c.IAM.ListRoleTags, &iam.ListRoleTagsInput{RoleName: &id}, func(o *iam.ListRoleTagsOutput) error { tags = o.Tags; return nil })
	}
	return t
}

func policyTags() tagger {
	return tagger{
		make: newPolicy, arn: func(_ *kit.World, id string) string { return id },
		bad: func(call func(c *kit.Clients, id string) error) kit.Errors { return badPolicy(call) },
		tag: func(c *kit.Clients, id string, tags []types.Tag) error {
			return kit.Run(c, c.IAM.TagPolicy, &iam.TagPolicyInput{PolicyArn: &id, Tags: tags})
		},
		untag: func(c *kit.Clients, id string, keys []string) error {
			return kit.Run(c, c.IAM.UntagPolicy, &iam.UntagPolicyInput{PolicyArn: &id, TagKeys: keys})
		},
		list: func(c *kit.Clients, id string) (tags []types.Tag, err error) {
			return tags, kit.Run(c, c.IAM.ListPolicyTags, &iam.ListPolicyTagsInput{PolicyArn: &id}, func(o *iam.ListPolicyTagsOutput) error { tags = o.Tags; return nil })
		},
	}
}

func providerTags() tagger {
	return tagger{
		make: newProvider, arn: func(_ *kit.World, id string) string { return id },
		bad: func(call func(c *kit.Clients, id string) error) kit.Errors { return badProvider(call) },
		tag: func(c *kit.Clients, id string, tags []types.Tag) error {
			return kit.Run(c, c.IAM.TagOpenIDConnectProvider, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &id, Tags: tags})
		},
		untag: func(c *kit.Clients, id string, keys []string) error {
			return kit.Run(c, c.IAM.UntagOpenIDConnectProvider, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &id, TagKeys: keys})
		},
		list: func(c *kit.Clients, id string) (tags []types.Tag, err error) {
			return tags, kit.Run(c, c.IAM.ListOpenIDConnectProviderTags, &iam.ListOpenIDConnectProviderTagsInput{OpenIDConnectProviderArn: &id},
				func(o *iam.ListOpenIDConnectProviderTagsOutput) error { tags = o.Tags; return nil })
		},
	}
}

func tagCases() []kit.Case {
	u, r, p, o := userTags(), roleTags(), policyTags(), providerTags()
	return []kit.Case{
		u.tagCase("TagUser"), r.tagCase("TagRole"), p.tagCase("TagPolicy"), o.tagCase("TagOpenIDConnectProvider"),
		u.untagCase("UntagUser"), r.untagCase("UntagRole"), p.untagCase("UntagPolicy"), o.untagCase("UntagOpenIDConnectProvider"),
		u.listCase("ListUserTags"), r.listCase("ListRoleTags"), p.listCase("ListPolicyTags"), o.listCase("ListOpenIDConnectProviderTags"),
	}
}

// tagsNamed are tags by these names.
func tagsNamed(names ...string) (tags []types.Tag) {
	for _, name := range names {
		tags = append(tags, types.Tag{Key: aws.String(name), Value: aws.String("v")})
	}
	return tags
}

// tagged makes a resource with a tag "old".
func (t tagger) tagged(w *kit.World) (id string) {
	w.T.Helper()
	id = t.make(w)
	w.Must(t.tag(w.Admin, id, tagsNamed("old")))
	return id
}

// tags are the names of a resource's tags, for Call.Changes.
func (t tagger) tags(w *kit.World, id string) func() any {
	return func() any {
		w.T.Helper()
		tags, err := t.list(w.Admin, id)
		w.Must(err)
		names := []string{}
		for _, tag := range tags {
			names = append(names, *tag.Key)
		}
		return names
	}
}

func (t tagger) tagCase(op string) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			id := t.tagged(w)
			return kit.Call{Needs: kit.On(t.arn(w, id)), Changes: t.tags(w, id), Do: func(c *kit.Clients) error { return t.tag(c, id, tagsNamed("new")) }}
		},
		Errors: kit.Merge(t.bad(func(c *kit.Clients, id string) error { return t.tag(c, id, tagsNamed("new")) }), kit.Errors{
			"InvalidInput": func(w *kit.World) error { return t.tag(w.Admin, t.make(w), tagsNamed("aws:mine")) },
			"LimitExceeded": func(w *kit.World) error {
				id := t.make(w)
				var names []string
				for i := range maxTags {
					names = append(names, fmt.Sprint("tag", i))
				}
				w.Must(t.tag(w.Admin, id, tagsNamed(names...)))
				return t.tag(w.Admin, id, tagsNamed("one too many"))
			},
		}),
	}
}

func (t tagger) untagCase(op string) kit.Case {
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			id := t.tagged(w)
			return kit.Call{Needs: kit.On(t.arn(w, id)), Changes: t.tags(w, id), Do: func(c *kit.Clients) error { return t.untag(c, id, []string{"old"}) }}
		},
		Errors: t.bad(func(c *kit.Clients, id string) error { return t.untag(c, id, []string{"old"}) }),
	}
}

func (t tagger) listCase(op string) kit.Case {
	get := func(c *kit.Clients, id string) error {
		tags, err := t.list(c, id)
		if err != nil {
			return err
		}
		return kit.Want("tags", tags, tagsNamed("old"))
	}
	return kit.Case{
		Op: op,
		Good: func(w *kit.World) kit.Call {
			id := t.tagged(w)
			return kit.Call{Needs: kit.On(t.arn(w, id)), Do: func(c *kit.Clients) error { return get(c, id) }}
		},
		Errors: t.bad(get),
	}
}
