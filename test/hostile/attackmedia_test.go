// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/obscura-video/obscura/consumer"
	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/e2ee/e2eetest"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

var serviceTimes = []string{mkv.ProducerTimestamp, mkv.ServerTimestamp}

// find is the index of a fragment in an answer, or -1.
func find(all []*fragment, x *taken) int {
	return slices.IndexFunc(all, func(f *fragment) bool {
		return len(f.blocks) > 0 && bytes.Equal(f.blocks[0].payload, x.wire.blocks[0].payload)
	})
}

// every alters all fragments of an answer.
func every(edit func(w *world, i int, f *fragment)) func(*world) lies {
	return func(w *world) lies {
		return lies{media: func(all []*fragment) []*fragment {
			for i, f := range all {
				edit(w, i, f)
			}
			return all
		}}
	}
}

// on alters one fragment of the door.
func on(session int, sequence uint64, edit func(w *world, f *fragment)) func(*world) lies {
	return func(w *world) lies {
		return lies{media: func(all []*fragment) []*fragment {
			if i := find(all, w.at(session, sequence)); i >= 0 {
				edit(w, all[i])
			}
			return all
		}}
	}
}

// whole alters an answer.
func whole(edit func(w *world, all []*fragment) []*fragment) func(*world) lies {
	return func(w *world) lies {
		return lies{media: func(all []*fragment) []*fragment { return edit(w, all) }}
	}
}

// fragments are indices into all that the door has recorded.
const (
	session1 = 0
	session2 = 4
	removal  = 7 // the first fragment that Mallory cannot open
	session3 = 10
	total    = 14
)

// drop leaves fragments out, live and of the list of an archive.
func drop(indices ...int) func(*world) lies {
	return func(w *world) lies {
		door := w.of("door")
		dropped := func(is func(*taken) bool) bool {
			return slices.ContainsFunc(indices, func(i int) bool { return is(door[i]) })
		}
		return lies{
			media: func(all []*fragment) []*fragment {
				return slices.DeleteFunc(all, func(f *fragment) bool {
					return dropped(func(x *taken) bool { return find([]*fragment{f}, x) == 0 })
				})
			},
			list: func(list []listed, _ map[string]any) []listed {
				return slices.DeleteFunc(list, func(f listed) bool {
					return dropped(func(x *taken) bool { return f.at().Equal(x.link.Capture) })
				})
			},
		}
	}
}

func withoutTag(tags []mkv.Tag, name string) []mkv.Tag {
	return slices.DeleteFunc(tags, func(t mkv.Tag) bool { return t.Name == name })
}

func concat(groups ...[]attack) []attack { return slices.Concat(groups...) }

func attacksOnMedia() []attack {
	return concat(attacksOnOrder(), attacksOnWholeness(), attacksOnPlaces(), attacksOnDress(), attacksByForgery(), attacksOnTime(), attacksOnTheWire(), attacksOnLists(), attacksOnBits())
}

