// SPDX-License-Identifier: Apache-2.0

package kms

import (
	kmsapi "github.com/obscura-video/obscura/internal/awsapi/kms"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// The texts below are the ones that AWS sends; clients show them and tests of
// clients compare them. Where AWS sends none, none is made up.

const statusBadRequest = 400

func invalid(message string) error {
	return protocol.NewError("ValidationException", statusBadRequest, message)
}

func notFound(message string) error { return &kmsapi.NotFoundException{Message: message} }

func notFoundKey(arn string) error { return notFound("Key '" + arn + "' does not exist") }

func notFoundAlias(arn string) error { return notFound("Alias " + arn + " is not found.") }

func invalidKeyID(given string) error { return notFound("Invalid keyId '" + given + "'") }

func invalidState(message string) error { return &kmsapi.KMSInvalidStateException{Message: message} }

func unsupported(message string) error {
	return &kmsapi.UnsupportedOperationException{Message: message}
}

func dryRun() error {
	return &kmsapi.DryRunOperationException{Message: "The request would have succeeded, but the DryRun option is set."}
}

// wrongUsage says that operation is none for keys of this usage.
func wrongUsage(k *key, operation string) error {
	return &kmsapi.InvalidKeyUsageException{Message: k.arn + " key usage is " + k.Usage + " which is not valid for " + operation + "."}
}

// wrongAlgorithm says that the key's spec does not know the algorithm.
func wrongAlgorithm(k *key, algorithm string) error {
	return &kmsapi.InvalidKeyUsageException{Message: "Algorithm " + algorithm + " is incompatible with key spec " + k.Spec + "."}
}
