// SPDX-License-Identifier: Apache-2.0

// Package envelope keeps the data keys under which streams are sealed at rest.
//
//	GenerateDataKey as the caller → wrapped key stored under "dk" → frames sealed
//	wrapped key → Decrypt as the caller → frames opened
//
// It is not a KMS (it declares, as KeyService, what it needs of one) and it stores no
// media (package journal does, with the Sealer and the Opener that are made here).
//
// The invariants. A wrapped key is durable before the first byte is sealed under it. A
// plaintext key is kept for at most MaxPlaintext and then destroyed. And the decision is
// never cached: whoever seals or opens is authorised anew, for the caller at hand and
// the key's present state, at the beginning of each fragment and, while it goes on, at
// most Recheck after the last time. A plaintext key is cached for one principal alone, so
// that the first use by each of them is a call to the KMS of its own and audited as such.
//
// Rows are described in docs/formats/data-key.md. Lock order: Keyring.mu is innermost and
// is not held during I/O.
package envelope