// attacksOnOrder drop, reorder and replay fragments.
func attacksOnOrder() []attack {
	watching := []way{live, strictly}
	return []attack{
		{name: "drops a fragment", lies: drop(1), want: want{confirmed: 13, missing: 1}},
		{
			name: "drops fragments, the one with the keys too", lies: drop(session2+1, session2+2, removal),
			want: want{code: e2ee.ErrNoPackage, confirmed: 9, missing: 5},
		},
		{
			name: "drops fragments, and gives the keys when asked", ways: watching, want: want{confirmed: 11, missing: 3},
			lies: func(w *world) lies {
				l := drop(session2+1, session2+2, removal)(w)
				l.listed, l.list = func(all []*fragment) []*fragment { return all }, nil
				return l
			},
		},
		{
			name: "drops how it began", lies: drop(0, 1),
			want: want{code: e2ee.ErrNoPackage, confirmed: 10},
		},
		{name: "drops the end of a session", lies: drop(session3-2, session3-1), want: want{confirmed: 12, missing: 2}},
		{
			name: "drops the end", lies: drop(total-2, total-1),
			want: want{confirmed: 12, says: falls(e2ee.Silent)},
		},
		{name: "drops the whole session before", lies: drop(4, 5, 6, 7, 8, 9), ways: watching, want: want{confirmed: 8, says: unlinked}},
		{
			name: "swaps fragments", ways: watching, want: want{code: e2ee.ErrOrder, confirmed: 2, missing: 1},
			lies: whole(func(_ *world, all []*fragment) []*fragment { all[1], all[2] = all[2], all[1]; return all }),
		},
		{
			name: "gives a later session first", ways: watching, want: want{code: e2ee.ErrStale, confirmed: 8, says: unlinked},
			lies: whole(func(_ *world, all []*fragment) []*fragment {
				return slices.Concat(all[:session2], all[session3:], all[session2:session3])
			}),
		},
		{
			name: "gives a fragment twice", ways: watching, want: want{confirmed: total},
			lies: whole(func(_ *world, all []*fragment) []*fragment { return slices.Insert(all, 3, all[1].clone()) }),
		},
		{
			name: "gives a fragment twice, with another time", ways: watching, want: want{code: e2ee.ErrOrder, confirmed: 3},
			lies: whole(func(w *world, all []*fragment) []*fragment {
				return slices.Insert(all, 3, moved(all[1].clone(), w.now.Add(-time.Hour)))
			}),
		},
		{
			name: "passes a fragment off as a repetition", ways: watching, want: want{confirmed: 13, missing: 1},
			lies: whole(func(w *world, all []*fragment) []*fragment { moved(all[2], w.at(1, 1).link.Capture); return all }),
		},
		{
			name: "plays an old session again at the end", ways: watching, want: want{code: e2ee.ErrStale, confirmed: total},
			lies: whole(func(w *world, all []*fragment) []*fragment {
				return append(all, moved(all[0].clone(), w.now), moved(all[1].clone(), w.now.Add(time.Second)))
			}),
		},
		{
			name: "plays an old session again in a new one", ways: watching, want: want{code: e2ee.ErrOrder, confirmed: 6},
			lies: whole(func(w *world, all []*fragment) []*fragment {
				return slices.Insert(all, session2+2, moved(all[2].clone(), w.now))
			}),
		},
	}
}

// unlinked wants a report that says that what is missing is not known.
func unlinked(s *seen) error {
	if !slices.ContainsFunc(s.confirmed(), func(r e2ee.Report) bool { return r.Unlinked }) {
		return errors.New("nothing says that what is missing is not known")
	}
	return nil
}

// falls wants the camera to be silent, or stopped, a minute later.
func falls(want e2ee.Presence) func(*seen) error {
	return func(s *seen) error {
		before := s.opener.Presence()
		*s.clock = s.clock.Add(time.Minute)
		if got := s.opener.Presence(); got != want || before == e2ee.Silent {
			return fmt.Errorf("presence %v, a minute later %v, want %v", before, got, want)
		}
		return nil
	}
}

