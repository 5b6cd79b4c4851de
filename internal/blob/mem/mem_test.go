// SPDX-License-Identifier: Apache-2.0

package mem_test

import (
	"testing"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/blob/blobtest"
	"github.com/obscura-video/obscura/internal/blob/mem"
)

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(*testing.T) func() blob.Store {
		b := mem.NewBytes()
		return func() blob.Store { return b.Open() }
	})
}
