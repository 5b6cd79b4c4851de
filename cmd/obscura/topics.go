// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

// newNotAdmitted is a help topic: what it means that a device cannot open footage.
func newNotAdmitted(*terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "not-admitted",
		Short: "What to do when this device cannot open footage",
		Long: `Footage that is end-to-end encrypted opens for the devices that were on its owner's roster when it was
recorded. The server cannot help: it has no key.

  this device is not in the roster    ERR_NOT_AUTHORISED_YET
      Have an owner let it in: obscura pair here, obscura pair admit there.

  recorded before this device was admitted    ERR_HISTORY
      Ask an owner for a history grant: obscura grant --history --to THIS-DEVICE --stream …

  this device was removed    ERR_REVOKED
      What was recorded before still opens. To come back it has to be paired again.

  no key for this device in the fragment    ERR_NO_WRAP
      It may have been off for a month, so that its certificate had ended: cameras then stop sealing for it,
      and begin again about a minute after any obscura command has run here. For the time between: a grant.

If every device is lost, the recovery kit opens the footage: obscura keys recover.`,
		Example: `  obscura keys show            whether this device is on the roster
  obscura roster show          who is, and who can let others in
  obscura pair                 ask to be let in`,
	}
}
