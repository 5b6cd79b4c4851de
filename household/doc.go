// SPDX-License-Identifier: Apache-2.0

// Package household is a device on the roster, in one place: its folder of keys, the roster that it pinned, and how it keeps
// in step with the other devices through a mailbox that it does not trust.
//
//	folder     an e2ee.KeyStore: who this device is, its keys, its Trust, and what it confirmed of each stream
//	mailbox    write-once objects under names; the server's, and believed in nothing
//	Sync       takes every roster that follows, one by one, then certificates and grants; posts what is this device's to post
//	Follow     Sync for as long as a program runs; a removal gets to a camera as soon as the mailbox tells
//	Join       the new device's side of a pairing; Admit is the owner's
//	Change     an owner signs the next roster
//	Sealer     and Opener: package e2ee's, tied to what the folder remembers of a stream
//
// A folder may be open in several processes at once: a viewer that runs does not keep its owner from admitting a camera.
// Whatever changes it holds the folder's lock for that moment, and first takes over what others wrote.
//
// The invariant: nothing that a mailbox answers is used before e2ee has verified it against what is pinned, and nothing in the
// folder is removed because of it. A mailbox can keep things back; it cannot put anything in.
//
// The package speaks the wire only. It asks nobody anything and prints nothing: who types a passphrase, reads digits aloud or
// decides is the caller's.
//
// Names of objects and derivations: docs/formats/household.md.
package household
