// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"fmt"

	"github.com/obscura-video/obscura/internal/access"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// authenticate finds out who signed the request. Operations that carry their proof themselves have the
// anonymous principal.
func (x *exchange) authenticate(auth *sigv4.Auth, parseErr error, body []byte) (access.Principal, error) {
	if x.op.Unsigned {
		return access.Principal{}, nil
	}
	if parseErr != nil {
		return access.Principal{}, x.refuse(auth, parseErr)
	}
	if err := auth.CheckService(x.service.SigningName); err != nil {
		return access.Principal{}, x.refuse(auth, err)
	}
	cred, err := x.gateway.Credentials.Credential(x.r.Context(), auth.AccessKeyID, auth.SessionToken)
	if err != nil {
		return access.Principal{}, x.refuse(auth, err)
	}
	payload := sigv4.Body(body)
	if x.op.StreamsIn {
		payload = sigv4.StreamedBody()
	}
	if err := x.verifier.Verify(x.start, x.r, auth, cred.SecretAccessKey, payload); err != nil {
		return access.Principal{}, x.refuse(auth, err)
	}
	return cred.Principal, nil
}

// refuse turns what is wrong with a request's authentication into the error of its protocol. Such requests
// are in no audit event, since nobody knows whose they are; the operator's log has them.
func (x *exchange) refuse(auth *sigv4.Auth, err error) error {
	var key string
	if auth != nil {
		key = auth.AccessKeyID
	}
	x.gateway.Log.Info("authentication refused", "request", x.id, "operation", x.operation(),
		"accessKeyId", key, "source", x.r.RemoteAddr, "reason", err)
	switch s, ok := errors.AsType[*sigv4.Error](err); {
	case ok:
		return x.service.Error(kindOf(s.Kind), s.Message)
	case errors.Is(err, ErrUnknownClient):
		return x.service.Error(protocol.UnrecognizedClient, "")
	case errors.Is(err, ErrExpiredToken):
		return x.service.Error(protocol.ExpiredToken, "")
	}
	return fmt.Errorf("credentials of %s: %w", key, err)
}

func kindOf(k sigv4.Kind) protocol.Kind {
	switch k {
	case sigv4.MissingToken:
		return protocol.MissingAuthToken
	case sigv4.Incomplete, sigv4.Unsupported:
		return protocol.IncompleteSignature
	case sigv4.UnknownKey:
		return protocol.UnrecognizedClient
	case sigv4.ExpiredToken:
		return protocol.ExpiredToken
	case sigv4.Expired, sigv4.NotYetCurrent, sigv4.PresignExpired:
		return protocol.RequestExpired
	}
	return protocol.BadSignature
}
