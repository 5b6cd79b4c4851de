// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is how long all threads of a process have run so far; 0 for process 0, which is nobody.
func processorTime(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	const scheduler = 2 // CPUCLOCK_SCHED: clock_getcpuclockid(3) makes the clock of a process so
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &t); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
