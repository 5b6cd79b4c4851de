// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"time"
)

// eventVersion is the version of the record's layout that this package writes.
const eventVersion = "1.11"

// Event is one CloudTrail record. The order of the fields is the order in the record; members that the
// format shows as null when they are empty (requestParameters, responseElements) have no omitempty.
//
// Nothing in an Event may be secret: parameters and response come here already stripped.
//
// Source: CloudTrail User Guide, "CloudTrail record contents", record version 1.11.
type Event struct {
	EventVersion string       `json:"eventVersion"`
	UserIdentity UserIdentity `json:"userIdentity"`
	// EventTime is when the event was recorded, in whole seconds UTC. Log.Record sets it.
	EventTime time.Time `json:"eventTime"`
	// EventSource is the host name of the service, "kms.amazonaws.com".
	EventSource     string `json:"eventSource"`
	EventName       string `json:"eventName"`
	AWSRegion       string `json:"awsRegion"`
	SourceIPAddress string `json:"sourceIPAddress"`
	UserAgent       string `json:"userAgent"`
	ErrorCode       string `json:"errorCode,omitempty"`
	ErrorMessage    string `json:"errorMessage,omitempty"`
	// RequestParameters and ResponseElements have lowerCamelCase names; nil is written as null.
	RequestParameters   any            `json:"requestParameters"`
	ResponseElements    any            `json:"responseElements"`
	AdditionalEventData map[string]any `json:"additionalEventData,omitempty"`
	RequestID           string         `json:"requestID,omitempty"`
	// EventID is a UUID of version 7, unique, whose time is that of the record. Log.Record sets it.
	EventID            string     `json:"eventID"`
	ReadOnly           bool       `json:"readOnly"`
	Resources          []Resource `json:"resources,omitempty"`
	EventType          EventType  `json:"eventType"`
	ManagementEvent    bool       `json:"managementEvent"`
	RecipientAccountID string     `json:"recipientAccountId"`
	// SharedEventID is the same in the copies that caller's and owner's account get of one event.
	SharedEventID       string         `json:"sharedEventID,omitempty"`
	EventCategory       Category       `json:"eventCategory"`
	TLSDetails          *TLSDetails    `json:"tlsDetails,omitempty"`
	ServiceEventDetails map[string]any `json:"serviceEventDetails,omitempty"`
}

// EventType says what kind of thing made the event.
type EventType string

// The event types that this server makes.
const (
	APICall      EventType = "AwsApiCall"
	ServiceEvent EventType = "AwsServiceEvent"
)

// Category divides control plane from data plane. LookupEvents answers with management events only.
type Category string

// The categories that this server makes.
const (
	Management Category = "Management"
	Data       Category = "Data"
)

// Resource is something that the operation touched.
type Resource struct {
	AccountID string `json:"accountId,omitempty"`
	Type      string `json:"type,omitempty"`
	ARN       string `json:"ARN"`
}

// TLSDetails describes the connection that the request came over.
type TLSDetails struct {
	TLSVersion               string `json:"tlsVersion,omitempty"`
	CipherSuite              string `json:"cipherSuite,omitempty"`
	ClientProvidedHostHeader string `json:"clientProvidedHostHeader,omitempty"`
}

// UserIdentity says who made the request.
//
// Source: CloudTrail User Guide, "CloudTrail userIdentity element".
type UserIdentity struct {
	// Type is Root, IAMUser, AssumedRole, FederatedUser, WebIdentityUser, AWSService or Unknown.
	Type           string          `json:"type"`
	PrincipalID    string          `json:"principalId,omitempty"`
	ARN            string          `json:"arn,omitempty"`
	AccountID      string          `json:"accountId,omitempty"`
	AccessKeyID    string          `json:"accessKeyId,omitempty"`
	UserName       string          `json:"userName,omitempty"`
	SessionContext *SessionContext `json:"sessionContext,omitempty"`
	// IdentityProvider issued a WebIdentityUser's token.
	IdentityProvider string `json:"identityProvider,omitempty"`
	// InvokedBy is the service that called on the user's behalf, or that acted by itself.
	InvokedBy string `json:"invokedBy,omitempty"`
}

// SessionContext describes temporary credentials.
type SessionContext struct {
	SessionIssuer *SessionIssuer `json:"sessionIssuer,omitempty"`
	// WebIDFederationData is always there beside an issuer, as in AWS's records; it is empty but for sessions that an
	// identity provider's token obtained.
	WebIDFederationData *WebIDFederationData `json:"webIdFederationData,omitempty"`
	Attributes          SessionAttributes    `json:"attributes"`
	SourceIdentity      string               `json:"sourceIdentity,omitempty"`
}

// WebIDFederationData names the identity provider whose token obtained the session.
type WebIDFederationData struct {
	FederatedProvider string `json:"federatedProvider,omitempty"` // its ARN
	// Attributes are condition keys of the token.
	Attributes map[string]string `json:"attributes,omitempty"`
}

// SessionIssuer is the role that issued a session.
type SessionIssuer struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName"`
}

// SessionAttributes are strings, the boolean too.
type SessionAttributes struct {
	CreationDate     string `json:"creationDate"`
	MFAAuthenticated string `json:"mfaAuthenticated"`
}

// summary is what the index and LookupEvents need of a record: all but its documents, which may be large.
type summary struct {
	UserIdentity    UserIdentity `json:"userIdentity"`
	EventTime       time.Time    `json:"eventTime"`
	EventSource     string       `json:"eventSource"`
	EventName       string       `json:"eventName"`
	ErrorCode       string       `json:"errorCode"`
	EventID         string       `json:"eventID"`
	ReadOnly        bool         `json:"readOnly"`
	Resources       []Resource   `json:"resources"`
	ManagementEvent bool         `json:"managementEvent"`
}

// summarize reads the members of summary from a record.
func summarize(record []byte) (*Event, error) {
	var s summary
	if err := json.Unmarshal(record, &s); err != nil {
		return nil, err
	}
	return &Event{
		UserIdentity: s.UserIdentity, EventTime: s.EventTime, EventSource: s.EventSource, EventName: s.EventName,
		ErrorCode: s.ErrorCode, EventID: s.EventID, ReadOnly: s.ReadOnly, Resources: s.Resources, ManagementEvent: s.ManagementEvent,
	}, nil
}
