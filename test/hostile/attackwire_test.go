// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/e2ee/e2eetest"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// wire writes the answer of GetMedia byte by byte.
func wire(write func(world *world, w writer, r request, all []*fragment)) func(*world) lies {
	return func(world *world) lies {
		return lies{wire: func(w writer, r request, all []*fragment) { write(world, w, r, all) }}
	}
}

// attacksOnTheWire are about bytes, and the time in which they come.
func attacksOnTheWire() []attack {
	watching := []way{live, strictly}
	half := func(all []*fragment) []byte {
		b := all[0].bytes()
		return b[:len(b)-300]
	}
	return []attack{
		{
			name: "breaks off in a fragment", want: want{confirmed: 2}, ways: watching,
			lies: wire(func(_ *world, w writer, _ request, all []*fragment) {
				_, _ = w.Write(append(join(all[:2]), half(all[2:])...))
			}),
		},
		{
			// Half a fragment again and again: only once may it be released.
			name: "breaks off in a fragment each time", want: want{says: little}, ways: watching,
			lies: func(world *world) lies {
				var first []byte
				n := 0
				return lies{
					wire: func(w writer, _ request, all []*fragment) { first = half(all); _, _ = w.Write(first) },
					again: func(w http.ResponseWriter, _ *http.Request) {
						if n++; n == 3 {
							_, _ = w.Write(refusal())
							return
						}
						_, _ = w.Write(first)
					},
				}
			},
		},
		{
			name: "sends noise", want: want{confirmed: 2}, ways: watching,
			lies: wire(func(_ *world, w writer, _ request, all []*fragment) {
				_, _ = w.Write(append(join(all[:2]), "there is no more Matroska here"...))
			}),
		},
		{
			name: "sends noise in a fragment", want: want{code: e2ee.ErrFrame, confirmed: 2}, ways: watching,
			lies: wire(func(_ *world, w writer, _ request, all []*fragment) {
				b := half(all[2:])
				clear(b[len(b)-200:])
				_, _ = w.Write(append(join(all[:2]), b...))
			}),
		},
		{
			name: "trickles", want: want{confirmed: total}, ways: watching, believer: untouched,
			lies: wire(func(_ *world, w writer, _ request, all []*fragment) {
				for part := range slices.Chunk(append(join(all), refusal()...), 997) {
					_, _ = w.Write(part)
					_ = http.NewResponseController(w).Flush()
					time.Sleep(time.Millisecond)
				}
			}),
		},
		{
			name: "goes silent", want: want{confirmed: 5, says: falls(e2ee.Silent)}, ways: watching,
			lies: wire(func(_ *world, w writer, _ request, all []*fragment) {
				_, _ = w.Write(append(join(all[:5]), refusal()...))
			}),
		},
		{
			name: "promises a frame of a gigabyte", want: want{confirmed: 1}, ways: watching,
			lies: wire(func(_ *world, w writer, _ request, all []*fragment) {
				b := mkv.AppendClusterStart(mkv.AppendTags(mkv.AppendHeader(nil, all[1].info, all[1].tracks), all[1].before...), 1)
				_, _ = w.Write(append(join(all[:1]), mkv.AppendSimpleBlockHeader(b, 1, 0, true, 1<<30)...))
				_, _ = w.Write(make([]byte, 4096))
			}),
		},
		{
			name: "sends a fragment that has no end", want: want{code: e2ee.ErrTooLarge, confirmed: 1}, ways: watching, believer: starved,
			adjust: func(c *e2ee.OpenerConfig) { c.MaxFragmentBytes = 1 << 20 },
			lies: wire(func(_ *world, w writer, r request, all []*fragment) {
				endless(w, all, e2eetest.Join(e2eetest.Record{Kind: 77, Body: make([]byte, 64<<10)}), 64)
			}),
		},
		{
			name: "sends tags that have no end", want: want{confirmed: 1, ends: "answer is too large"}, ways: watching, believer: starved,
			lies: wire(func(_ *world, w writer, r request, all []*fragment) {
				_, _ = w.Write(all[0].bytes())
				tags := mkv.AppendTags(nil, mkv.Tag{Name: "x", Value: strings.Repeat("y", 8<<10)})
				for range 1000 {
					if _, err := w.Write(tags); err != nil {
						return
					}
				}
			}),
		},
	}
}

