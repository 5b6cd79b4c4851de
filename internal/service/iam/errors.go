// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"fmt"

	iamapi "github.com/obscura-video/obscura/internal/awsapi/iam"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
)

// The texts are those that AWS answers with.

func noSuch(k kind, name string) error {
	return &iamapi.NoSuchEntityException{Message: fmt.Sprintf("The %s with name %s cannot be found.", k, name)}
}

func noSuchInline(k kind, name string) error {
	return &iamapi.NoSuchEntityException{Message: fmt.Sprintf("The %s policy with name %s cannot be found.", k, name)}
}

func noSuchKey(id string) error {
	return &iamapi.NoSuchEntityException{Message: fmt.Sprintf("The Access Key with id %s cannot be found.", id)}
}

func noSuchPolicy(arn string) error {
	return &iamapi.NoSuchEntityException{Message: fmt.Sprintf("Policy %s was not found.", arn)}
}

func notAttachable(arn string) error {
	return &iamapi.NoSuchEntityException{Message: fmt.Sprintf("Policy %s does not exist or is not attachable.", arn)}
}

func noSuchVersion(arn, version string) error {
	return &iamapi.NoSuchEntityException{
		Message: fmt.Sprintf("Policy %s version %s does not exist or is not attachable.", arn, version),
	}
}

func noSuchScope(arn string) error {
	return &iamapi.NoSuchEntityException{
		Message: fmt.Sprintf("Scope ARN: %s does not exist or is not attachable.", arn),
	}
}

func alreadyExists(k kind, name string) error {
	return &iamapi.EntityAlreadyExistsException{Message: fmt.Sprintf("%s with name %s already exists.", k.title(), name)}
}

func overQuota(quota string, limit int) error {
	return &iamapi.LimitExceededException{Message: fmt.Sprintf("Cannot exceed quota for %s: %d", quota, limit)}
}

func conflict(first string) error {
	return &iamapi.DeleteConflictException{Message: "Cannot delete entity, must " + first + " first."}
}

func invalidInput(format string, args ...any) error {
	return &iamapi.InvalidInputException{Message: fmt.Sprintf(format, args...)}
}

func malformed(message string) error {
	return &iamapi.MalformedPolicyDocumentException{Message: message}
}

func validation(message string) error {
	return protocol.NewError("ValidationError", 400, message)
}

func invalidToken() error {
	return protocol.NewError("InvalidClientTokenId", 403, "The security token included in the request is invalid")
}
