// SPDX-License-Identifier: Apache-2.0

package oracle_test

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/obscura-video/obscura/internal/policy"
	"github.com/obscura-video/obscura/test/oracle"
)

// dice fall the same way in every run with the same start.
type dice uint64

func (d *dice) roll(n int) int {
	*d = *d*6364136223846793005 + 1442695040888963407 // Knuth's MMIX generator
	return int(*d>>33) % n
}

// chance is true in percent of the rolls.
func (d *dice) chance(percent int) bool { return d.roll(100) < percent }

func pick[T any](d *dice, from []T) T { return from[d.roll(len(from))] }

func member(kind policy.PrincipalKind, account string) policy.Principal {
	p := policy.Principal{Kind: kind, Account: account}
	switch kind {
	case policy.Root:
		p.ARN, p.UniqueID = "arn:aws:iam::"+account+":root", account
	case policy.User:
		p.ARN, p.UniqueID = "arn:aws:iam::"+account+":user/alice", "AIDAAAAAAAAAAAAAAAAA2"
	case policy.AssumedRole:
		p.ARN, p.RoleARN = "arn:aws:sts::"+account+":assumed-role/r/s", "arn:aws:iam::"+account+":role/p/r"
		p.UniqueID = "AROAAAAAAAAAAAAAAAAA2:s"
	case policy.FederatedUser:
		p.ARN, p.UniqueID = "arn:aws:sts::"+account+":federated-user/alice", account+":alice"
	}
	return p
}

// stray fills fields that mean nothing for a caller's kind.
func (d *dice) stray(p *policy.Principal) {
	if p.Kind != policy.AssumedRole {
		p.RoleARN = "arn:aws:iam::" + home + ":role/p/r"
	}
	if p.Kind != policy.Service {
		p.Service = callers[1].Service
	}
	if p.Account == "" {
		p.Account, p.CanonicalUser = home, principals["CanonicalUser"][0]
	}
	if p.Kind == policy.FederatedUser {
		p.UniqueID = "AIDAAAAAAAAAAAAAAAAA2"
	}
}

func (d *dice) caller() policy.Principal {
	if d.chance(12) {
		p := pick(d, callers)
		if d.chance(10) {
			d.stray(&p)
		}
		return p
	}
	account := home
	if d.chance(20) {
		account = abroad
	}
	kinds := []policy.PrincipalKind{policy.User, policy.User, policy.AssumedRole, policy.AssumedRole, policy.FederatedUser, policy.Root}
	p := member(pick(d, kinds), account)
	if d.chance(20) {
		p.CanonicalUser = principals["CanonicalUser"][0]
	}
	if d.chance(5) {
		d.stray(&p)
	}
	return p
}

// context gives each key a value, some values, or none.
func (d *dice) context() policy.Map {
	context := policy.Map{}
	for _, o := range operands {
		switch {
		case d.chance(25):
		case o.multi && d.chance(60):
			for range d.roll(4) {
				context.Add(o.key, pick(d, o.has))
			}
		default:
			context.Set(o.key, pick(d, o.has))
		}
	}
	return context
}

// some writes one to three elements, one alone at times without the array.
func some[T any](d *dice, from []T) any {
	if d.chance(40) {
		return pick(d, from)
	}
	var all []any
	for range 1 + d.roll(3) {
		all = append(all, pick(d, from))
	}
	return all
}

func (d *dice) condition() map[string]any {
	condition := map[string]any{}
	for range []int{0, 0, 0, 0, 0, 1, 1, 1, 2, 3}[d.roll(10)] {
		o := pick(d, operands)
		operator := pick(d, o.operator)
		switch {
		case d.chance(12):
			condition["Null"] = map[string]any{d.spell(o.key): some(d, []any{"true", "false", true})}
			continue
		case o.multi && d.chance(60), d.chance(25):
			operator = pick(d, []string{"ForAllValues:", "ForAnyValue:"}) + operator
		}
		if d.chance(20) {
			operator += "IfExists"
		}
		block, ok := condition[operator].(map[string]any)
		if !ok {
			block = map[string]any{}
			condition[operator] = block
		}
		block[o.key] = some(d, o.wants)
	}
	if len(condition) == 0 && d.chance(80) {
		return nil
	}
	return condition
}

// spell writes a condition key in one of its cases.
func (d *dice) spell(key string) string {
	if d.chance(30) {
		return strings.ToUpper(key)
	}
	return key
}

func (d *dice) principal() any {
	if d.chance(8) {
		return "*"
	}
	element := map[string]any{"AWS": some(d, principals["AWS"])}
	if d.chance(15) {
		delete(element, "AWS")
	}
	for _, kind := range []string{"Service", "Federated", "CanonicalUser"} {
		if d.chance(15) || len(element) == 0 {
			element[kind] = some(d, principals[kind])
		}
	}
	return element
}

