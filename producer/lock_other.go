// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package producer

import "os"

// lockFile does nothing where the system has no advisory locks.
func lockFile(*os.File) error { return nil }