// attacksOnWholeness cut fragments short.
func attacksOnWholeness() []attack {
	cut := func(from, to int) func(*world) lies {
		return on(1, 1, func(_ *world, f *fragment) {
			n := len(f.blocks)
			f.blocks = slices.Delete(f.blocks, (from+n)%n, (to+n-1)%n+1)
		})
	}
	shorten := func(i, by int) func(*world) lies {
		return on(1, 1, func(_ *world, f *fragment) { f.blocks[i].payload = f.blocks[i].payload[:len(f.blocks[i].payload)-by] })
	}
	return []attack{
		{name: "cuts off the signature", lies: cut(-1, 0), want: want{code: e2ee.ErrSignature, confirmed: 1}},
		{name: "cuts off the end of a fragment", lies: cut(-3, 0), want: want{code: e2ee.ErrSignature, confirmed: 1}},
		{name: "drops the last frame", lies: cut(-2, -1), want: want{code: e2ee.ErrSignature, confirmed: 1}},
		{name: "drops a frame", lies: cut(2, 3), want: want{code: e2ee.ErrOrder, confirmed: 1}},
		{name: "drops the first block", lies: cut(0, 1), want: want{code: e2ee.ErrDowngrade, confirmed: 1}},
		{name: "drops all blocks", lies: on(1, 1, func(_ *world, f *fragment) { f.blocks = nil }), want: want{code: e2ee.ErrDowngrade, confirmed: 1}},
		{name: "shortens a frame", lies: shorten(2, 1), want: want{code: e2ee.ErrFrame, confirmed: 1}},
		{name: "shortens a frame to nothing", lies: shorten(2, 200), want: want{code: e2ee.ErrFrame, confirmed: 1}},
		{name: "shortens the first block to half a header", lies: shorten(0, 600), want: want{code: e2ee.ErrFormat, confirmed: 1}},
		{
			name: "empties the first block", want: want{code: e2ee.ErrDowngrade, confirmed: 1},
			lies: on(1, 1, func(_ *world, f *fragment) { f.blocks[0].payload = nil }),
		},
		{
			name: "appends to a frame", want: want{code: e2ee.ErrFrame, confirmed: 1},
			lies: on(1, 1, func(_ *world, f *fragment) { f.blocks[2].payload = append(f.blocks[2].payload, 0) }),
		},
		{
			name: "adds a block after the signature", want: want{code: e2ee.ErrOrder, confirmed: 1}, believer: untouched,
			lies: on(1, 1, func(_ *world, f *fragment) {
				f.blocks = append(f.blocks, block{1, 900, false, e2eetest.Join(e2eetest.Record{Kind: 77})})
			}),
		},
		{
			name: "repeats a frame", want: want{code: e2ee.ErrOrder, confirmed: 1},
			lies: on(1, 1, func(_ *world, f *fragment) { f.blocks = slices.Insert(f.blocks, 3, f.blocks[2]) }),
		},
		{
			name: "adds a record of a type that nobody knows", want: want{code: e2ee.ErrSignature, confirmed: 1}, believer: untouched,
			lies: on(1, 1, func(_ *world, f *fragment) {
				f.blocks[2].payload = append(e2eetest.Join(e2eetest.Record{Kind: 77, Body: []byte("x")}), f.blocks[2].payload...)
			}),
		},
		{
			name: "makes up the end of a session", want: want{code: e2ee.ErrSignature, confirmed: 1},
			lies: on(1, 1, func(_ *world, f *fragment) {
				last := &f.blocks[len(f.blocks)-1]
				last.payload = append(e2eetest.Join(e2eetest.Record{Kind: e2eetest.End}), last.payload...)
			}),
		},
		{
			name: "takes the end of a session away", want: want{code: e2ee.ErrSignature, confirmed: 13},
			lies: on(3, 3, func(_ *world, f *fragment) { without(f, e2eetest.End) }),
		},
		{
			name: "takes the metadata away", want: want{code: e2ee.ErrSignature, confirmed: 1},
			lies: on(1, 1, func(_ *world, f *fragment) { without(f, e2eetest.Meta) }),
		},
		{
			name: "takes the configuration away", want: want{code: e2ee.ErrFrame, confirmed: 1},
			lies: on(1, 1, func(_ *world, f *fragment) { without(f, e2eetest.Config) }),
		},
		{
			name: "takes away where the session before ended", want: want{code: e2ee.ErrSignature, confirmed: 10}, believer: untouched,
			lies: on(3, 0, func(_ *world, f *fragment) { without(f, e2eetest.Previous) }),
		},
	}
}

// without drops the records of a kind from all blocks of a fragment, and a block that had nothing else.
func without(f *fragment, kind byte) {
	for i := range f.blocks {
		records := e2eetest.Split(f.blocks[i].payload)
		f.blocks[i].payload = e2eetest.Join(slices.DeleteFunc(records, func(r e2eetest.Record) bool { return r.Kind == kind })...)
	}
}

