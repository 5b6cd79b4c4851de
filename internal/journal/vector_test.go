// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/obscura-video/obscura/internal/seal"
)

var update = flag.Bool("update", false, "write the vectors of sealed frames anew")

// frameVector is one entry of the vectors that docs/formats/sealed-frame.md points to.
// Bytes are in hex. Package seal checks the lower half of the same file.
type frameVector struct {
	Comment string `json:"comment"`
	// Inputs.
	Key       string `json:"key"`
	SessionID string `json:"sessionID"`
	Stream    string `json:"stream"` // with its shard
	Kind      Kind   `json:"kind"`
	Seq       Seq    `json:"seq"`
	Index     uint32 `json:"index"`
	Attrs     string `json:"attrs"`
	Payload   string `json:"payload"`
	// What follows from them.
	Counter   uint64 `json:"counter"`
	Epoch     uint32 `json:"epoch"`
	Session   string `json:"session"` // session field of the nonce
	Nonce     string `json:"nonce"`
	AAD       string `json:"aad"`
	Plaintext string `json:"plaintext"`
	Sealed    string `json:"sealed"`
	Stored    string `json:"stored"`
}

const vectorFile = "../seal/testdata/frame.json"

func vectorInputs() []frameVector {
	const (
		key     = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
		session = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
	)
	return []frameVector{
		{Comment: "first frame of the first fragment", Key: key, SessionID: session, Stream: "cam", Kind: KindFragment, Seq: NewSeq(1, 1), Payload: "6672616d65"},
		{Comment: "a later frame, with attributes", Key: key, SessionID: session, Stream: "cam", Kind: KindFragment, Seq: NewSeq(3, 70000), Index: 258, Attrs: "0102", Payload: "00ff"},
		{Comment: "a record of a shard", Key: key, SessionID: session, Stream: Shard("orders", "shardId-000000000001"), Kind: KindRecords, Seq: NewSeq(2, 5), Index: 1, Payload: "7265636f7264"},
		{Comment: "an empty frame", Key: key, SessionID: session, Stream: "cam", Kind: KindFragment, Seq: NewSeq(1, 1), Index: 1},
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (v frameVector) compute(t *testing.T) frameVector {
	t.Helper()
	k, err := seal.NewKey(unhex(t, v.Key))
	if err != nil {
		t.Fatal(err)
	}
	field := sessionField(v.SessionID, v.Stream)
	b := binding{v.Kind, v.Stream, v.Seq, field}
	s := newFrameSealer(b, NewStaticKey("k", k))
	s.index = v.Index
	stored, err := s.appendFrame(nil, unhex(t, v.Payload), unhex(t, v.Attrs))
	if err != nil {
		t.Fatal(err)
	}
	nonce := b.nonce(v.Index)
	plain, err := k.Open(nil, &nonce, stored[lengthBytes:], s.data)
	if err != nil {
		t.Fatal(err)
	}
	v.Counter, v.Epoch, v.Session = uint64(v.Seq.Counter()), v.Seq.Epoch(), hex.EncodeToString(field[:])
	v.Nonce, v.AAD, v.Plaintext = hex.EncodeToString(nonce[:]), hex.EncodeToString(s.data), hex.EncodeToString(plain)
	v.Sealed, v.Stored = hex.EncodeToString(stored[lengthBytes:]), hex.EncodeToString(stored)
	return v
}

func TestFrameVectors(t *testing.T) {
	var want []frameVector
	for _, v := range vectorInputs() {
		want = append(want, v.compute(t))
	}
	if *update {
		b, err := json.MarshalIndent(want, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var got []frameVector
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d vectors, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("vector %d:\n got %+v\nwant %+v", i, got[i], want[i])
		}
	}
}
