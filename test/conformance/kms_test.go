// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 version 1 of the SDK is the one that has the media clients

package conformance

import (
	"bytes"
	"fmt"
	"testing"

	kmsv1 "github.com/aws/aws-sdk-go/service/kms"
)

var plaintext = []byte("what nobody is to read")

// notAllowed is what AWS says of a ciphertext whose key the caller may not use: it does not tell whether there is one.
const notAllowed = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."

// equal checks a part of an answer.
func (w *world) equal(what string, got, want any) {
	w.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestKMSWithSDKv1 shows that the older SDK, which many programs still use, agrees.
func TestKMSWithSDKv1(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := kmsv1.New(w.V1(w.Root))
	key, err := c.CreateKey(&kmsv1.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := c.Encrypt(&kmsv1.EncryptInput{KeyId: key.KeyMetadata.Arn, Plaintext: plaintext})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := c.Decrypt(&kmsv1.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	if err != nil || !bytes.Equal(opened.Plaintext, plaintext) {
		t.Fatalf("got %q, %v", opened.Plaintext, err)
	}
	_, err = c.Decrypt(&kmsv1.DecryptInput{CiphertextBlob: plaintext})
	if _, ok := err.(*kmsv1.InvalidCiphertextException); !ok {
		t.Errorf("got %T: %v", err, err)
	}
}