// attacksOnPlaces put something genuine where it does not belong.
func attacksOnPlaces() []attack {
	from := func(session int, sequence uint64, edit func(f, other *fragment)) func(*world) lies {
		return on(1, 1, func(w *world, f *fragment) { edit(f, w.at(session, sequence).wire.clone()) })
	}
	record := func(kind byte) func(f, other *fragment) { return func(f, other *fragment) { exchange(f, other, kind) } }
	bad := func(c e2ee.Code) want { return want{code: c, confirmed: 1} }
	return []attack{
		{name: "moves a frame to the other track", lies: on(1, 1, func(_ *world, f *fragment) { f.blocks[2].track = 2 }), want: bad(e2ee.ErrFrame)},
		{name: "moves a frame to a track that is none", lies: on(1, 1, func(_ *world, f *fragment) { f.blocks[2].track = 3 }), want: bad(e2ee.ErrFrame)},
		{name: "moves a frame to a track far off", lies: on(1, 1, func(_ *world, f *fragment) { f.blocks[2].track += 256 }), want: bad(e2ee.ErrFrame)},
		{
			name: "swaps the tracks", want: bad(e2ee.ErrFrame),
			lies: on(1, 1, func(_ *world, f *fragment) {
				for i := range f.blocks {
					f.blocks[i].track = 3 - f.blocks[i].track
				}
			}),
		},
		{name: "swaps frames of a track", lies: on(1, 1, func(_ *world, f *fragment) { swapPayloads(f, 2, 4) }), want: bad(e2ee.ErrOrder)},
		{name: "swaps blocks of a track", lies: on(1, 1, func(_ *world, f *fragment) { f.blocks[4], f.blocks[6] = f.blocks[6], f.blocks[4] }), want: bad(e2ee.ErrOrder)},
		{name: "swaps blocks of two tracks", lies: on(1, 1, func(_ *world, f *fragment) { f.blocks[4], f.blocks[5] = f.blocks[5], f.blocks[4] }), want: bad(e2ee.ErrSignature)},
		{name: "takes a frame of another fragment", lies: from(1, 2, func(f, o *fragment) { f.blocks[2] = o.blocks[2] }), want: bad(e2ee.ErrFrame)},
		{name: "takes a frame of another session", lies: from(2, 1, func(f, o *fragment) { f.blocks[2] = o.blocks[2] }), want: bad(e2ee.ErrFrame)},
		{name: "takes all but the first block of another fragment", lies: from(1, 2, func(f, o *fragment) { f.blocks = append(f.blocks[:1], o.blocks[1:]...) }), want: bad(e2ee.ErrFrame)},
		{name: "takes the header of a later fragment", lies: from(1, 3, record(e2eetest.HDR)), want: bad(e2ee.ErrFrame)},
		{name: "takes the header of an earlier fragment", lies: from(1, 0, record(e2eetest.HDR)), want: bad(e2ee.ErrOrder)},
		{name: "takes the configuration of another fragment", lies: from(1, 2, record(e2eetest.Config)), want: bad(e2ee.ErrFrame)},
		{name: "takes the metadata of another fragment", lies: from(1, 2, record(e2eetest.Meta)), want: bad(e2ee.ErrFrame)},
		{name: "takes the signature of another fragment", lies: from(1, 2, record(e2eetest.Sig)), want: bad(e2ee.ErrSignature), believer: untouched},
		{
			name: "moves the metadata to another frame", want: bad(e2ee.ErrSignature),
			lies: on(1, 1, func(_ *world, f *fragment) {
				var meta []e2eetest.Record
				for _, b := range f.blocks {
					meta = append(meta, slices.DeleteFunc(e2eetest.Split(b.payload), func(r e2eetest.Record) bool { return r.Kind != e2eetest.Meta })...)
				}
				moving := e2eetest.Join(meta...)
				without(f, e2eetest.Meta)
				f.blocks[3].payload = append(moving, f.blocks[3].payload...)
			}),
		},
		{
			name: "says that another session ended before", want: want{code: e2ee.ErrFrame, confirmed: 10}, believer: untouched,
			lies: on(3, 0, func(w *world, f *fragment) { exchange(f, w.at(2, 0).wire.clone(), e2eetest.Previous) }),
		},
		{
			name: "gives a fragment of another stream", want: bad(e2ee.ErrStream),
			lies: on(1, 1, func(w *world, f *fragment) { f.blocks = w.of("garden")[1].wire.clone().blocks }),
		},
		{
			name: "gives another stream", want: want{code: e2ee.ErrStream}, ways: []way{live, strictly},
			lies: whole(func(w *world, all []*fragment) (out []*fragment) {
				for i, x := range w.of("garden") {
					f := all[i].clone()
					f.blocks = x.wire.clone().blocks
					out = append(out, f)
				}
				return out
			}),
		},
		{
			name: "takes the key package of another generation", want: want{code: e2ee.ErrNoWrap, confirmed: 11, missing: 3, says: unlinked},
			lies: on(2, 0, func(w *world, f *fragment) { exchange(f, w.at(1, 0).wire.clone(), e2eetest.Keys) }), ways: []way{live, strictly},
		},
		{
			name: "takes the key package away", want: want{code: e2ee.ErrNoPackage, confirmed: 11, missing: 3, says: unlinked},
			lies: on(2, 0, func(_ *world, f *fragment) { without(f, e2eetest.Keys) }), ways: []way{live, strictly},
		},
		{
			name: "takes the key package away from who finds it elsewhere", want: want{code: e2ee.ErrSignature, confirmed: 4}, ways: []way{live, strictly},
			lies: func(w *world) lies {
				l := on(2, 0, func(_ *world, f *fragment) { without(f, e2eetest.Keys) })(w)
				l.listed = func(all []*fragment) []*fragment { return all }
				return l
			},
		},
		{
			name: "takes Vera out of the key package", want: want{code: e2ee.ErrNoWrap, confirmed: 11, missing: 3, says: unlinked}, ways: []way{live, strictly},
			lies: on(2, 0, func(w *world, f *fragment) {
				at := w.wrapOfVera(f)
				records := e2eetest.Split(f.blocks[0].payload)
				for i := range records {
					if records[i].Kind == e2eetest.Keys {
						records[i].Body = slices.Delete(records[i].Body, at, at+wrapBytes)
					}
				}
				f.blocks[0].payload = e2eetest.Join(records...)
			}),
		},
	}
}

