// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/policy"
)

// Quotas of policies in characters, white space outside of strings not counted.
//
// Source: IAM User Guide, "IAM and AWS STS quotas".
const (
	maxManagedPolicy = 6144
	maxTrustPolicy   = 4096 // AWS's own default is 2048, raisable to this
	maxUserInline    = 2048
	maxGroupInline   = 5120
	maxRoleInline    = 10240

	maxLayout = 4 // texts longer than so many times their compact form lose their white space
)

func (k kind) maxInline() int {
	switch k {
	case userKind:
		return maxUserInline
	case groupKind:
		return maxGroupInline
	}
	return maxRoleInline
}

// A document is an identity policy: its text as it was given, and compiled.
type document struct {
	Text     string
	compiled *policy.Document
}

func newDocument(text string) (*document, error) {
	d := &document{Text: text}
	if err := d.compile(); err != nil {
		return nil, malformedDocument(err)
	}
	d.Text = layout(text)
	return d, nil
}

func (d *document) compile() (err error) {
	d.compiled, err = policy.Parse([]byte(d.Text), policy.Identity)
	return err
}

// malformedDocument is the error of the API for what policy.Parse refused.
func malformedDocument(err error) error {
	if m := (*policy.MalformedError)(nil); errors.As(err, &m) {
		return malformed(m.Message)
	}
	return err
}

// compact returns valid JSON without its white space.
func compact(text string) string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		return text
	}
	return b.String()
}

// size is what counts against the quotas.
func (d *document) size() int { return len(compact(d.Text)) }

// layout keeps the text as it was given unless it is mostly white space, which is not counted by the
// quotas and so must not fill the store.
func layout(text string) string {
	if c := compact(text); len(text) > maxLayout*len(c) {
		return c
	}
	return text
}

// encode is how policy documents come back: percent-encoded as RFC 3986 has it.
func encode(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// A trust is the trust policy of a role. Users and roles that it names are meant by their unique IDs: one
// deleted and made again is another.
type trust struct {
	Text string
	// Pins holds the unique ID of each user and role ARN in Text, as of when it was saved.
	Pins     map[string]string `json:",omitempty"`
	compiled *policy.Document
}

// newTrust compiles a trust policy. Every user and role that it names must exist.
func (v *view) newTrust(account, text string) (*trust, error) {
	d, err := policy.Parse([]byte(text), policy.Trust)
	if err != nil {
		return nil, malformedDocument(err)
	}
	if len(compact(text)) > maxTrustPolicy {
		return nil, overQuota("ACLSizePerRole", maxTrustPolicy)
	}
	t := &trust{Text: layout(text), Pins: map[string]string{}}
	for _, ref := range d.Principals() {
		if ref.Type != "AWS" || !strings.HasPrefix(ref.Value, "arn:aws:iam::") && !isEntityID(ref.Value) || strings.HasSuffix(ref.Value, ":root") {
			continue
		}
		e := v.entities[ref.Value]
		if e == nil {
			e = v.byARN(account, ref.Value)
		}
		if e == nil || e.Kind == groupKind {
			return nil, malformed(`Invalid principal in policy: "AWS":"` + ref.Value + `"`)
		}
		t.Pins[ref.Value] = e.ID
	}
	return t, t.compile()
}

func isEntityID(s string) bool { return strings.HasPrefix(s, "AIDA") || strings.HasPrefix(s, "AROA") }

func (t *trust) compile() error {
	text, err := rewritePrincipals(t.Text, func(name string) string {
		if id, ok := t.Pins[name]; ok {
			return id
		}
		return name
	})
	if err == nil {
		t.compiled, err = policy.Parse([]byte(text), policy.Trust)
	}
	return err
}

// shown is the trust policy as the API gives it back: with the present ARNs of those it names, or the
// unique IDs of those who are gone.
func (t *trust) shown(v *view, account string) string {
	names := map[string]string{}
	for name, id := range t.Pins {
		now := id
		if e := v.entities[id]; e != nil {
			now = e.arn(account)
		}
		if now != name {
			names[name] = now
		}
	}
	if len(names) == 0 {
		return t.Text
	}
	text, err := rewritePrincipals(t.Text, func(name string) string {
		if now, ok := names[name]; ok {
			return now
		}
		return name
	})
	if err != nil {
		return t.Text // cannot be: it was compiled the same way
	}
	return text
}

// rewritePrincipals puts other names into the AWS principals of a policy. Everything else keeps its meaning,
// if not its layout.
func rewritePrincipals(text string, rename func(string) string) (string, error) {
	var doc map[string]any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		return "", err
	}
	statements, ok := doc["Statement"].([]any)
	if !ok {
		statements = []any{doc["Statement"]}
	}
	for _, st := range statements {
		members, _ := st.(map[string]any)
		for _, name := range [...]string{"Principal", "NotPrincipal"} {
			if p, ok := members[name].(map[string]any); ok {
				renameAll(p, "AWS", rename)
			}
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(doc)
	return strings.TrimSuffix(b.String(), "\n"), err
}

func renameAll(p map[string]any, member string, rename func(string) string) {
	switch names := p[member].(type) {
	case string:
		p[member] = rename(names)
	case []any:
		for i, n := range names {
			if n, ok := n.(string); ok {
				names[i] = rename(n)
			}
		}
	}
}

func boundaryOut(e *entity) *iamapi.AttachedPermissionsBoundary {
	if e.Boundary == "" {
		return nil
	}
	return &iamapi.AttachedPermissionsBoundary{
		PermissionsBoundaryArn:  new(e.Boundary),
		PermissionsBoundaryType: new(iamapi.PermissionsBoundaryAttachmentTypePermissionsBoundaryPolicy),
	}
}
