// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/arn"
	"github.com/obscura-video/obscura/internal/policy"
)

// conditionContext answers condition keys for one decision: what the service gave, then what the call tells.
//
// Source: IAM User Guide, "AWS global condition context keys".
type conditionContext struct {
	call          *Call
	request       Request
	region, owner string
	now           time.Time
	more          map[string][]string // of request.More, once it was called
	asked         bool                // it was
}

// given returns what the service gave for a condition key.
func (c *conditionContext) given(key string) ([]string, bool) {
	if v, ok := c.request.Context[key]; ok {
		return v, true
	}
	v, ok := c.further()[key]
	return v, ok
}

func (c *conditionContext) further() map[string][]string {
	if !c.asked && c.request.More != nil {
		c.more, c.asked = c.request.More(), true
	}
	return c.more
}

// Get implements policy.Context. key is in lower case.
func (c *conditionContext) Get(key string) ([]string, bool) {
	if v, ok := c.given(key); ok {
		return v, true
	}
	if tag, ok := strings.CutPrefix(key, "aws:principaltag/"); ok {
		return c.principalTag(tag)
	}
	if s, ok := c.callKey(key); ok {
		return []string{s}, true
	}
	if s, ok := c.principalKey(key); ok {
		return []string{s}, true
	}
	if s := c.call.Principal.Session; s != nil && s.Web != nil {
		if v, ok := s.Web.Value(key); ok {
			return v, true
		}
	}
	if key == "aws:calledvia" && len(c.call.Via) > 0 {
		return c.call.Via, true
	}
	return nil, false
}

// callKeys are the condition keys that the Authorizer knows of any call, tags and a token's claims aside.
var callKeys = [...]string{
	"aws:CalledVia", "aws:CalledViaFirst", "aws:CalledViaLast", "aws:CurrentTime", "aws:EpochTime", "aws:FederatedProvider",
	"aws:MultiFactorAuthPresent", "aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalIsAWSService", "aws:PrincipalType",
	"aws:RequestedRegion", "aws:ResourceAccount", "aws:SecureTransport", "aws:SourceIdentity", "aws:SourceIp", "aws:TokenIssueTime",
	"aws:UserAgent", "aws:userid", "aws:username", "aws:ViaAWSService", "kms:CallerAccount", "kms:ViaService",
	"credentials-iot:AwsCertificateId", "credentials-iot:ThingName", "credentials-iot:ThingTypeName",
}

// Conditions returns the condition keys that the decision could see, with their values.
func (d *Detail) Conditions() map[string][]string {
	all := map[string][]string{}
	if d.conditions == nil {
		return all
	}
	for _, some := range []map[string][]string{d.conditions.further(), d.conditions.request.Context} {
		for key, values := range some {
			all[key] = values
		}
	}
	for tag, value := range d.Principal.Tags {
		all["aws:PrincipalTag/"+tag] = []string{value}
	}
	for _, key := range callKeys {
		if values, ok := d.conditions.Get(strings.ToLower(key)); ok {
			all[key] = values
		}
	}
	return all
}

// principalTag compares tag keys as condition keys are compared: case does not matter.
func (c *conditionContext) principalTag(lower string) ([]string, bool) {
	for k, v := range c.call.Principal.Tags {
		if strings.ToLower(k) == lower {
			return []string{v}, true
		}
	}
	return nil, false
}

func (c *conditionContext) callKey(key string) (string, bool) {
	call := c.call
	switch key {
	case "aws:currenttime":
		return c.now.UTC().Format(time.RFC3339), true
	case "aws:epochtime":
		return strconv.FormatInt(c.now.Unix(), 10), true
	case "aws:sourceip":
		// A service that calls on somebody's behalf has no address of the caller's.
		return call.SourceIP, call.SourceIP != "" && len(call.Via) == 0
	case "aws:securetransport":
		return strconv.FormatBool(call.SecureTransport), true
	case "aws:useragent":
		return call.UserAgent, call.UserAgent != ""
	case "aws:requestedregion":
		return cmp.Or(call.Region, c.region), true
	case "aws:resourceaccount":
		return c.owner, true
	case "aws:sourcearn":
		return call.SourceARN, call.Principal.Kind == policy.Service && call.SourceARN != ""
	case "aws:sourceaccount":
		a, err := arn.Parse(call.SourceARN)
		return a.Account, err == nil && call.Principal.Kind == policy.Service
	case "aws:viaawsservice":
		return strconv.FormatBool(len(call.Via) > 0), true
	case "aws:calledviafirst":
		return first(call.Via)
	case "aws:calledvialast":
		return last(call.Via)
	case "kms:viaservice":
		if strings.HasPrefix(c.request.Action, "kms:") {
			return last(call.Via)
		}
	case "kms:calleraccount":
		if strings.HasPrefix(c.request.Action, "kms:") {
			return call.Principal.Account, true
		}
	}
	return "", false
}

func (c *conditionContext) principalKey(key string) (string, bool) {
	p := &c.call.Principal
	switch key {
	case "aws:principalarn":
		// For a session this is the role's ARN, not the session's.
		if p.RoleARN != "" {
			return p.RoleARN, true
		}
		return p.ARN, p.ARN != ""
	case "aws:principalaccount":
		return p.Account, p.Account != ""
	case "aws:principaltype":
		return principalType(p.Kind)
	case "aws:principalisawsservice":
		return strconv.FormatBool(p.Kind == policy.Service), true
	case "aws:userid":
		return p.UniqueID, p.UniqueID != ""
	case "aws:username":
		return p.UserName, p.Kind == policy.User
	}
	return c.sessionKey(key)
}

func (c *conditionContext) sessionKey(key string) (string, bool) {
	s := c.call.Principal.Session
	if s == nil {
		return "", false
	}
	switch key {
	case "aws:tokenissuetime":
		return s.Created.UTC().Format(time.RFC3339), true
	case "aws:multifactorauthpresent":
		return strconv.FormatBool(s.MFA), true
	case "aws:sourceidentity":
		return s.SourceIdentity, s.SourceIdentity != ""
	case "aws:federatedprovider":
		if s.Web != nil {
			return s.Web.Provider, true
		}
	}
	return deviceKey(s.Device, key)
}

// deviceKey answers the variables that a role's policies may use for the sessions of devices.
//
// Source: IoT Core Developer Guide, "Authorizing direct calls to AWS services using AWS IoT Core credential provider".
func deviceKey(d *Device, key string) (string, bool) {
	if d == nil {
		return "", false
	}
	switch key {
	case "credentials-iot:thingname":
		return d.ThingName, d.ThingName != ""
	case "credentials-iot:thingtypename":
		return d.ThingTypeName, d.ThingTypeName != ""
	case "credentials-iot:awscertificateid":
		return d.CertificateID, true
	}
	return "", false
}

func principalType(k policy.PrincipalKind) (string, bool) {
	switch k {
	case policy.Root:
		return "Account", true
	case policy.User:
		return "User", true
	case policy.AssumedRole:
		return "AssumedRole", true
	case policy.FederatedUser:
		return "FederatedUser", true
	case policy.Anonymous:
		return "Anonymous", true
	}
	return "", false
}

func first(s []string) (string, bool) {
	if len(s) == 0 {
		return "", false
	}
	return s[0], true
}

func last(s []string) (string, bool) {
	if len(s) == 0 {
		return "", false
	}
	return s[len(s)-1], true
}