// wrapBytes is the size of an entry of a key package.
const wrapBytes = 1172

// wrapOfVera is where in a key package Vera's wrap is: found by trying, as a server could not.
func (w *world) wrapOfVera(f *fragment) int {
	b := w.believer(w.t)
	records := e2eetest.Split(f.blocks[0].payload)
	for _, r := range records {
		for at := 0; r.Kind == e2eetest.Keys && at < len(r.Body); at += wrapBytes {
			block := e2eetest.Join(records[0], e2eetest.Record{Kind: e2eetest.Keys, Body: r.Body[at : at+wrapBytes]})
			if _, ok := e2eetest.Unwrap(block, b.camera, b.self, b.seed); ok {
				return at
			}
		}
	}
	w.t.Fatal("no wrap of Vera's")
	return 0
}

func swapPayloads(f *fragment, i, j int) {
	f.blocks[i].payload, f.blocks[j].payload = f.blocks[j].payload, f.blocks[i].payload
	f.blocks[i].track, f.blocks[j].track = f.blocks[j].track, f.blocks[i].track
	f.blocks[i].key, f.blocks[j].key = f.blocks[j].key, f.blocks[i].key
}

// exchange replaces the first record of a kind by that of another fragment.
func exchange(f, other *fragment, kind byte) {
	var found *e2eetest.Record
	for _, b := range other.blocks {
		for _, r := range e2eetest.Split(b.payload) {
			if r.Kind == kind && found == nil {
				found = &r
			}
		}
	}
	for i := range f.blocks {
		records := e2eetest.Split(f.blocks[i].payload)
		for j := range records {
			if records[j].Kind == kind && found != nil {
				records[j] = *found
				f.blocks[i].payload = e2eetest.Join(records...)
				return
			}
		}
	}
}

