// SPDX-License-Identifier: Apache-2.0

package e2ee

// SignEvidence signs what a viewing device says of footage that it hands to others (docs/formats/evidence.md). It says who made the
// file, and proves nothing of the footage: that is what the producer's signatures are for.
//
// Errors: ErrMisuse when the identity is no consumer's; the signer's.
func (id *Identity) SignEvidence(statement []byte) ([]byte, error) {
	if id.role != RoleConsumer {
		return nil, refuse(ErrMisuse, "evidence signed by a %v", id.role)
	}
	return id.sign("evidence", statement)
}

// SignedEvidence reports whether a member of a roster has signed a statement as SignEvidence does.
func (m *Member) SignedEvidence(statement, sig []byte) bool {
	return m.Role == RoleConsumer && verify(m.Key, "evidence", sig, statement)
}
