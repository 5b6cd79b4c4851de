// SPDX-License-Identifier: Apache-2.0

// Package kms is the behaviour of AWS Key Management Service: keys, aliases, key
// policies, grants, and cryptography with keys that never leave it in clear.
//
// It is not the wire (package awsapi/kms), does not read identity policies
// (package access decides), and is not where data is encrypted (package envelope):
// it seals what is small, data keys above all.
//
// The invariant: no key is used that the caller may not use in the key's state
// and under the key's policy of that very moment. Key material may be cached,
// decisions are not.
//
// # What is stored
//
// Rows of the space "kms" (first part of the key, then its other parts):
//
//	"k", key id               record: metadata, policy, tags, materials (JSON)
//	"m", key id, material id  key material, wrapped under the root key
//	"a", alias name           aliasRecord (JSON)
//	"g", key id, grant id     grantRecord (JSON)
//	"u", key id               usage: its last use (JSON); written by Sweep
//	"gp", "gi", "gr"          index of grants, see grantindex.go
//	"r", Region, …            the same for a Region that is not the home Region
//
// Wrapping binds material to its key id and material id. Ciphertext blobs are
// docs/formats/ciphertext-blob.md; deviations from AWS are docs/compat/kms.md.
//
// # The view
//
// All keys and aliases are also in memory, compiled; of grants what was asked for last. A mutation holds
// estate.writing, writes its rows in one transaction, and shows them in the view
// once they are durable; so this process is the only writer of the space. With
// several nodes the view of one goes stale when another writes: each transaction
// would then bump a revision row and each node would load again when it sees a
// new one. load is that path already: it runs at the start, and again when the
// outcome of a transaction is unknown. At the start it goes on in the background
// when there are very many keys: until it is done, a key is read when it is used.
//
// # Regions
//
// Each Region has a Service, and a view, of its own. They share the lock of mutations,
// so that what concerns several Regions, a multi-Region key, is one transaction
// (replica.go). docs/design/0005-regions.md says why it is so.
//
// Lock order: estate.writing before view.mu; several view.mu at once only under
// estate.writing. Material has a lock of its own that is held for no other, and so has the cache of grants.
package kms