// attacksOnDress alter what the service adds, by which nothing may be decided.
func attacksOnDress() []attack {
	fine := want{confirmed: total}
	strip := func(f *fragment) {
		f.before, f.after = withoutTag(f.before, e2ee.TagName), withoutTag(f.after, e2ee.TagName)
	}
	plainCodec := func(f *fragment) {
		for i := range f.tracks {
			f.tracks[i].CodecID, f.tracks[i].CodecPrivate = tracks[i].CodecID, tracks[i].CodecPrivate
		}
	}
	return []attack{
		{name: "strips the tags", lies: every(func(_ *world, _ int, f *fragment) { strip(f) }), want: fine},
		{
			name: "replaces the tags", want: fine, believer: untouched,
			lies: every(func(_ *world, _ int, f *fragment) {
				if v := f.tag(e2ee.TagName); v != nil {
					*v = "2.AAAAAAAAAAA"
				}
			}),
		},
		{
			name: "moves a tag to another fragment", want: fine,
			lies: whole(func(w *world, all []*fragment) []*fragment {
				if i, j := find(all, w.at(1, 1)), find(all, w.at(1, 2)); i >= 0 && j >= 0 {
					all[j].before = append(all[j].before, mkv.Tag{Name: e2ee.TagName, Value: *all[i].tag(e2ee.TagName)})
					strip(all[i])
				}
				return all
			}),
		},
		{name: "says that the codec is one that can be read", lies: every(func(_ *world, _ int, f *fragment) { plainCodec(f) }), want: fine, believer: untouched},
		{name: "dresses it all as media that can be read", lies: every(func(_ *world, _ int, f *fragment) { strip(f); plainCodec(f) }), want: fine},
		{
			name: "adds tags that nobody sealed", want: fine, believer: untouched,
			lies: every(func(_ *world, _ int, f *fragment) {
				f.before = append(f.before, mkv.Tag{Name: "motion", Value: "none"})
			}),
		},
		{
			name: "takes the key-frame flag away", want: want{code: e2ee.ErrFrame, confirmed: 1},
			lies: on(1, 1, func(_ *world, f *fragment) { f.blocks[0].key = false }),
		},
		{
			name: "makes a key frame of another", want: want{code: e2ee.ErrFrame, confirmed: 1},
			lies: on(1, 1, func(_ *world, f *fragment) { f.blocks[2].key = true }),
		},
		{
			name: "makes a key frame of the signature", want: want{code: e2ee.ErrSignature, confirmed: 1}, believer: untouched,
			lies: on(1, 1, func(_ *world, f *fragment) { f.blocks[len(f.blocks)-1].key = true }),
		},
		{
			name: "rewrites the fragments' numbers", want: fine, believer: untouched, ways: []way{live, strictly},
			lies: every(func(_ *world, _ int, f *fragment) { *f.tag(mkv.FragmentNumber) = "1" }),
		},
		{
			name: "takes the fragments' numbers away", want: want{}, ways: []way{live, strictly}, believer: untouched,
			lies: every(func(_ *world, _ int, f *fragment) { f.before = withoutTag(f.before, mkv.FragmentNumber) }),
		},
		{
			name: "rewrites the fragments' numbers in an archive", want: want{ends: "was not asked for here"}, ways: []way{archived}, believer: deceived,
			lies: every(func(_ *world, _ int, f *fragment) { *f.tag(mkv.FragmentNumber) = "1" }),
		},
		{
			name: "never completes a fragment", want: want{says: little}, ways: []way{live, strictly}, believer: untouched,
			lies: every(func(_ *world, _ int, f *fragment) { f.after = withoutTag(f.after, mkv.ContinuationToken) }),
		},
	}
}

// little wants no more to be released than one fragment.
func little(s *seen) error {
	if n := len(s.frames()); n > 2*pictures {
		return fmt.Errorf("%d frames were released", n)
	}
	return nil
}

