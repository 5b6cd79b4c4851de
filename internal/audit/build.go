// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/policy"
)

// Outcome is what NewEvent needs to know beside the call itself.
type Outcome struct {
	// Region is the server's; Account is the account that owns the record, usually the server's.
	Region, Account string
	// Params and Response are the operation's input and output with lowerCamelCase names and without
	// secrets (awsapi/protocol renders them so). The event takes them over: do not change them afterwards.
	Params, Response map[string]any
	// Err is what the operation answered; nil for success.
	Err error
}

// NewEvent makes the record of one API call. The time and the ID are given by Log.Record.
//
// An error that the client is not meant to see is recorded as InternalFailure without its text.
func NewEvent(call *access.Call, o Outcome) Event {
	e := Event{
		EventVersion:        eventVersion,
		UserIdentity:        identity(call),
		EventSource:         eventSource(call.Service),
		EventName:           call.Operation,
		AWSRegion:           region(call.Service, o.Region),
		SourceIPAddress:     call.SourceIP,
		UserAgent:           call.UserAgent,
		AdditionalEventData: call.Data(),
		RequestID:           call.RequestID,
		ReadOnly:            reads(call.Service, call.Operation),
		Resources:           resources(call, o.Account),
		EventType:           APICall,
		RecipientAccountID:  o.Account,
		TLSDetails:          tlsDetails(call),
	}
	e.classify(call.Service, call.Operation)
	if n := len(call.Via); n > 0 {
		// The service is the client of the child call: AWS shows its name in place of address and agent.
		host := serviceHost(call.Via[n-1])
		e.UserIdentity.InvokedBy, e.SourceIPAddress, e.UserAgent = host, host, host
	}
	if params := parameters(call, o.Params, e.Resources); len(params) > 0 {
		e.RequestParameters = params
	}
	if ShowsResponse(call.Service, call.Operation) && o.Err == nil && len(o.Response) > 0 {
		e.ResponseElements = o.Response
	}
	e.ErrorCode, e.ErrorMessage = errorOf(o.Err)
	return e
}

// ServiceAction is something that a service did by itself, such as deleting a key whose time had come.
type ServiceAction struct {
	// Service is the signing name and Name the event's: "kms", "DeleteKey".
	Service, Name   string
	Region, Account string
	Resources       []Resource
	// Details become serviceEventDetails; nil leaves them out.
	Details map[string]any
}

// NewServiceEvent makes the record of an action that nobody called for. It is never read-only.
func NewServiceEvent(a ServiceAction) Event {
	const internal = "AWS Internal"
	for i := range a.Resources {
		if a.Resources[i].AccountID == "" {
			a.Resources[i].AccountID = a.Account
		}
	}
	return Event{
		EventVersion:        eventVersion,
		UserIdentity:        UserIdentity{Type: "AWSService", AccountID: a.Account, InvokedBy: internal},
		EventSource:         eventSource(a.Service),
		EventName:           a.Name,
		AWSRegion:           a.Region,
		SourceIPAddress:     internal,
		UserAgent:           internal,
		Resources:           a.Resources,
		EventType:           ServiceEvent,
		ManagementEvent:     true,
		EventCategory:       Management,
		RecipientAccountID:  a.Account,
		ServiceEventDetails: a.Details,
	}
}

func identity(call *access.Call) UserIdentity {
	p := &call.Principal
	u := UserIdentity{PrincipalID: p.UniqueID, ARN: p.ARN, AccountID: p.Account, AccessKeyID: p.AccessKeyID}
	switch p.Kind {
	case policy.Root:
		u.Type = "Root"
		u.PrincipalID = p.Account
	case policy.User:
		u.Type, u.UserName = "IAMUser", p.UserName
	case policy.AssumedRole:
		u.Type = "AssumedRole"
		if !strings.Contains(u.PrincipalID, ":") {
			u.PrincipalID += ":" + p.UserName
		}
	case policy.FederatedUser:
		u.Type = "FederatedUser"
	case policy.WebIdentity:
		return UserIdentity{Type: "WebIdentityUser", PrincipalID: p.UniqueID, UserName: p.UserName, IdentityProvider: p.ARN}
	case policy.Service:
		return UserIdentity{Type: "AWSService", InvokedBy: serviceHost(p.Service)}
	default:
		return UserIdentity{Type: "Unknown", UserName: p.UserName}
	}
	u.SessionContext = sessionContext(p)
	return u
}

