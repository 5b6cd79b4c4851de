// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee/e2eetest"
	"github.com/obscura-video/obscura/test/rig"
)

// attackEveryBit flips each bit of a fragment in turn: of every block, its flags and its track's number. Each such fragment is
// refused, and none of it is released as what it is not. In a short run it is every 97th bit.
func (w *world) attackEveryBit(t *testing.T) {
	step := 97
	if rig.Full() {
		step = 1
	}
	genuine := w.recorded["door"][1]
	spoilt := spoil(genuine, step)
	n := 0
	for part := range slices.Chunk(spoilt, 2000) {
		p := w.lieTo(t, lies{media: func(all []*fragment) []*fragment {
			out := slices.Clone(all[:1])
			for i, f := range part {
				out = append(out, moved(f, w.now.Add(time.Duration(i+1)*time.Second)))
			}
			return append(out, all[2:session2]...)
		}})
		s := w.watch(t, p, resuming, nil)
		w.judge(t, s, resuming, false)
		for i := range s.steps {
			if s.steps[i].Kind == consumer.Refused {
				n++
			}
		}
		// What follows is confirmed, and the one that was spoilt is named as missing: the control that all went through the eye.
		(&want{confirmed: 3, missing: 1, code: s.code()}).check(t, s)
		if p.altered.Load() == 0 {
			t.Error("the harness altered nothing")
		}
	}
	if n != len(spoilt) {
		t.Errorf("%d fragments have a bit flipped, %d were refused", len(spoilt), n)
	}
	t.Logf("%d bits", n)
}

// spoil makes a copy of a fragment for every bit of it.
func spoil(f *fragment, step int) (all []*fragment) {
	add := func(edit func(*fragment)) {
		c := f.clone()
		edit(c)
		all = append(all, c)
	}
	k := 0
	for i := range f.blocks {
		for bit := range 8 * len(f.blocks[i].payload) {
			if k++; k%step == 0 {
				add(func(c *fragment) { c.blocks[i].payload[bit/8] ^= 1 << (bit % 8) })
			}
		}
		add(func(c *fragment) { c.blocks[i].key = !c.blocks[i].key && i < len(f.blocks)-1 || i == len(f.blocks)-1 })
		add(func(c *fragment) { c.blocks[i].track = 3 - c.blocks[i].track })
	}
	return all
}

// edits are what random attacks are made of. Each takes what it needs from a source of numbers below n.
func edits() []func(w *world, all []*fragment, pick func(n int) int) []*fragment {
	aBlock := func(all []*fragment, pick func(int) int) *block {
		f := all[pick(len(all))]
		if len(f.blocks) == 0 {
			return &block{}
		}
		return &f.blocks[pick(len(f.blocks))]
	}
	return []func(w *world, all []*fragment, pick func(n int) int) []*fragment{
		func(_ *world, all []*fragment, pick func(int) int) []*fragment { // drop a fragment
			i := pick(len(all))
			return slices.Delete(all, i, i+1)
		},
		func(w *world, all []*fragment, pick func(int) int) []*fragment { // repeat one elsewhere, with a time of its own
			f := moved(all[pick(len(all))].clone(), w.now.Add(time.Duration(pick(1000))*time.Second))
			return slices.Insert(all, pick(len(all)), f)
		},
		func(_ *world, all []*fragment, pick func(int) int) []*fragment { // swap two
			i, j := pick(len(all)), pick(len(all))
			all[i], all[j] = all[j], all[i]
			return all
		},
		func(_ *world, all []*fragment, pick func(int) int) []*fragment { // flip a bit
			if b := aBlock(all, pick); len(b.payload) > 0 {
				b.payload[pick(len(b.payload))] ^= 1 << pick(8)
			}
			return all
		},
		func(_ *world, all []*fragment, pick func(int) int) []*fragment { // cut a block, or lengthen it
			b := aBlock(all, pick)
			b.payload = append(b.payload[:pick(len(b.payload)+1)], make([]byte, pick(3))...)
			return all
		},
		func(_ *world, all []*fragment, pick func(int) int) []*fragment { // take a block of another fragment
			*aBlock(all, pick) = *aBlock(all, pick)
			return all
		},
		func(_ *world, all []*fragment, pick func(int) int) []*fragment { // drop a block
			if f := all[pick(len(all))]; len(f.blocks) > 0 {
				i := pick(len(f.blocks))
				f.blocks = slices.Delete(f.blocks, i, i+1)
			}
			return all
		},
		func(_ *world, all []*fragment, pick func(int) int) []*fragment { // flip flags, change tracks and times
			b := aBlock(all, pick)
			b.key, b.track, b.at = pick(2) == 0, uint64(1+pick(3)), int16(pick(30000))
			return all
		},
		func(_ *world, all []*fragment, pick func(int) int) []*fragment { // take a record of another fragment
			exchange(all[pick(len(all))], all[pick(len(all))], byte(1+pick(9)))
			return all
		},
		func(_ *world, all []*fragment, pick func(int) int) []*fragment { // drop records
			without(all[pick(len(all))], byte(2+pick(8)))
			return all
		},
		func(_ *world, all []*fragment, pick func(int) int) []*fragment { // something that can be read
			f := all[pick(len(all))]
			readable(f)
			return all
		},
		func(w *world, all []*fragment, pick func(int) int) []*fragment { // another stream's
			x := w.of("garden")
			all[pick(len(all))].blocks = x[pick(len(x))].wire.clone().blocks
			return all
		},
		func(w *world, all []*fragment, pick func(int) int) []*fragment { // forged, with Mallory's help or without
			i := pick(len(all))
			x := w.of("door")[pick(total)]
			switch pick(4) {
			case 0:
				forged(all[i], w.forgery(x, w.malloryKnows(1)))
			case 1:
				forged(all[i], w.forgery(x, w.malloryKnows(2)))
			case 2:
				forged(all[i], w.rewrapped(x))
			default:
				forged(all[i], w.serversOwn(x, serverKey(), w.door.Fingerprint()))
			}
			return all
		},
		func(w *world, all []*fragment, pick func(int) int) []*fragment { // a statement with another place in it
			f := all[pick(len(all))]
			if len(f.blocks) == 0 {
				return all
			}
			if st, h, ok := e2eetest.HeaderOf(f.blocks[0].payload); ok {
				h.Sequence, h.Capture = uint64(pick(8)), h.Capture+int64(pick(1000))
				st.Generation = uint32(pick(3))
				rest := e2eetest.Split(f.blocks[0].payload)[1:]
				f.blocks[0].payload = e2eetest.Join(slices.Insert(rest, 0, e2eetest.Record{Kind: e2eetest.HDR, Body: append(st.Bytes(), h.Bytes()...)})...)
			}
			return all
		},
	}
}

