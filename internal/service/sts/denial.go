// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/obscura-video/obscura/internal/access"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/policy"
)

// A denial, encoded, is before base64 (URL alphabet, no padding):
//
//	version 0x01 ‖ nonce (24) ‖ AEAD(the JSON below and spaces behind it) (… + 16)
//
// sealed with XAES-256-GCM under the token key; its additional data is "obscura sts denial" ‖ version, so that neither a
// session token nor a denial can be taken for the other.
//
// Whoever is denied chooses a part of the JSON (an encryption context, tags) and sees how long it became. So it is not
// compressed, which would tell him by its length what else is in it, and filled up to a multiple of denialStep.

const (
	denialVersion = 1
	maxDenialText = 10240 // characters (STS API Reference, DecodeAuthorizationMessage)
	denialStep    = 512
)

func denialContext() []byte { return []byte("obscura sts denial\x01") }

// items is a list as AWS writes lists in these messages.
type items[T any] struct {
	Items []T `json:"items"`
}

// denialMessage is what DecodeAuthorizationMessage shows: AWS's members, and "policyType", which is ours.
//
// Source: AWS STS API Reference, DecodeAuthorizationMessage.
type denialMessage struct {
	Allowed      bool                    `json:"allowed"`
	ExplicitDeny bool                    `json:"explicitDeny"`
	PolicyType   string                  `json:"policyType"` // whose Deny it was, or whose Allow is missing
	Matched      items[matchedStatement] `json:"matchedStatements"`
	Failures     items[struct{}]         `json:"failures"`
	Context      denialSituation         `json:"context"`
}

type matchedStatement struct {
	StatementID string `json:"statementId"`
	Effect      string `json:"effect"`
}

type denialSituation struct {
	Principal  denialPrincipal       `json:"principal"`
	Action     string                `json:"action"`
	Resource   string                `json:"resource"`
	Conditions items[conditionValue] `json:"conditions"`
}

type denialPrincipal struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	ARN  string `json:"arn"`
}

type conditionValue struct {
	Key    string          `json:"key"`
	Values items[oneValue] `json:"values"`
}

type oneValue struct {
	Value string `json:"value"`
}

// EncodeDenial seals what a decision was made of. Whoever has the text can do nothing with it but give it to somebody
// who may call DecodeAuthorizationMessage.
func (s *Service) EncodeDenial(d *access.Denied) (string, error) {
	m := newDenialMessage(d.Detail)
	text, err := s.sealDenial(m)
	if err == nil && len(text) > maxDenialText { // an encryption context or tags of unusual size
		m.Context.Conditions.Items = []conditionValue{}
		text, err = s.sealDenial(m)
	}
	if err == nil && len(text) > maxDenialText {
		err = fmt.Errorf("sts: denial of %d characters", len(text))
	}
	return text, err
}

func (s *Service) sealDenial(m *denialMessage) (string, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("sts: seal denial: %w", err)
	}
	for len(b)%denialStep != 0 {
		b = append(b, ' ')
	}
	sealed, err := s.key.SealRandom([]byte{denialVersion}, b, denialContext())
	if err != nil {
		return "", fmt.Errorf("sts: seal denial: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

func newDenialMessage(d *access.Detail) *denialMessage {
	m := &denialMessage{
		ExplicitDeny: d.Decision.Reason == policy.ExplicitDeny, PolicyType: d.Decision.Policy.String(),
		Matched: items[matchedStatement]{[]matchedStatement{}}, Failures: items[struct{}]{[]struct{}{}},
		Context: denialSituation{
			Principal: denialPrincipal{d.Principal.UniqueID, d.Principal.UserName, d.Principal.ARN},
			Action:    d.Action, Resource: d.Resource, Conditions: items[conditionValue]{[]conditionValue{}},
		},
	}
	if m.ExplicitDeny {
		m.Matched.Items = append(m.Matched.Items, matchedStatement{d.Decision.SID, "DENY"})
	}
	conditions := d.Conditions()
	for _, key := range slices.Sorted(maps.Keys(conditions)) {
		v := conditionValue{Key: key, Values: items[oneValue]{[]oneValue{}}}
		for _, text := range conditions[key] {
			v.Values.Items = append(v.Values.Items, oneValue{text})
		}
		m.Context.Conditions.Items = append(m.Context.Conditions.Items, v)
	}
	return m
}

// DecodeAuthorizationMessage opens what a denial was made of: which kind of policy denied or did not allow, and what
// it could see. It needs sts:DecodeAuthorizationMessage.
//
// Errors: InvalidAuthorizationMessageException for what this server has not sealed as such.
//
// Source: AWS STS API Reference, DecodeAuthorizationMessage; deviations in docs/compat/sts.md.
func (s *Service) DecodeAuthorizationMessage(ctx context.Context, in *stsapi.DecodeAuthorizationMessageInput) (*stsapi.DecodeAuthorizationMessageOutput, error) {
	if err := s.allow(ctx, "sts:DecodeAuthorizationMessage", "*", nil); err != nil {
		return nil, err
	}
	b, ok := s.openDenial(*in.EncodedMessage)
	if !ok {
		return nil, &stsapi.InvalidAuthorizationMessageException{Message: "The message is not one that can be decoded."}
	}
	return &stsapi.DecodeAuthorizationMessageOutput{DecodedMessage: new(string(b))}, nil
}

func (s *Service) openDenial(text string) ([]byte, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) == 0 || raw[0] != denialVersion {
		return nil, false
	}
	b, err := s.key.OpenRandom(nil, raw[1:], denialContext())
	return bytes.TrimRight(b, " "), err == nil
}
