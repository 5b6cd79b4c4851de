// SPDX-License-Identifier: Apache-2.0

// Package e2ee seals media on the camera and opens it on the viewer, so that the server in between can read nothing and
// change nothing unseen.
//
// A producer gives its samples to a [Sealer] and gets blocks for the container; a consumer gives the blocks to an [Opener]
// and gets samples back, first provisional, then confirmed by the producer's signature. Who may read is said by a roster that
// the owner signs ([Roster], [Trust]); devices come to trust each other by a code or by digits ([Joiner], [Admitter]).
// Secrets rest in a [KeyStore].
//
//	root of trust   roster v1 ← v2 ← … each signed by the owners of the one before; a device pins one and only goes forward
//	recipients      roster → device key (Ed25519) → certificate of a key-encapsulation key (X-Wing)
//	generation      32 random bytes GS, wrapped by HPKE for each recipient; a signed statement commits to GS
//	epoch           a minute's secret, ratcheted forward by hashing; the producer forgets GS and all past epochs
//	frame           SFrame (RFC 9605) with a key per epoch and track; additional data bind it to its fragment
//	fragment        Ed25519 over a digest of all blocks, which the next fragment's header repeats
//
// The invariant: a producer wraps a generation only to keys whose chain to the pinned roster verifies, and a consumer releases
// nothing that does not come, by signature and commitment, from a producer in its own roster.
//
// The package knows no container and no network: it works on opaque samples, blocks and one tag. It is not a player, not a
// key server, and never the place to decide who may watch: owners do.
//
// Bytes on the wire: docs/formats/e2ee.md; vectors for a second implementation: e2ee/testdata.
package e2ee
