// SPDX-License-Identifier: Apache-2.0

// Package script drives the real program from the shell, as its users do: each file in testdata is a script of
// commands, with what they must print and how they must end. What the server does inside is tested elsewhere.
package script