// notPrincipal excepts a caller as a Deny has to, with its account and all else that it is, or forgets
// one of them.
func (d *dice) notPrincipal(p policy.Principal) any {
	names := []any{p.Account, p.ARN}
	if p.RoleARN != "" {
		names = append(names, p.RoleARN)
	}
	if d.chance(30) {
		forgotten := d.roll(len(names))
		names = slices.Delete(names, forgotten, forgotten+1)
	}
	return map[string]any{"AWS": names}
}

func (d *dice) statement(kind policy.Kind) map[string]any {
	s := map[string]any{"Effect": "Allow"}
	if d.chance(20) {
		s["Effect"] = "Deny"
	}
	if d.chance(50) {
		s["Sid"] = pick(d, []string{"A", "B", "C"})
	}
	patterns := actionPatterns
	if kind == policy.Trust {
		patterns = trustPatterns
	}
	s[d.negated("Action", 10)] = some(d, patterns)
	if kind != policy.Trust {
		s[d.negated("Resource", 10)] = some(d, resourcePatterns)
	}
	if kind == policy.Resource || kind == policy.KeyPolicy || kind == policy.Trust {
		d.addPrincipal(s, kind)
	}
	if c := d.condition(); c != nil {
		s["Condition"] = c
	}
	return s
}

func (d *dice) addPrincipal(s map[string]any, kind policy.Kind) {
	switch {
	case kind == policy.Trust || !d.chance(10):
		s["Principal"] = d.principal()
	case d.chance(40):
		p := member(pick(d, []policy.PrincipalKind{policy.User, policy.AssumedRole, policy.FederatedUser}), home)
		s["NotPrincipal"] = d.notPrincipal(p)
	default:
		s["NotPrincipal"] = d.principal()
	}
	if _, negated := s["NotPrincipal"]; negated && d.chance(80) {
		s["Effect"] = "Deny"
	}
}

func (d *dice) negated(element string, percent int) string {
	if d.chance(percent) {
		return "Not" + element
	}
	return element
}

func (d *dice) document(kind policy.Kind) string {
	all := []any{}
	var sids []string
	for range 1 + d.roll(3) {
		s := d.statement(kind)
		if sid, ok := s["Sid"].(string); ok && contains(&sids, sid) {
			delete(s, "Sid") // Sids are unique in a document
		}
		all = append(all, s)
	}
	doc := map[string]any{"Statement": all}
	if len(all) == 1 && d.chance(50) {
		doc["Statement"] = all[0]
	}
	switch d.roll(10) {
	case 0:
	case 1:
		doc["Version"] = policy.Version2008
	default:
		doc["Version"] = policy.Version2012
	}
	return encode(doc)
}

// contains says whether s is among all, and adds it.
func contains(all *[]string, s string) bool {
	for _, have := range *all {
		if have == s {
			return true
		}
	}
	*all = append(*all, s)
	return false
}

func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (d *dice) documents(kind policy.Kind, most int) []string {
	var all []string
	for range d.roll(most + 1) {
		all = append(all, d.document(kind))
	}
	return all
}

// policies makes the policies of a world; request its request.
func (d *dice) policies() oracle.World {
	w := oracle.World{
		Mode:            pick(d, []policy.Mode{policy.Standard, policy.Standard, policy.KeyPolicyMode, policy.TrustMode}),
		Identity:        append(d.documents(policy.Identity, 2), d.document(policy.Identity)),
		ResourceAccount: pick(d, []string{home, home, home, home, home, home, home, home, abroad, ""}),
		GrantAllows:     d.chance(12),
	}
	if d.chance(20) {
		w.Boundary = d.document(policy.Boundary)
	}
	if d.chance(25) {
		w.HasSession = true
		w.Session = d.documents(policy.Session, 2)
	}
	kind := map[policy.Mode]policy.Kind{
		policy.Standard: policy.Resource, policy.KeyPolicyMode: policy.KeyPolicy, policy.TrustMode: policy.Trust,
	}[w.Mode]
	if w.Mode != policy.Standard && d.chance(85) || d.chance(50) {
		w.Resource = d.document(kind)
	}
	if d.chance(15) {
		w.Identity = nil
	}
	return w
}

func (d *dice) request(mode policy.Mode) policy.Request {
	action := pick(d, actions)
	if mode == policy.TrustMode {
		action = pick(d, trustActions)
	}
	r := policy.Request{Action: action, Resource: pick(d, resources), Principal: d.caller()}
	if !d.chance(3) {
		r.Context = d.context()
	}
	return r
}
