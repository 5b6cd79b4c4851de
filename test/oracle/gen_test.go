// SPDX-License-Identifier: Apache-2.0

package oracle_test

import (
	"encoding/json"
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

// The alphabets are small, so that what policies say and what requests have often meet.
const (
	home   = "111122223333"
	abroad = "444455556666"
)

var (
	actions = []string{"kms:Decrypt", "kms:Decrypt", "kms:Encrypt", "kms:ReEncryptFrom", "s3:GetObject"}

	actionPatterns = []string{
		"*", "*", "*", "kms:*", "kms:Decrypt", "KMS:decrypt", "kms:?ncrypt", "kms:*crypt", "kms:ReEncrypt*", "s3:Get*",
		"s3:GetObject", "kms:Encrypt", "kms:D?crypt",
	}

	trustActions = []string{"sts:AssumeRole", "sts:TagSession", "sts:AssumeRoleWithWebIdentity"}

	trustPatterns = []string{"sts:*", "sts:*", "sts:AssumeRole", "sts:Assume*", "STS:assumerole", "sts:TagSession", "sts:?agSession"}

	resources = []string{
		"*", "arn:aws:kms:us-east-1:" + home + ":key/a", "arn:aws:kms:us-east-1:" + home + ":key/b:c/d",
		"arn:aws:s3:::alice/*", "arn:aws:s3:::alice/x", "arn:aws:s3:::bob/é", "arn:aws:s3:::$",
	}

	resourcePatterns = []string{
		"*", "*", "*", "*", "*", "*", "*", "*", "arn:aws:kms:us-east-1:" + home + ":key/*", "arn:aws:kms:us-east-1:" + home + ":key/a",
		"arn:aws:kms:*:" + home + ":key/?", "arn:aws:kms:us-east-1:" + home + ":KEY/a", "arn:aws:s3:::*",
		"arn:aws:s3:::alice/?", "arn:aws:s3:::${aws:username}/*", "arn:aws:s3:::${aws:username, 'alice'}/*",
		"arn:aws:s3:::${aws:PrincipalTag/team}/x", "arn:aws:s3:::*/${*}", "arn:aws:s3:::${$}",
		"arn:aws:s3:::*/${?}", "arn:aws:s3:::???/?", "arn:aws:s3:::$*",
	}

	callers = []policy.Principal{
		{Kind: policy.Anonymous},
		{Kind: policy.Service, Service: "cloudtrail.amazonaws.com", ARN: "cloudtrail.amazonaws.com"},
		{Kind: policy.WebIdentity, ARN: "accounts.google.com"},
		{Kind: policy.WebIdentity, ARN: "arn:aws:iam::" + home + ":oidc-provider/id.example"},
	}

	// principals are what policies name; most are in the accounts of the callers.
	principals = map[string][]string{
		"AWS": {
			"*", "*", home, home, "arn:aws:iam::" + home + ":root", abroad, "arn:aws:iam::" + home + ":user/alice",
			"AIDAAAAAAAAAAAAAAAAA2", "arn:aws:iam::" + home + ":user/bob", "arn:aws:iam::" + home + ":role/p/r",
			"AROAAAAAAAAAAAAAAAAA2", "arn:aws:sts::" + home + ":assumed-role/r/s", "arn:aws:sts::" + home + ":federated-user/alice",
			"arn:aws:iam::" + abroad + ":user/alice", "arn:aws:iam::" + abroad + ":role/p/r",
		},
		"Service":       {"cloudtrail.amazonaws.com", "kms.amazonaws.com"},
		"Federated":     {"accounts.google.com", "arn:aws:iam::" + home + ":oidc-provider/id.example"},
		"CanonicalUser": {strings.Repeat("ab", 32), strings.Repeat("cd", 32)},
	}
)

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

func (d *dice) caller() policy.Principal {
	if d.chance(12) {
		return pick(d, callers)
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
	return p
}

// An operand is a condition key, the values that requests give it, and those that policies compare
// it with.
type operand struct {
	key      string
	operator []string
	has      []string
	wants    []any
	multi    bool
}

var operands = []operand{
	{
		"aws:username",
		[]string{"StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"},
		[]string{"alice", "Alice", "bob", "a*", ""},
		[]any{"alice", "ALICE", "bob", "a*", "a?ice", "${*}", "a${*}", "${aws:PrincipalTag/team}", "*", "", "${aws:username}"},
		false,
	},
	{
		"aws:PrincipalTag/team",
		[]string{"StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"},
		[]string{"alice", "red", "Red", "${aws:username}", "?", "x"},
		[]any{
			"red", "RED", "r*", "${aws:username}", "${aws:username, 'red'}", "${$}{aws:username}", "${?}", "?",
			"${AWS:UserName}", "${kms:None,'r*'}", "${aws:TagKeys}", "${aws:username}*", "?${aws:none, 'ed'}",
		},
		false,
	},
	{
		"aws:TagKeys",
		[]string{"StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase"},
		[]string{"cost", "team", "Team", "é"},
		[]any{"cost", "team", "t*", "T??M", "?", "*", "É"},
		true,
	},
	{
		"aws:MultiFactorAuthAge",
		[]string{
			"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan",
			"NumericGreaterThanEquals",
		},
		[]string{"1", "1.0", "2", "-3", "10", "x", "9", "1e1", "0x1"},
		[]any{"1", json.Number("2"), "1.50", "-3", json.Number("10"), "9", json.Number("1e1")},
		true,
	},
	{
		"aws:CurrentTime",
		[]string{"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"},
		[]string{"2026-06-01T12:00:00Z", "2026-06-01T12:00:01Z", "1780315200", "2026-06-01T14:00:00+02:00", "now", "2026-06-01T00:00:00Z", "2026-06", "2026-06-01T12:00Z"},
		[]any{"2026-06-01T12:00:00Z", "2026-06-01", "1780315200", "2026-06-01T14:00:00+02:00", "2026-06-01T12:00:00.5Z", "2026"},
		true,
	},
	{
		"aws:SecureTransport",
		[]string{"Bool"},
		[]string{"true", "false", "TRUE", "perhaps"},
		[]any{"true", "false", true, false, "False"},
		false,
	},
	{
		"app:Blob",
		[]string{"BinaryEquals"},
		[]string{"AQI=", "AQM=", "AAA=", "!"},
		[]any{"AQI=", "AQM=", "AAA="},
		true,
	},
	{
		"aws:SourceIp",
		[]string{"IpAddress", "NotIpAddress"},
		[]string{"10.0.0.1", "10.1.0.1", "2001:db8::1", "here", "::ffff:10.0.0.1"},
		[]any{"10.0.0.0/8", "10.0.0.0/24", "10.0.0.1", "2001:db8::/32", "10.0.0.9/24", "::/0", "0.0.0.0/0"},
		true,
	},
	{
		"aws:SourceArn",
		[]string{"ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "StringLike"},
		[]string{
			"arn:aws:s3:::alice", "arn:aws:sns:us-east-1:" + home + ":t:alice", "arn:aws:sns:eu-west-1:" + home + ":*",
			"alice", "arn:aws:sns",
		},
		[]any{
			"arn:aws:s3:::alice", "arn:aws:s3:::*", "arn:aws:sns:*:" + home + ":*", "arn:aws:sns:us-*:*:*:alice",
			"arn:aws:sns:us-east-?:*:t:${aws:username}", "arn:aws:s3:::${aws:PrincipalTag/team}", "arn:*:*:*:*:*",
			"arn:aws:sns:eu-west-1:" + home + ":${*}", "arn:aws:s?:::a*e", "arn:aws:s3:*:*:Alice",
		},
		true,
	},
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

// fullNotPrincipal excepts a caller as a Deny has to: with its account and all else that it is.
func fullNotPrincipal(p policy.Principal) any {
	names := []any{p.Account, p.ARN}
	if p.RoleARN != "" {
		names = append(names, p.RoleARN)
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
		s["NotPrincipal"] = fullNotPrincipal(p)
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