// attackAtRandom combines attacks. What comes of it is not known beforehand; what must hold is. A failure prints the seed, for
// -rapid.seed, and what was done.
func (w *world) attackAtRandom(t *testing.T) {
	ways, checks := []way{live, strictly, resuming}, "50"
	if rig.Full() {
		// Few of an archive, since one that does not give what it lists is asked for some seconds.
		ways, checks = append(slices.Repeat(ways, 10), archived), "2000"
	}
	honest := func(f []*fragment) []*fragment { return f }
	if err := flag.Set("rapid.checks", checks); err != nil {
		t.Fatal(err)
	}
	all := edits()
	altered := 0
	rapid.Check(t, func(rt *rapid.T) {
		how := ways[rapid.IntRange(0, len(ways)-1).Draw(rt, "way")]
		plan := rapid.SliceOfN(rapid.IntRange(0, len(all)-1), 1, 8).Draw(rt, "edits")
		numbers := rapid.SliceOfN(rapid.IntRange(0, 1<<20), 64, 64).Draw(rt, "numbers")
		media := func(fragments []*fragment) []*fragment {
			at := 0
			pick := func(n int) int { at++; return numbers[at%len(numbers)] % max(n, 1) }
			for _, e := range plan {
				if len(fragments) > 0 {
					fragments = all[e](w, fragments, pick)
				}
			}
			return fragments
		}
		l := lies{media: media, listed: honest}
		if how.archive {
			l.listed = nil
		}
		p := w.lieTo(t, l)
		defer p.close()
		s := w.watch(t, p, how, nil)
		altered += int(p.altered.Load())
		w.judge(rt, s, how, true)
		w.unforged(rt, s)
	})
	if altered == 0 {
		t.Error("the harness altered nothing")
	}
}

// unforged holds what was released to be the camera's, or to say of itself that it is not: only Mallory's forgeries are released, and
// the judge has seen that none is confirmed.
func (w *world) unforged(t reporter, s *seen) {
	t.Helper()
	for _, f := range s.frames() {
		genuine := bytes.HasPrefix(f.Data, []byte("what the server would have you see"))
		for _, x := range w.of("door") {
			for _, sample := range x.samples {
				genuine = genuine || isSample(f, sample)
			}
		}
		if !genuine {
			t.Errorf("released: %s", fmt.Sprintf("%+v", f))
		}
	}
}
