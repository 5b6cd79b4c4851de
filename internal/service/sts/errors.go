// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"errors"
	"fmt"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	stsapi "github.com/obscura-video/obscura/internal/awsapi/sts"
	"github.com/obscura-video/obscura/internal/policy"
)

func validation(message string) error { return protocol.NewError("ValidationError", 400, message) }

func tooLarge(percent int64) error {
	return &stsapi.PackedPolicyTooLargeException{
		Message: fmt.Sprintf("Packed size of session tags and policies consumes %d%% of the allotted space.", percent),
	}
}

func malformedPolicy(err error) error {
	if m := (*policy.MalformedError)(nil); errors.As(err, &m) {
		return &stsapi.MalformedPolicyDocumentException{Message: m.Message}
	}
	return err
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
