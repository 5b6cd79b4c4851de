// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

// forbidCoreDumps does nothing: this system has no way to do it that we know of.
func forbidCoreDumps() error { return nil }
