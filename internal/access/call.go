// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/obscura-video/obscura/internal/policy"
)

// Principal is who asks. It is immutable once it is in a Call.
type Principal struct {
	policy.Principal
	// AccessKeyID signed the request; empty for a call that no key signed.
	AccessKeyID string
	// UserName is the IAM user's name, or the session's name.
	UserName string
	// Tags are the principal's tags (aws:PrincipalTag/…): the user's, or the role's with the session's over them.
	Tags map[string]string
	// Session is nil for long-term credentials.
	Session *Session
}

// Session is what temporary credentials add to a principal.
type Session struct {
	// RoleName and RoleID name the role that issued the session; empty for GetSessionToken.
	RoleName, RoleID string
	Created, Expires time.Time
	// Policies are the session policies; HasPolicies says that some were passed, even if none parsed to a
	// statement: then the session may do only what they allow.
	Policies    []*policy.Document
	HasPolicies bool
	// TransitiveTags are the keys of the tags that a chained session inherits.
	TransitiveTags []string
	SourceIdentity string
	MFA            bool
	// Device is the device whose certificate the session came from; nil for any other session.
	Device *Device
	// Web is the bearer of the token that the session came from; nil for any other session.
	Web *WebIdentity
}

// WebIdentity is what a session that an identity provider's token obtained knows of the token.
type WebIdentity struct {
	// Provider is the ARN of the provider; Issuer is its URL without "https://", which begins its condition keys.
	Provider string `json:"p"`
	Issuer   string `json:"i"`
	Subject  string `json:"s"`
	// Audience is whom the token was for, Methods how the subject proved who it is.
	Audience []string `json:"a"`
	Methods  []string `json:"m,omitempty"`
}

// Value answers the condition keys that tell of the token: issuer:sub, issuer:aud, issuer:amr, the issuer in lower case.
//
// Source: IAM User Guide, "Available keys for AWS OIDC federation".
func (w *WebIdentity) Value(key string) (values []string, ok bool) {
	name, ok := strings.CutPrefix(key, strings.ToLower(w.Issuer)+":")
	if !ok {
		return nil, false
	}
	switch name {
	case "sub":
		return []string{w.Subject}, true
	case "aud":
		return w.Audience, true
	case "amr":
		return w.Methods, len(w.Methods) > 0
	}
	return nil, false
}

// Device is what a session that a device certificate obtained knows of the device. The session ends with the
// certificate: whoever looks up policies or tokens asks whether it is still in force.
type Device struct {
	// CertificateID is the SHA-256 of the certificate in hexadecimal.
	CertificateID string `json:"c"`
	// ThingName and ThingTypeName are empty where the device named none, and in sessions assumed from its own.
	ThingName     string `json:"n,omitempty"`
	ThingTypeName string `json:"t,omitempty"`
}

// Credential is what an access key ID stands for: the secret that verifies its signatures and who it is.
type Credential struct {
	// SecretAccessKey must never reach a log, an error or an audit event.
	SecretAccessKey string
	Principal       Principal
}

// Resource is something that a call touched, for its audit event.
type Resource struct {
	ARN string
	// Type is CloudFormation's name, "AWS::KMS::Key".
	Type string
}

// Call is one request to one operation, from the wire or made by a service on a caller's behalf.
//
// The exported fields are set before the Call enters a context and not changed after, but by Identify. The rest is
// safe for concurrent use.
type Call struct {
	Principal Principal
	// Service is the signing name, Operation the API operation: "kms", "CreateKey".
	Service, Operation string
	// Region is the one that the request was signed for; empty means the server's own.
	Region          string
	RequestID       string
	SourceIP        string
	UserAgent       string
	SecureTransport bool
	// TLSVersion and CipherSuite are Go's names; Host is the host header the client sent.
	TLSVersion, CipherSuite, Host string
	Time                          time.Time
	// SourceARN is the resource on whose behalf the last of Via calls, empty where there is none. It is what a grant of
	// the KMS can be bound to; the condition key aws:SourceArn is for services that call for themselves, as on AWS.
	SourceARN string
	// Via holds the services between caller and this call, first to last, as service principals
	// ("kinesisvideo.us-east-1.amazonaws.com"); empty for a call from the wire.
	Via []string

	mu        sync.Mutex
	decided   bool
	recorded  bool
	resources []Resource
	data      map[string]any
	dataShown bool // Data has handed data out
}

