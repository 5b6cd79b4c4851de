// SPDX-License-Identifier: Apache-2.0

package meta_test

import (
	"bytes"
	"cmp"
	"testing"

	"pgregory.net/rapid"

	"github.com/obscura-video/obscura/internal/meta"
)

func TestKeysSortAsTheirTuples(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringOfN(rapid.RuneFrom([]rune{'a', 'b', 0, 1, 0xff, '/'}), 0, 4, -1)
		number := rapid.Uint64()
		s1, s2 := part.Draw(t, "s1"), part.Draw(t, "s2")
		n1, n2 := number.Draw(t, "n1"), number.Draw(t, "n2")
		b1, b2 := []byte(part.Draw(t, "b1")), []byte(part.Draw(t, "b2"))
		k1, k2 := meta.Key("x", s1, n1, b1), meta.Key("x", s2, n2, b2)
		want := cmp.Or(cmp.Compare(s1, s2), cmp.Compare(n1, n2), bytes.Compare(b1, b2))
		if got := bytes.Compare(k1, k2); got != want {
			t.Fatalf("keys compare %d, tuples %d", got, want)
		}
		if want != 0 && bytes.HasPrefix(k1, k2) {
			t.Fatal("a key is a prefix of another")
		}
		rest, ok := meta.CutSpace(k1, "x")
		s, rest, ok1 := meta.CutString(rest)
		n, rest, ok2 := meta.CutUint64(rest)
		b, rest, ok3 := meta.CutBytes(rest)
		if !ok || !ok1 || !ok2 || !ok3 || s != s1 || n != n1 || !bytes.Equal(b, b1) || len(rest) != 0 {
			t.Fatal("key does not read back")
		}
	})
}

func TestPrefixEnd(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{{"a", "b"}, {"a\xff", "b"}, {"a\x00", "a\x01"}} {
		if got := meta.PrefixEnd([]byte(c.prefix)); string(got) != c.want {
			t.Errorf("PrefixEnd(%q) = %q, want %q", c.prefix, got, c.want)
		}
	}
	if got := meta.PrefixEnd([]byte("\xff\xff")); got != nil {
		t.Errorf("PrefixEnd of the last prefix = %q, want nil", got)
	}
}

func FuzzCutBytes(f *testing.F) {
	f.Add([]byte("a\x00\x01"))
	f.Add([]byte("\x00\xff\x00\x01rest"))
	f.Fuzz(func(t *testing.T, k []byte) {
		b, rest, ok := meta.CutBytes(k)
		if ok && !bytes.Equal(append(meta.AppendBytes(nil, b), rest...), k) {
			t.Errorf("CutBytes(%q) does not encode back", k)
		}
	})
}
