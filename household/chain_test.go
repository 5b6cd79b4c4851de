// SPDX-License-Identifier: Apache-2.0

package household

import (
	"testing"

	"github.com/obscura-video/obscura/e2ee"
)

func versions(t *testing.T, chain [][]byte) (v []uint32) {
	t.Helper()
	for _, signed := range chain {
		r, _, err := e2ee.ReadRoster(signed)
		if err != nil {
			t.Fatal(err)
		}
		v = append(v, r.Version)
	}
	return v
}

// TestChainLeadsFromTheFirstRosterToTheLast: a device that came late gives out the rosters before its own too, and none that a
// mailbox invents.
func TestChainLeadsFromTheFirstRosterToTheLast(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.camera()
	fork := h.forkOf(2)
	late := h.viewer("Ben's phone")
	h.remove("Front door")
	h.ok(late.Sync(h.ctx, h.box))
	for name, tt := range map[string]struct {
		give func(key string, b []byte) []byte
		want []uint32
	}{
		"honest":    {func(_ string, b []byte) []byte { return b }, []uint32{1, 2, 3, 4}},
		"fork":      {func(_ string, b []byte) []byte { return fork }, []uint32{3, 4}},
		"unsigned":  {func(_ string, b []byte) []byte { return append(b[:len(b)-97:len(b)-97], 0) }, []uint32{3, 4}},
		"the same":  {func(_ string, b []byte) []byte { return late.Trust().Signed() }, []uint32{3, 4}},
		"nothing":   {func(string, []byte) []byte { return nil }, []uint32{3, 4}},
		"the first": {func(string, []byte) []byte { b, _ := h.box.Get(h.ctx, rosterKey(1), 0); return b }, []uint32{3, 4}},
	} {
		box := &liar{Mailbox: h.box, get: func(key string, b []byte, err error) ([]byte, error) { return tt.give(key, b), err }}
		chain, err := late.Chain(h.ctx, box)
		h.ok(err)
		got := versions(t, chain)
		if len(got) != len(tt.want) || got[0] != tt.want[0] || got[len(got)-1] != tt.want[len(tt.want)-1] {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	if _, err := h.create("new", Kind{Consumer: true}).Chain(h.ctx, h.box); err == nil {
		t.Error("a device that is not paired has a chain")
	}
}
