// SPDX-License-Identifier: Apache-2.0

//go:build unix

package household

import (
	"os"
	"syscall"
)

// lockFile holds f for this open file until it is closed or the process ends.
func lockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
