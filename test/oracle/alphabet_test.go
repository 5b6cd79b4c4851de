// SPDX-License-Identifier: Apache-2.0

package oracle_test

import (
	"encoding/json"
	"strings"

	"github.com/obscura-video/obscura/internal/policy"
)

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
	{ // a claim of a web identity: the issuer has a port and a path, so the key has several colons
		"id.example:8443/Realm:sub",
		[]string{"StringEquals", "StringNotEquals", "StringLike", "StringNotLike"},
		[]string{"alice", "camera-7", "*", "${aws:username}"},
		[]any{"alice", "camera-*", "${ID.example:8443/realm:sub}", "${aws:username}", "*", "${id.example:8443/realm:aud, 'alice'}"},
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
