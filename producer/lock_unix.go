// SPDX-License-Identifier: Apache-2.0

//go:build unix

package producer

import (
	"os"
	"syscall"
)

// lockFile holds f for this process until f is closed or the process ends.
func lockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
