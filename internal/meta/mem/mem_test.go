// SPDX-License-Identifier: Apache-2.0

package mem_test

import (
	"testing"

	"github.com/obscura-video/obscura/internal/meta"
	"github.com/obscura-video/obscura/internal/meta/mem"
	"github.com/obscura-video/obscura/internal/meta/metatest"
)

func TestConformance(t *testing.T) {
	metatest.Run(t, func(*testing.T) meta.DB { return mem.New() })
}
