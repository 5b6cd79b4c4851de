// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/blob"
	"github.com/obscura-video/obscura/internal/meta"
)

// Key spaces, docs/formats/meta-keys.md.
const (
	spaceSession = "s" // s/<session>: generation of a session
	spaceOwner   = "w" // w/<stream>: who writes it
	spaceEntry   = "j" // j/<stream><seq>: an entry
	spaceIndex   = "x" // x/<stream><name><key><seq>: an index row
	spaceGarbage = "g" // g/<blob>: since when nothing refers to it
)

// rowVersion is the first byte of every row of the journal.
const rowVersion = 1

// shardMark separates a stream from its shard.
const shardMark = "#"

// Shard names a shard of a stream: it is a stream to the journal, but is bound into
// the sealed frames as the shard of that stream.
func Shard(stream, shard string) string { return stream + shardMark + shard }

// cutShard takes the name of a stream apart again.
func cutShard(name string) (stream, shard string) {
	if i := strings.LastIndex(name, shardMark); i >= 0 {
		return name[:i], name[i+1:]
	}
	return name, ""
}

func sessionKey(session string) []byte { return meta.Key(spaceSession, session) }
func ownerKey(stream string) []byte    { return meta.Key(spaceOwner, stream) }
func garbageKey(name string) []byte    { return meta.Key(spaceGarbage, name) }

func entryKey(stream string, seq Seq) []byte { return meta.Key(spaceEntry, stream, uint64(seq)) }

// entryRange is the range of the entries with from <= first number < to; to 0 is no end.
func entryRange(stream string, from, to Seq) (lo, hi []byte) {
	if to == 0 {
		return entryKey(stream, from), meta.PrefixEnd(meta.Key(spaceEntry, stream))
	}
	return entryKey(stream, from), entryKey(stream, to)
}

func cutEntryKey(key []byte) (stream string, seq Seq, ok bool) {
	rest, ok := meta.CutSpace(key, spaceEntry)
	if !ok {
		return "", 0, false
	}
	stream, rest, ok = meta.CutString(rest)
	n, rest, ok2 := meta.CutUint64(rest)
	return stream, Seq(n), ok && ok2 && len(rest) == 0
}

func indexKey(stream string, k IndexKey, seq Seq) []byte {
	return meta.Key(spaceIndex, stream, k.Name, k.Key, uint64(seq))
}

func cutIndexKey(key []byte) (stream string, k IndexKey, seq Seq, ok bool) {
	rest, ok := meta.CutSpace(key, spaceIndex)
	if !ok {
		return
	}
	stream, rest, ok1 := meta.CutString(rest)
	k.Name, rest, ok = meta.CutString(rest)
	var ok2, ok3 bool
	k.Key, rest, ok2 = meta.CutBytes(rest)
	n, rest, ok3 := meta.CutUint64(rest)
	return stream, k, Seq(n), ok && ok1 && ok2 && ok3 && len(rest) == 0
}

// sessionRow says whether a session may commit. Its bytes are the fence of every
// commit, so whoever changes it stops those that are under way.
type sessionRow struct {
	ended      bool
	generation uint64
	opened     int64 // ms
}

func (r sessionRow) encode() []byte {
	b := []byte{rowVersion, 0}
	if r.ended {
		b[1] = 1
	}
	b = binary.BigEndian.AppendUint64(b, r.generation)
	return binary.BigEndian.AppendUint64(b, uint64(r.opened))
}

func decodeSession(b []byte) (r sessionRow, err error) {
	if len(b) != 18 || b[0] != rowVersion || b[1] > 1 {
		return r, fmt.Errorf("%w: session row", ErrCorrupt)
	}
	return sessionRow{
		ended:      b[1] == 1,
		generation: binary.BigEndian.Uint64(b[2:]),
		opened:     int64(binary.BigEndian.Uint64(b[10:])),
	}, nil
}

// Owner says who writes a stream.
type Owner struct {
	Session string
	Epoch   uint32
	Address string // Options.Address of the owner
}

func (o Owner) encode() []byte {
	b := appendSession([]byte{rowVersion}, o.Session)
	b = binary.BigEndian.AppendUint32(b, o.Epoch)
	return append(b, o.Address...)
}

func decodeOwner(b []byte) (o Owner, err error) {
	if len(b) < 21 || b[0] != rowVersion {
		return o, fmt.Errorf("%w: owner row", ErrCorrupt)
	}
	return Owner{
		Session: hex.EncodeToString(b[1:17]),
		Epoch:   binary.BigEndian.Uint32(b[17:]),
		Address: string(b[21:]),
	}, nil
}

func appendSession(b []byte, session string) []byte {
	raw, err := hex.DecodeString(session)
	if err != nil || len(raw) != 16 {
		panic("journal: session is not 32 hex digits") // Open has checked it
	}
	return append(b, raw...)
}

