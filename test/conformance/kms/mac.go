// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/test/conformance/kit"
)

const hmac256 = types.MacAlgorithmSpecHmacSha256

func generateMac(c *kit.Clients, u use) error {
	return kit.Run(c, c.KMS.GenerateMac, &kms.GenerateMacInput{KeyId: u.Key, Message: plaintext, MacAlgorithm: hmac256, GrantTokens: u.Tokens, DryRun: u.DryRun})
}

func verifyMac(c *kit.Clients, u use) error { return verifyThisMac(c, u, []byte("none")) }

func verifyThisMac(c *kit.Clients, u use, mac []byte) error {
	return kit.Run(c, c.KMS.VerifyMac, &kms.VerifyMacInput{
		KeyId: u.Key, Message: plaintext, Mac: mac, MacAlgorithm: hmac256, GrantTokens: u.Tokens, DryRun: u.DryRun,
	})
}

// mac is the key's of the plaintext.
func (k *key) mac() []byte {
	k.w.T.Helper()
	out, err := k.w.Admin.KMS.GenerateMac(k.w.Admin.Ctx, &kms.GenerateMacInput{KeyId: &k.ID, Message: plaintext, MacAlgorithm: hmac256})
	k.w.Must(err)
	return out.Mac
}

func macCases() []kit.Case {
	return []kit.Case{
		{
			Op: "GenerateMac",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, maccing)
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					in := &kms.GenerateMacInput{KeyId: &k.ID, Message: plaintext, MacAlgorithm: hmac256}
					return kit.Run(c, c.KMS.GenerateMac, in, func(o *kms.GenerateMacOutput) error {
						return kit.Want("answer", []any{*o.KeyId, len(o.Mac), o.MacAlgorithm}, []any{k.ARN, 32, hmac256})
					})
				}}
			},
			Errors: misused(generateMac, maccing, sealing),
		},
		{
			Op: "VerifyMac",
			Good: func(w *kit.World) kit.Call {
				k := shared(w, maccing)
				mac := k.mac()
				return kit.Call{Needs: kit.On(k.ARN), Do: func(c *kit.Clients) error {
					in := &kms.VerifyMacInput{KeyId: &k.ID, Message: plaintext, Mac: mac, MacAlgorithm: hmac256}
					return kit.Run(c, c.KMS.VerifyMac, in, func(o *kms.VerifyMacOutput) error {
						return kit.Want("answer", []any{*o.KeyId, o.MacValid, o.MacAlgorithm}, []any{k.ARN, true, hmac256})
					})
				}}
			},
			Errors: kit.Merge(misused(verifyMac, maccing, sealing), kit.Errors{
				"DryRunOperationException": func(w *kit.World) error {
					k := shared(w, maccing)
					return dry(verifyThisMac(w.Admin, use{Key: &k.ID, DryRun: aws.Bool(true)}, k.mac()))
				},
				"KMSInvalidMacException": func(w *kit.World) error { return verifyMac(w.Admin, use{Key: &shared(w, maccing).ID}) },
			}),
		},
	}
}