// attacksOnTime move times, and old footage.
func attacksOnTime() []attack {
	hour := func(_ *world, _ int, f *fragment) { moved(f, time.UnixMilli(int64(f.timecode)).Add(-time.Hour)) }
	toLive := func(c *e2ee.OpenerConfig) { c.LiveWindow = e2ee.DefaultLiveWindow }
	later := func(c *e2ee.OpenerConfig) {
		toLive(c)
		now := c.Now
		c.Now = func() time.Time { return now().Add(40 * time.Second) }
	}
	watching := []way{live, strictly}
	return []attack{
		{name: "moves all by an hour", lies: every(hour), want: want{confirmed: total, says: shifted(-time.Hour)}},
		{
			name: "moves frames within their fragment", want: want{confirmed: total, says: shifted(2 * time.Second)},
			lies: every(func(_ *world, _ int, f *fragment) { f.blocks[2].at += 2000 }),
		},
		{
			name: "tells a time that is none", want: want{confirmed: 1}, ways: watching, believer: untouched,
			lies: on(1, 1, func(_ *world, f *fragment) { *f.tag(mkv.ProducerTimestamp) = "yesterday" }),
		},
		{
			name: "serves old footage as live", want: want{code: e2ee.ErrNotLive}, ways: watching, adjust: toLive,
			lies: whole(func(w *world, all []*fragment) []*fragment {
				for i, f := range all[:session2] {
					moved(f, w.now.Add(time.Duration(i)*time.Second))
				}
				return all[:session2]
			}),
		},
		{
			name: "serves old footage before live", want: want{code: e2ee.ErrNotLive, confirmed: 10}, ways: watching, adjust: toLive, believer: untouched,
			lies: func(*world) lies {
				return lies{wire: func(w writer, _ request, all []*fragment) { _, _ = w.Write(append(join(all), refusal()...)) }}
			},
		},
		{
			name: "holds all back for 40 seconds", want: want{code: e2ee.ErrNotLive}, ways: watching, adjust: later,
			lies: func(*world) lies {
				return lies{wire: func(w writer, _ request, all []*fragment) { _, _ = w.Write(append(join(all[session3:]), refusal()...)) }}
			},
		},
	}
}

// shifted wants to be told that the container's times are others.
func shifted(by time.Duration) func(*seen) error {
	return func(s *seen) error {
		for i := range s.steps {
			if s.steps[i].Kind == consumer.Confirmed && (s.steps[i].Shift-by).Abs() > time.Millisecond {
				return fmt.Errorf("the times are told to be %v off, want %v", s.steps[i].Shift, by)
			}
		}
		return nil
	}
}