func sessionContext(p *access.Principal) *SessionContext {
	s := p.Session
	if s == nil {
		return nil
	}
	c := &SessionContext{
		Attributes: SessionAttributes{
			CreationDate:     s.Created.UTC().Format(time.RFC3339),
			MFAAuthenticated: strconv.FormatBool(s.MFA),
		},
		SourceIdentity: s.SourceIdentity,
	}
	if p.Kind == policy.AssumedRole {
		c.WebIDFederationData = webIdentity(s.Web)
		c.SessionIssuer = &SessionIssuer{
			Type: "Role", PrincipalID: s.RoleID, ARN: p.RoleARN, AccountID: p.Account, UserName: s.RoleName,
		}
	}
	return c
}

// webIdentity shows whose token a session came from. The audience is in the event of AssumeRoleWithWebIdentity.
func webIdentity(w *access.WebIdentity) *WebIDFederationData {
	if w == nil {
		return &WebIDFederationData{}
	}
	return &WebIDFederationData{FederatedProvider: w.Provider, Attributes: map[string]string{w.Issuer + ":sub": w.Subject}}
}

func resources(call *access.Call, account string) []Resource {
	noted := call.Resources()
	if len(noted) == 0 {
		return nil
	}
	out := make([]Resource, 0, len(noted))
	for _, r := range noted {
		owner := arnAccount(r.ARN)
		if owner == "" {
			owner = account
		}
		out = append(out, Resource{AccountID: owner, Type: r.Type, ARN: r.ARN})
	}
	return out
}

// arnAccount returns the fifth field of an ARN, "" when there is none.
func arnAccount(arn string) string {
	rest := arn
	for range 4 {
		_, rest, _ = strings.Cut(rest, ":")
	}
	account, _, ok := strings.Cut(rest, ":")
	if !ok {
		return ""
	}
	return account
}

func tlsDetails(call *access.Call) *TLSDetails {
	if call.TLSVersion == "" || len(call.Via) > 0 {
		return nil
	}
	return &TLSDetails{
		TLSVersion:               tlsVersion(call.TLSVersion),
		CipherSuite:              cipherSuite(call.CipherSuite),
		ClientProvidedHostHeader: call.Host,
	}
}

// tlsVersion is the name of a version in records.
func tlsVersion(name string) string {
	if name == "TLS 1.3" {
		return "TLSv1.3"
	}
	return strings.ReplaceAll(name, "TLS 1.", "TLSv1.")
}

// apiError is the part of protocol.APIError that a record shows.
type apiError interface {
	ErrorCode() string
	ErrorMessage() string
}

func errorOf(err error) (code, message string) {
	if err == nil {
		return "", ""
	}
	if d, ok := errors.AsType[*access.Denied](err); ok {
		return "AccessDenied", d.Message
	}
	var api apiError
	if !errors.As(err, &api) {
		return "InternalFailure", "An internal error occurred."
	}
	if code = api.ErrorCode(); code == "AccessDeniedException" {
		code = "AccessDenied"
	}
	return exceptionName(api, code), api.ErrorMessage()
}

// exceptionName is the name of an error in a record: that of the exception, also where the wire has a shorter code.
// IAM says NoSuchEntity to its clients, and CloudTrail NoSuchEntityException.
func exceptionName(err apiError, code string) string {
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer && t.Elem().Name() == code+"Exception" {
		return t.Elem().Name()
	}
	return code
}
