// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"net/http"
	"slices"
	"strings"
)

// Kind is an error that the front door or the codec raises for any service. Each
// protocol has its own name and status for it: see [Service.Error].
type Kind int

// The kinds. Their texts and names are those of AWS's front ends.
const (
	AccessDenied        Kind = iota
	UnknownOperation         // no such operation in this service
	MissingAuthToken         // no signature at all
	IncompleteSignature      // a signature that cannot be parsed
	BadSignature             // a signature that does not verify, or has a wrong scope
	UnrecognizedClient       // an unknown access key, or a wrong session token
	ExpiredToken             // the session is over
	RequestExpired           // the request's time is outside the window
	Throttling               // too many requests
	Internal                 // our fault
	Unavailable              // shutting down or not ready
	Serialization            // a body that cannot be parsed
	Validation               // a body that breaks a constraint
	TooLarge                 // a body above the service's bound
)

// kindRow is one line of the table: the names in JSON and in query, the statuses
// in JSON 1.1, REST-JSON and query, and the text when the caller gives none.
type kindRow struct {
	json, query                         string
	jsonStatus, restStatus, queryStatus int
	text                                string
}

const signatureText = "The request signature we calculated does not match the signature you provided. " +
	"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

// row returns the row of a kind.
func (k Kind) row() kindRow {
	switch k {
	case AccessDenied:
		return kindRow{"AccessDeniedException", "AccessDenied", 400, 403, 403, ""}
	case UnknownOperation:
		return kindRow{"UnknownOperationException", "InvalidAction", 400, 404, 400, ""}
	case MissingAuthToken:
		return kindRow{"MissingAuthenticationTokenException", "MissingAuthenticationToken", 400, 403, 403, "Missing Authentication Token"}
	case IncompleteSignature:
		return kindRow{"IncompleteSignatureException", "IncompleteSignature", 400, 403, 400, ""}
	case BadSignature:
		return kindRow{"InvalidSignatureException", "SignatureDoesNotMatch", 400, 403, 403, signatureText}
	case UnrecognizedClient:
		return kindRow{"UnrecognizedClientException", "InvalidClientTokenId", 400, 403, 403, "The security token included in the request is invalid."}
	case ExpiredToken:
		return kindRow{"ExpiredTokenException", "ExpiredToken", 400, 403, 403, "The security token included in the request is expired"}
	case RequestExpired:
		return kindRow{"InvalidSignatureException", "SignatureDoesNotMatch", 400, 403, 403, ""}
	case Throttling:
		return kindRow{"ThrottlingException", "Throttling", 400, 429, 400, "Rate exceeded"}
	case Unavailable:
		return kindRow{"ServiceUnavailableException", "ServiceUnavailable", 503, 503, 503, "The service is currently unavailable."}
	case Serialization:
		return kindRow{"SerializationException", "MalformedInput", 400, 400, 400, ""}
	case Validation:
		return kindRow{"ValidationException", "ValidationError", 400, 400, 400, ""}
	case TooLarge:
		return kindRow{"RequestEntityTooLargeException", "RequestEntityTooLarge", 413, 413, 413, "The request body is too large."}
	default:
		return kindRow{"InternalFailureException", "InternalFailure", 500, 500, 500, ""}
	}
}

// Error makes the error of a kind as this service's protocol names it. An empty
// message takes AWS's usual text for the kind, if it has one.
//
// Source: the error table of AWS's front ends as recorded, and the Kinesis Video
// developer guide (401 NotAuthorizedException; ClientLimitExceededException).
func (s *Service) Error(kind Kind, message string) APIError {
	row := kind.row()
	if message == "" {
		message = row.text
	}
	if s.Protocol == Query {
		if kind == MissingAuthToken {
			message = "Request is missing Authentication Token"
		}
		return NewError(row.query, row.queryStatus, message)
	}
	status := row.jsonStatus
	if s.Protocol == RestJSON {
		status = row.restStatus
	}
	switch s.SigningName {
	case kinesisVideo:
		row.json, status = kinesisVideoKind(kind, row.json, status)
	case iot:
		row.json, status = iotKind(kind, row.json, status)
	}
	return NewError(row.json, status, message)
}

// kinesisVideo is the signing name of the services that have habits of their own.
const kinesisVideo = "kinesisvideo"

// iot has names of its own for what its model names.
const iot = "iot"

func iotKind(kind Kind, code string, status int) (string, int) {
	switch kind {
	case Validation, Serialization:
		return "InvalidRequestException", http.StatusBadRequest
	case Throttling:
		return code, http.StatusBadRequest
	}
	return code, status
}

func kinesisVideoKind(kind Kind, code string, status int) (string, int) {
	switch kind {
	case AccessDenied:
		return "NotAuthorizedException", http.StatusUnauthorized
	case Validation:
		return "InvalidArgumentException", http.StatusBadRequest
	case Throttling:
		return "ClientLimitExceededException", http.StatusBadRequest
	case RequestExpired:
		return "RequestExpired", http.StatusForbidden
	}
	return code, status
}

// Denied is the error of a caller who may not do op. Some services have two names for it; it is the one that op's model
// declares, for clients know no other.
func (op *Operation) Denied(message string) APIError {
	const other = "AccessDeniedException"
	err := op.Service.Error(AccessDenied, message)
	if !slices.Contains(op.Errors, err.ErrorCode()) && slices.Contains(op.Errors, other) {
		return NewError(other, err.HTTPStatus(), message)
	}
	return err
}

// unknownOperation is the error for an operation that the service does not have.
func (s *Service) unknownOperation(name string) APIError {
	if s.Protocol == Query {
		return s.Error(UnknownOperation, "Could not find operation "+clip(name)+" for version "+s.APIVersion)
	}
	return s.Error(UnknownOperation, "")
}

// clip bounds text of a client's that goes back to it.
func clip(s string) string {
	const most = 1024
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