// endless writes one fragment that is good, and one that goes on with a payload n times.
func endless(w writer, all []*fragment, payload []byte, n int) {
	next := all[1].clone()
	next.blocks, next.after = next.blocks[:1], nil
	_, _ = w.Write(append(all[0].bytes(), next.bytes()...))
	b := mkv.AppendSimpleBlock(nil, 1, 1, false, payload)
	for range n {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

// list alters what ListFragments gives.
func list(edit func(w *world, list []listed, answer map[string]any) []listed) func(*world) lies {
	return func(w *world) lies {
		return lies{list: func(l []listed, answer map[string]any) []listed { return edit(w, l, answer) }}
	}
}

// attacksOnLists are about what an archive says that it has.
func attacksOnLists() []attack {
	in := []way{archived}
	return []attack{
		{
			name: "lists fragments in another order", ways: in, want: want{code: e2ee.ErrOrder, confirmed: 2, missing: 1},
			lies: list(func(_ *world, l []listed, _ map[string]any) []listed {
				a, b := l[1].at(), l[2].at()
				l[1].moveTo(b)
				l[2].moveTo(a)
				return l
			}),
		},
		{
			name: "lists an old fragment again", ways: in, want: want{code: e2ee.ErrOrder, confirmed: 6},
			lies: list(func(_ *world, l []listed, _ map[string]any) []listed {
				again := listed{}
				for k, v := range l[2] {
					again[k] = v
				}
				again.moveTo(l[session2+1].at().Add(time.Millisecond))
				return slices.Insert(l, session2+2, again)
			}),
		},
		{
			name: "lists nothing", ways: in, want: want{},
			lies: list(func(*world, []listed, map[string]any) []listed { return []listed{} }),
		},
	}
}

// bit flips one bit of the body of the first record of a kind in a fragment.
func bit(session int, sequence uint64, kind byte, at func(w *world, f *fragment) int) func(*world) lies {
	return on(session, sequence, func(w *world, f *fragment) {
		offset := at(w, f)
		for i := range f.blocks {
			for _, r := range e2eetest.Split(f.blocks[i].payload) {
				if r.Kind == kind {
					r.Body[(offset+len(r.Body))%len(r.Body)] ^= 1 // aliases the payload
					return
				}
			}
		}
	})
}

// attacksOnBits flip one bit of each thing that a fragment has, by docs/formats/e2ee.md §4 and §5.
func attacksOnBits() (all []attack) {
	fixed := func(n int) func(*world, *fragment) int { return func(*world, *fragment) int { return n } }
	add := func(what string, session int, sequence uint64, kind byte, at int, c e2ee.Code, confirmed int, b belief) {
		all = append(all, attack{
			name: "flips a bit of " + what, want: want{code: c, confirmed: confirmed}, believer: b, ways: []way{live},
			lies: bit(session, sequence, kind, fixed(at)),
		})
	}
	for _, field := range []struct {
		name string
		at   int
		code e2ee.Code
		b    belief
	}{
		{"the version", 0, e2ee.ErrVersion, untouched},
		{"the suite", 1, e2ee.ErrVersion, untouched},
		{"the stream", 2, e2ee.ErrStream, untouched},
		{"the producer", 18, e2ee.ErrProducer, deceived},
		{"the session", 26, e2ee.ErrStatement, deceived},
		{"the generation", 45, e2ee.ErrStatement, deceived},
		{"the length of an epoch", 49, e2ee.ErrStatement, untouched},
		{"the generation's start", 57, e2ee.ErrStatement, untouched},
		{"the roster's version", 61, e2ee.ErrStatement, deceived},
		{"the roster's hash", 62, e2ee.ErrStatement, untouched},
		{"the number of recipients", 71, e2ee.ErrStatement, untouched},
		{"the commitment", 72, e2ee.ErrStatement, untouched},
		{"the statement's signature", 104, e2ee.ErrStatement, untouched},
		{"the flags", 168, e2ee.ErrHeader, untouched},
		{"the epoch", 172, e2ee.ErrHeader, deceived},
		{"the sequence number", 180, e2ee.ErrHeader, deceived},
		{"the capture time", 188, e2ee.ErrHeader, deceived},
		{"the time of the keys", 196, e2ee.ErrHeader, untouched},
		{"the digest before", 197, e2ee.ErrHeader, untouched},
		{"the header's code", 229, e2ee.ErrHeader, untouched},
	} {
		add(field.name, 1, 1, e2eetest.HDR, field.at, field.code, 1, field.b)
	}
	add("the configuration", 1, 1, e2eetest.Config, 10, e2ee.ErrFrame, 1, deceived)
	add("the configuration's tag", 1, 1, e2eetest.Config, -1, e2ee.ErrFrame, 1, untouched)
	add("the metadata", 1, 1, e2eetest.Meta, 5, e2ee.ErrFrame, 1, deceived)
	add("a frame's header", 1, 1, e2eetest.Frame, 0, e2ee.ErrFrame, 1, deceived)
	add("a frame's time", 1, 1, e2eetest.Frame, 2, e2ee.ErrFrame, 1, untouched)
	add("a frame", 1, 1, e2eetest.Frame, 40, e2ee.ErrFrame, 1, deceived)
	add("a frame's tag", 1, 1, e2eetest.Frame, -1, e2ee.ErrFrame, 1, untouched)
	add("the signature", 1, 1, e2eetest.Sig, 0, e2ee.ErrSignature, 1, untouched)
	add("where the session before ended", 3, 0, e2eetest.Previous, 20, e2ee.ErrFrame, 10, untouched)
	return append(all, attacksOnRecords()...)
}

// attacksOnRecords flip bits of what holds records together, and of key packages.
func attacksOnRecords() []attack {
	head := func(session int, sequence uint64, block, at int) func(*world) lies {
		return on(session, sequence, func(_ *world, f *fragment) {
			p := f.blocks[(block+len(f.blocks))%len(f.blocks)].payload
			p[(at+len(p))%len(p)] ^= 1
		})
	}
	const hdr = 4 + 168 + 77
	noWrap := want{code: e2ee.ErrNoWrap, confirmed: 11, missing: 3, says: unlinked}
	wrap := func(at int) func(*world, *fragment) int {
		return func(w *world, f *fragment) int { return w.wrapOfVera(f) + at }
	}
	other := func(w *world, f *fragment) int { return (w.wrapOfVera(f)+wrapBytes)%(2*wrapBytes) + 100 }
	watching := []way{live, strictly}
	return []attack{
		{name: "flips a bit of the hint of Vera's wrap", lies: bit(2, 0, e2eetest.Keys, wrap(0)), want: noWrap, ways: watching},
		{name: "flips a bit of Vera's wrap", lies: bit(2, 0, e2eetest.Keys, wrap(100)), want: noWrap, ways: watching},
		{name: "flips a bit of the secret in Vera's wrap", lies: bit(2, 0, e2eetest.Keys, wrap(1130)), want: noWrap, ways: watching},
		{name: "flips a bit of another's wrap", lies: bit(2, 0, e2eetest.Keys, other), want: want{code: e2ee.ErrSignature, confirmed: 4}, believer: untouched, ways: watching},
		{name: "flips a bit of the first type", lies: head(1, 1, 0, 0), want: want{code: e2ee.ErrDowngrade, confirmed: 1}},
		{name: "flips a bit of the first length", lies: head(1, 1, 0, 3), want: want{code: e2ee.ErrFormat, confirmed: 1}},
		{name: "flips a bit of the configuration's type", lies: head(1, 1, 0, hdr), want: want{code: e2ee.ErrOrder, confirmed: 1}},
		{name: "flips a bit of the configuration's length", lies: head(1, 1, 0, hdr+3), want: want{code: e2ee.ErrFormat, confirmed: 1}},
		{name: "flips a bit of a frame's type", lies: head(1, 1, 2, 0), want: want{code: e2ee.ErrFormat, confirmed: 1}},
		{name: "flips a bit of the signature's type", lies: head(1, 1, -1, -68), want: want{code: e2ee.ErrSignature, confirmed: 1}, believer: untouched},
		{name: "flips a bit of the signature's length", lies: head(1, 1, -1, -65), want: want{code: e2ee.ErrFormat, confirmed: 1}, believer: untouched},
		{name: "flips a bit of the end of a session", lies: on(3, 3, func(_ *world, f *fragment) { rename(f, e2eetest.End, 9) }), want: want{code: e2ee.ErrSignature, confirmed: 13}},
	}
}

// rename gives the records of a kind another one.
func rename(f *fragment, kind, to byte) {
	for i := range f.blocks {
		records := e2eetest.Split(f.blocks[i].payload)
		for j := range records {
			if records[j].Kind == kind {
				records[j].Kind = to
			}
		}
		f.blocks[i].payload = e2eetest.Join(records...)
	}
}
