// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package household

import "os"

// lockFile does nothing where the system has no advisory locks: use a folder from one process at a time there.
func lockFile(*os.File) error { return nil }
