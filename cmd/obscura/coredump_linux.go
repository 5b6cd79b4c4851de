// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// forbidCoreDumps keeps the memory of this process, which holds keys, out of core dumps, and away from debuggers of
// the same user.
func forbidCoreDumps() error {
	err := errors.Join(
		syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}),
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
	)
	if err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}