type callKey struct{}

// NewContext returns ctx with c in it.
func NewContext(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// FromContext returns the innermost call of ctx.
func FromContext(ctx context.Context) (*Call, bool) {
	c, ok := ctx.Value(callKey{}).(*Call)
	return c, ok
}

// Via returns a context for a call that servicePrincipal makes of service's operation on the behalf of ctx's
// caller, and that call. The child shares caller and request ID and has decisions and annotations of its own.
// Without a call in ctx the child has the anonymous principal, which nothing allows.
func Via(ctx context.Context, servicePrincipal, service, operation string) (context.Context, *Call) {
	child := &Call{Service: service, Operation: operation, SecureTransport: true}
	if c, ok := FromContext(ctx); ok {
		child.Principal = c.Principal
		child.RequestID, child.Region = c.RequestID, c.Region
		child.SourceIP = c.SourceIP
		child.UserAgent = c.UserAgent
		child.SecureTransport = c.SecureTransport
		child.Time = c.Time
		child.Via = slices.Clone(c.Via)
	}
	child.Via = append(child.Via, servicePrincipal)
	return NewContext(ctx, child), child
}

// Identify says who makes a call whose operation nobody signs because the request itself carries the proof
// (sts:AssumeRoleWithWebIdentity). The service that has verified the proof calls it, before it asks for a decision and
// before it shares ctx with another goroutine. It returns false, and changes nothing, when the caller is known already.
func Identify(ctx context.Context, p Principal) bool {
	c, ok := FromContext(ctx)
	if !ok || c.Principal.Kind != policy.Anonymous {
		return false
	}
	c.Principal = p
	return true
}

// Exempt notes that the operation needs no permission (sts:GetCallerIdentity). It counts as a decision.
func Exempt(ctx context.Context) {
	if c, ok := FromContext(ctx); ok {
		c.markDecided()
	}
}

// AddResource notes a resource that the call touched, for its audit event.
func AddResource(ctx context.Context, arn, cfnType string) {
	if c, ok := FromContext(ctx); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		r := Resource{ARN: arn, Type: cfnType}
		if !slices.Contains(c.resources, r) {
			c.resources = append(c.resources, r)
		}
	}
}

// AddData notes additionalEventData for the call's audit event. No secret may be given.
func AddData(ctx context.Context, key string, value any) {
	if c, ok := FromContext(ctx); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case c.data == nil:
			c.data = map[string]any{}
		case c.dataShown:
			c.data, c.dataShown = maps.Clone(c.data), false
		}
		c.data[key] = value
	}
}

// Decided says whether any decision was made for the call. The gateway sends nothing of an operation for
// which this is false.
func (c *Call) Decided() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.decided
}

// Resources returns what AddResource has noted up to now. It is not to be changed.
func (c *Call) Resources() []Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clip(c.resources) // what is noted later goes elsewhere
}

// Data returns what AddData has noted up to now, nil when nothing was. It is not to be changed.
func (c *Call) Data() map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dataShown = true
	return c.data
}

// MarkRecorded notes that the call's event is on record.
func (c *Call) MarkRecorded() {
	c.mu.Lock()
	c.recorded = true
	c.mu.Unlock()
}

// Recorded says whether the call's event is on record, which that of a call that goes on for long is from its beginning.
func (c *Call) Recorded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recorded
}

func (c *Call) markDecided() {
	c.mu.Lock()
	c.decided = true
	c.mu.Unlock()
}
