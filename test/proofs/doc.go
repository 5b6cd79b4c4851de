// SPDX-License-Identifier: Apache-2.0

// Package proofs has symbolic models of the end-to-end protocol, for the prover ProVerif, and the tests that have them proved. What is
// proved, and what is not, is in docs/design/0007-proofs.md.
package proofs