// attacksByForgery are made with keys: of the server's own, of a camera that was stolen, or of Mallory.
func attacksByForgery() []attack {
	place := func(session int, sequence uint64, make func(w *world, of *taken) *e2eetest.Fragment) func(*world) lies {
		return on(session, sequence, func(w *world, f *fragment) { forged(f, make(w, w.at(session, sequence))) })
	}
	own := func(name func(*world) e2ee.Fingerprint) func(*world, *taken) *e2eetest.Fragment {
		return func(w *world, of *taken) *e2eetest.Fragment { return w.serversOwn(of, serverKey(), name(w)) }
	}
	insider := func(w *world, of *taken) *e2eetest.Fragment { return w.forgery(of, w.malloryKnows(1)) }
	return []attack{
		{
			name: "makes a generation of its own", want: want{code: e2ee.ErrProducer, confirmed: 1},
			lies: place(1, 1, own(func(*world) e2ee.Fingerprint { return e2ee.Fingerprint{1} })),
		},
		{
			name: "makes a generation of its own from the start", want: want{code: e2ee.ErrProducer},
			lies: every(func(w *world, i int, f *fragment) {
				forged(f, w.serversOwn(w.of("door")[i], serverKey(), e2ee.Fingerprint{1}))
			}),
		},
		{
			name: "makes a generation in the camera's name", want: want{code: e2ee.ErrStatement, confirmed: 1},
			lies: place(1, 1, own(func(w *world) e2ee.Fingerprint { return w.door.Fingerprint() })),
		},
		{
			name: "makes a generation with the key of another camera", want: want{code: e2ee.ErrProducer, confirmed: 1},
			lies: place(1, 1, func(w *world, of *taken) *e2eetest.Fragment {
				return w.serversOwn(of, w.stolen("Garden"), w.garden.Fingerprint())
			}),
		},
		{
			name: "wraps a secret of its own under the genuine statement", want: want{code: e2ee.ErrCommitment, confirmed: 4},
			lies: place(2, 0, func(w *world, of *taken) *e2eetest.Fragment { return w.rewrapped(of) }),
		},
		{
			name: "gives a secret of its own when asked for the keys", want: want{code: e2ee.ErrNoPackage, confirmed: 7}, ways: []way{live, strictly},
			lies: func(w *world) lies {
				l := drop(0, 1, 2, 3, session2)(w)
				l.list = nil
				l.listed = func(all []*fragment) []*fragment {
					for i := range all {
						forged(all[i], w.rewrapped(w.at(2, 0)))
					}
					return all
				}
				return l
			},
		},
		{name: "forges a fragment, with a viewer", want: want{code: e2ee.ErrSignature, confirmed: 1, says: atMost(2)}, insiders: true, lies: place(1, 1, insider)},
		{
			name: "forges one fragment after the other, with a viewer", want: want{code: e2ee.ErrSignature, confirmed: 1, says: atMost(2)}, insiders: true,
			lies: whole(func(w *world, all []*fragment) []*fragment {
				for n := uint64(1); n < 4; n++ {
					if i := find(all, w.at(1, n)); i >= 0 {
						forged(all[i], insider(w, w.at(1, n)))
					}
				}
				return all
			}),
		},
		{
			name: "forges a fragment, with the viewer who was removed", want: want{code: e2ee.ErrStale, confirmed: 9}, insiders: true,
			lies: on(2, 5, func(w *world, f *fragment) { forged(f, w.forgery(w.at(2, 5), w.malloryKnows(2))) }),
		},
		{
			name: "forges a fragment in a session before, with the viewer who was removed", want: want{code: e2ee.ErrStale, confirmed: 9}, insiders: true,
			lies: on(2, 5, func(w *world, f *fragment) { forged(f, w.forgery(w.at(2, 5), w.malloryKnows(1))) }),
		},
		{
			name: "forges a session before, with a viewer", want: want{code: e2ee.ErrOrder, confirmed: 6, says: atMost(6)}, insiders: true,
			lies: on(2, 2, func(w *world, f *fragment) { forged(f, w.forgery(w.at(2, 2), w.malloryKnows(1))) }),
		},
		{
			name: "forges a session before, with a viewer and a link to the present", insiders: true,
			want: want{code: e2ee.ErrSignature, confirmed: 6, says: atMost(6)},
			lies: on(2, 2, func(w *world, f *fragment) {
				made, now := w.forgery(w.at(2, 2), w.malloryKnows(1)), w.at(2, 1).link
				made.Header.Sequence = 0
				made.Before = slices.Concat(now.Session[:], binary.BigEndian.AppendUint64(nil, now.Sequence), now.Digest[:])
				forged(f, made)
			}),
		},
		{
			name: "gives a fragment that can be read", want: want{code: e2ee.ErrDowngrade, confirmed: 1},
			lies: on(1, 1, func(_ *world, f *fragment) { readable(f) }),
		},
		{name: "gives nothing but what can be read", want: want{code: e2ee.ErrDowngrade}, lies: every(func(_ *world, _ int, f *fragment) { readable(f) })},
		{
			name: "puts a frame that can be read between sealed ones", want: want{code: e2ee.ErrFrame, confirmed: 1},
			lies: on(1, 1, func(_ *world, f *fragment) { f.blocks[2].payload = []byte{0, 0, 0, 1, 0x65, 1, 2, 3} }),
		},
		{
			name: "hides a frame that can be read in a record that nobody knows", want: want{code: e2ee.ErrSignature, confirmed: 1}, believer: untouched,
			lies: on(1, 1, func(_ *world, f *fragment) {
				hidden := e2eetest.Join(e2eetest.Record{Kind: 0x65, Body: picture("a film", 0, 0)})
				f.blocks = slices.Insert(f.blocks, 2, block{1, 100, false, hidden})
			}),
		},
	}
}

// atMost wants no more to be released than so many fragments.
func atMost(fragments int) func(*seen) error {
	return func(s *seen) error {
		if n := len(s.frames()); n > fragments*2*pictures {
			return fmt.Errorf("%d frames were released", n)
		}
		return nil
	}
}
