// SPDX-License-Identifier: Apache-2.0

package iot

import (
	"errors"
	"fmt"

	api "github.com/obscura-video/obscura/internal/awsapi/iot"
	"github.com/obscura-video/obscura/internal/meta"
)

func invalid(format string, args ...any) error {
	return &api.InvalidRequestException{Message: fmt.Sprintf(format, args...)}
}

func exists(kind, name string) error {
	return &api.ResourceAlreadyExistsException{Message: fmt.Sprintf("%s %s already exists with different properties.", kind, name)}
}

func notFound(kind, name string) error {
	return &api.ResourceNotFoundException{Message: fmt.Sprintf("%s %s not found.", kind, name)}
}

// orNotFound names what a row that is not there stands for.
func orNotFound(err error, kind, name string) error {
	if errors.Is(err, meta.ErrNotFound) {
		return notFound(kind, name)
	}
	return err
}

// noTags refuses tags: to take and forget them would break who relies on them.
func noTags(tags []*api.Tag) error {
	if len(tags) > 0 {
		return invalid("Tags are not supported by Obscura.")
	}
	return nil
}
