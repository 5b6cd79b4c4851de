// SPDX-License-Identifier: Apache-2.0

// Package power has the tests of the storage substrate as the server puts it together:
// journal over sealed Pebble rows and segment files, under power cuts, failing I/O calls,
// takeovers and restores, judged by journal.Check and by what was acknowledged. Each
// promise has a control, in which it is broken and that must be noticed. Its benchmarks
// compare with a bare loop of write and fdatasync.
//
// Clerks of the control plane (package clerk) do the same to a whole server on such a disk.
//
// Killing the real process is test/crash.
package power
