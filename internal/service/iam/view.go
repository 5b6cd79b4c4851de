// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/policy"
)

// A kind of entity, as it stands in ARNs.
type kind string

const (
	userKind  kind = "user"
	groupKind kind = "group"
	roleKind  kind = "role"
)

// idPrefix begins the unique IDs of the kind.
func (k kind) idPrefix() string {
	switch k {
	case userKind:
		return "AIDA"
	case groupKind:
		return "AGPA"
	}
	return "AROA"
}

// title is the kind as AWS begins a sentence with it.
func (k kind) title() string { return strings.ToUpper(string(k[:1])) + string(k[1:]) }

// An entity is a user, a group or a role. It is immutable once it is in a view; clone it to change it.
type entity struct {
	Kind    kind
	ID      string
	Name    string
	Path    string
	Created time.Time
	Tags    []tag `json:",omitempty"`
	// Inline policies by name, Attached and Boundary are ARNs of managed policies.
	Inline   map[string]*document `json:",omitempty"`
	Attached []string             `json:",omitempty"`
	Boundary string               `json:",omitempty"`

	// Groups holds a user's group IDs.
	Groups []string `json:",omitempty"`

	// The rest is a role's.
	Description       string `json:",omitempty"`
	Trust             *trust `json:",omitempty"`
	MaxSessionSeconds int64  `json:",omitempty"`
}

func (e *entity) clone() *entity {
	c := *e
	c.Tags = slices.Clone(e.Tags)
	c.Inline = maps.Clone(e.Inline)
	c.Attached = slices.Clone(e.Attached)
	c.Groups = slices.Clone(e.Groups)
	return &c
}

func (e *entity) arn(account string) string {
	return "arn:aws:iam::" + account + ":" + string(e.Kind) + e.Path + e.Name
}

// A tag keeps the order in which tags were set.
type tag struct{ Key, Value string }

func tagMap(tags []tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

// A managedPolicy belongs to the account or, when its account is "aws", to the server.
type managedPolicy struct {
	ID          string
	Name        string
	Path        string
	ARN         string
	Description string `json:",omitempty"`
	Created     time.Time
	Updated     time.Time
	Tags        []tag `json:",omitempty"`
	Default     string
	Last        int // number of the newest version that ever was

	versions []*policyVersion // oldest first; rows of their own
}

type policyVersion struct {
	ID       string
	Created  time.Time
	Document *document
}

func (p *managedPolicy) clone() *managedPolicy {
	c := *p
	c.Tags = slices.Clone(p.Tags)
	c.versions = slices.Clone(p.versions)
	return &c
}

func (p *managedPolicy) version(id string) *policyVersion {
	for _, v := range p.versions {
		if v.ID == id {
			return v
		}
	}
	return nil
}

// compiled returns the policy in force.
func (p *managedPolicy) compiled() *policy.Document { return p.version(p.Default).Document.compiled }

func (p *managedPolicy) awsOwned() bool { return strings.HasPrefix(p.ARN, "arn:aws:iam::aws:") }

// secret is text that no formatting verb shows.
type secret string

func (secret) String() string   { return "[secret]" }
func (secret) GoString() string { return "[secret]" }

// An accessKey belongs to the user with ID Owner, or to the account's root when that is empty.
type accessKey struct {
	ID      string
	Secret  secret
	Owner   string `json:",omitempty"`
	Active  bool
	Created time.Time
}

// accountState is the row that every change rewrites. Generation counts changes, so that a node sees
// that another one wrote.
type accountState struct {
	Format      int // of all rows: 1
	Generation  uint64
	RootCreated bool
	Aliases     []string `json:",omitempty"`
}

// A view is the whole account at one moment, immutable.
type view struct {
	state       accountState
	entities    map[string]*entity        // by ID
	names       map[string]string         // kind "/" lower-case name → ID
	policies    map[string]*managedPolicy // by ARN
	policyNames map[string]string         // lower-case name → ARN, the account's own
	keys        map[string]*accessKey     // by ID
	providers   map[string]*oidcProvider  // by URL
}

func newView() *view {
	v := &view{
		entities:    map[string]*entity{},
		names:       map[string]string{},
		policies:    map[string]*managedPolicy{},
		policyNames: map[string]string{},
		keys:        map[string]*accessKey{},
		providers:   map[string]*oidcProvider{},
	}
	return v
}

func (v *view) clone() *view {
	return &view{
		state:       v.state,
		entities:    maps.Clone(v.entities),
		names:       maps.Clone(v.names),
		policies:    maps.Clone(v.policies),
		policyNames: maps.Clone(v.policyNames),
		keys:        maps.Clone(v.keys),
		providers:   maps.Clone(v.providers),
	}
}

func nameKey(k kind, name string) string { return string(k) + "/" + strings.ToLower(name) }

// find returns the entity of that very name, or nil.
func (v *view) find(k kind, name string) *entity {
	e := v.entities[v.names[nameKey(k, name)]]
	if e == nil || e.Name != name {
		return nil
	}
	return e
}

// taken says whether the name, in any case, is in use.
func (v *view) taken(k kind, name string) bool {
	_, ok := v.names[nameKey(k, name)]
	return ok
}

// byARN returns the user or role that has this ARN, or nil.
func (v *view) byARN(account, arn string) *entity {
	for _, k := range [...]kind{userKind, roleKind, groupKind} {
		rest, ok := strings.CutPrefix(arn, "arn:aws:iam::"+account+":"+string(k)+"/")
		if !ok {
			continue
		}
		e := v.find(k, rest[strings.LastIndexByte(rest, '/')+1:])
		if e != nil && e.arn(account) == arn {
			return e
		}
	}
	return nil
}

// all returns the entities of a kind under a path, sorted by name.
func (v *view) all(k kind, pathPrefix string) []*entity {
	var out []*entity
	for _, e := range v.entities {
		if e.Kind == k && strings.HasPrefix(e.Path, pathPrefix) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *entity) int { return strings.Compare(entityOrder(a), entityOrder(b)) })
	return out
}

func entityOrder(e *entity) string { return strings.ToLower(e.Name) }

// members returns the users of a group, sorted by name.
func (v *view) members(groupID string) []*entity {
	users := v.all(userKind, "")
	return slices.DeleteFunc(users, func(u *entity) bool { return !slices.Contains(u.Groups, groupID) })
}

// keysOf returns the access keys of an owner, oldest first.
func (v *view) keysOf(owner string) []*accessKey {
	var out []*accessKey
	for _, k := range v.keys {
		if k.Owner == owner {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b *accessKey) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// uses counts how often each managed policy is attached, and how often it is a boundary.
func (v *view) uses() (attached, boundary map[string]int64) {
	attached, boundary = map[string]int64{}, map[string]int64{}
	for _, e := range v.entities {
		for _, arn := range e.Attached {
			attached[arn]++
		}
		if e.Boundary != "" {
			boundary[e.Boundary]++
		}
	}
	return attached, boundary
}
