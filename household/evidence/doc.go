// SPDX-License-Identifier: Apache-2.0

// Package evidence writes footage of an end-to-end encrypted stream into one file that anybody can verify offline, and verifies it.
//
// The file is a tar archive. It holds the fragments as the server stores them, sealed and signed by the camera; the secrets of the
// minutes in which they lie, and of no other; the rosters that say whose the camera's key is; and what its maker says of it.
//
//	who may vouch     an owner's fingerprint, or a roster's, that the verifier knows from elsewhere
//	rosters           from one that it vouches for, each to the next by hash and signatures, to the last
//	camera            a producer in that one, for this stream and time
//	fragments         signed by the camera over the ciphertext, each with the digest of the one before
//	picture           opened by secrets to which the camera committed under its signature
//
// Invariants: no byte of a file can be changed without Verify saying so and naming where; nothing that a file says is believed because
// it says it; memory is bounded by the largest fragment.
//
// It is not encrypted: whoever has the file can watch what is in it. Format: docs/formats/evidence.md.
package evidence