// encode is the value of an entry's row.
func (d *Descriptor) encode() []byte {
	b := []byte{rowVersion, byte(d.Kind), byte(d.Class)}
	b = appendSession(b, d.Session)
	b = binary.AppendVarint(b, d.Time.UnixMilli())
	b = binary.AppendUvarint(b, uint64(d.Frames))
	b = binary.AppendUvarint(b, uint64(d.Bytes))
	b = binary.AppendUvarint(b, uint64(d.Stored))
	b = appendBytes(b, []byte(d.KeyID))
	b = appendBytes(b, d.Meta)
	b = append(b, d.tag[:]...)
	b = binary.AppendUvarint(b, uint64(len(d.Index)))
	for _, k := range d.Index {
		b = appendBytes(b, []byte(k.Name))
		b = appendBytes(b, k.Key)
	}
	return d.appendRefs(b)
}

// appendRefs writes the refs; a name is written where it differs from the one before.
func (d *Descriptor) appendRefs(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(d.refs)))
	var name string
	for _, r := range d.refs {
		switch {
		case r.Inline != nil:
			b = append(b, refInline)
			b = appendBytes(b, r.Inline)
			continue
		case r.Name == name:
			b = append(b, refSame)
		default:
			b = append(b, refNamed)
			b = appendBytes(b, []byte(r.Name))
			name = r.Name
		}
		b = binary.AppendUvarint(b, uint64(r.Off))
		b = binary.AppendUvarint(b, uint64(r.Len))
	}
	return b
}

// Forms of a ref within a row.
const (
	refNamed  = 0 // name, offset, length
	refSame   = 1 // offset, length; in the same blob as the ref before
	refInline = 2 // the bytes
)

func appendBytes(b, p []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(p))), p...)
}

// decodeEntry reads a row back. It keeps no part of value.
func decodeEntry(stream string, seq Seq, value []byte) (*Descriptor, error) {
	p := parser{b: value}
	version := p.byte()
	d := &Descriptor{
		Stream: stream, Seq: seq,
		Kind:    Kind(p.byte()),
		Class:   blob.Class(p.byte()),
		Session: hex.EncodeToString(p.take(16)),
		Time:    time.UnixMilli(p.varint()).UTC(),
		Frames:  int(p.uvarint(math.MaxUint32 - 1)),
		Bytes:   int64(p.uvarint(math.MaxInt64)),
		Stored:  int64(p.uvarint(math.MaxInt64)),
		KeyID:   string(p.bytes()),
		Meta:    append([]byte{}, p.bytes()...),
	}
	copy(d.tag[:], p.take(len(d.tag)))
	for range p.uvarint(maxIndexKeys) {
		d.Index = append(d.Index, IndexKey{Name: string(p.bytes()), Key: append([]byte{}, p.bytes()...)})
	}
	d.refs = p.refs()
	if p.bad || len(p.b) != 0 || version != rowVersion || !d.valid() {
		return nil, fmt.Errorf("%w: row of %s entry %d", ErrCorrupt, stream, seq)
	}
	return d, nil
}

func (d *Descriptor) valid() bool {
	var stored int64
	for _, r := range d.refs {
		if stored += r.Len; stored < 0 {
			return false
		}
	}
	return stored == d.Stored && (d.Kind == KindFragment || d.Kind == KindRecords) &&
		d.Class.Valid() && d.Last().Epoch() == d.Seq.Epoch()
}

// parser reads the parts of a row; the first that is not there makes it bad for good.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) take(n int) []byte {
	if p.bad || n < 0 || n > len(p.b) {
		p.bad = true
		return nil
	}
	out := p.b[:n]
	p.b = p.b[n:]
	return out
}

func (p *parser) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(p.b)
	if n <= 0 || v > limit {
		p.bad = true
		return 0
	}
	p.take(n)
	return v
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.b)
	if n <= 0 {
		p.bad = true
		return 0
	}
	p.take(n)
	return v
}

func (p *parser) bytes() []byte { return p.take(int(p.uvarint(meta.MaxStoredBytes))) }

func (p *parser) refs() (refs []blob.Ref) {
	var name string
	for range p.uvarint(meta.MaxStoredBytes) {
		if p.bad {
			return nil
		}
		switch p.byte() {
		case refInline:
			inline := append([]byte{}, p.bytes()...)
			refs = append(refs, blob.Ref{Len: int64(len(inline)), Inline: inline})
			continue
		case refNamed:
			name = string(p.bytes())
		case refSame:
			p.bad = p.bad || name == ""
		default:
			p.bad = true
		}
		refs = append(refs, blob.Ref{
			Name: name, Off: int64(p.uvarint(math.MaxInt64)), Len: int64(p.uvarint(math.MaxInt64)),
		})
	}
	return refs
}
