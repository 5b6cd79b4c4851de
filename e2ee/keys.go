// SPDX-License-Identifier: Apache-2.0

package e2ee

// TakeKeys takes a generation's secret from the first block of another fragment that has a key package: of the one that
// Error.SeekTo of an ErrNoPackage names. Nothing else is taken from it, and neither position nor halt changes. That it is not
// placed does no harm: a secret counts only where its statement stands.
//
// Errors: those that Block has for a first block, up to its header's authenticity.
func (o *Opener) TakeKeys(b Block) error {
	f := &fragment{}
	records, _, err := parseRecords(b.Payload)
	if err == nil && (len(records) == 0 || records[0].kind != recHDR) {
		err = refuse(ErrDowngrade, "block without a sealed header")
	}
	if err == nil {
		err = o.authenticate(f, records)
	}
	if err != nil {
		return o.locate(f, err)
	}
	return nil
}
