// SPDX-License-Identifier: Apache-2.0

package main

import "golang.org/x/sys/unix"

// clockSynced tells whether something, mostly an NTP client, keeps this machine's clock right.
func clockSynced() bool {
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	return err == nil && state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0
}
