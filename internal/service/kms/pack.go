// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"time"
)

// packedKey is a key at rest in memory: what it shares with others, and what it has alone, in one run of bytes. It is
// never stored, so its form may change at any time. Two are equal only when the keys are.
type packedKey struct {
	shared *traits
	own    string
}

// traits are what many keys have in common. They are the same for all keys that have the same (common.traitsOf).
type traits struct {
	version                                int
	spec, usage, state, managedFor, policy string
	multiRegion, replica, external         bool
	windowDays, rotationDays               int64
}

func (r *record) traits() traits {
	return traits{
		version: r.Version, spec: r.Spec, usage: r.Usage, state: r.State, managedFor: r.ManagedFor, policy: r.Policy,
		multiRegion: r.MultiRegion, replica: r.Replica, external: r.External, windowDays: r.WindowDays, rotationDays: r.RotationDays,
	}
}

func (t *traits) record() record {
	return record{
		Version: t.version, Spec: t.spec, Usage: t.usage, State: t.state, ManagedFor: t.managedFor, Policy: t.policy,
		MultiRegion: t.multiRegion, Replica: t.replica, External: t.external, WindowDays: t.windowDays, RotationDays: t.rotationDays,
	}
}

// packOwn packs what a key has alone.
func packOwn(r *record, aliases []string) string {
	b := appendTime(make([]byte, 0, 128), r.Created)
	b = appendTime(appendTime(b, r.Deletion), r.NextRotation)
	b = appendText(b, r.Description)
	b = binary.AppendUvarint(b, uint64(len(r.Tags)))
	for _, name := range slices.Sorted(maps.Keys(r.Tags)) {
		b = appendText(appendText(b, name), r.Tags[name])
	}
	b = binary.AppendUvarint(b, uint64(len(aliases)))
	for _, name := range aliases {
		b = appendText(b, name)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Materials)))
	for i := range r.Materials {
		b = appendMaterial(b, &r.Materials[i])
	}
	if r.Pending != nil {
		b = appendMaterial(b, r.Pending)
	}
	return string(b)
}

func appendMaterial(b []byte, m *materialRecord) []byte {
	flags := byte(0)
	if m.Imported {
		flags |= 1
	}
	if m.Missing {
		flags |= 2
	}
	b = appendDigits(append(b, flags), m.ID)
	b = appendText(appendTime(b, m.Created), m.Rotation)
	return appendText(appendTime(b, m.ValidTo), m.Description)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendDigits appends hexadecimal digits in half their size, and any other text as it is.
func appendDigits(b []byte, s string) []byte {
	raw, err := hex.DecodeString(s)
	if err != nil || hex.EncodeToString(raw) != s {
		return appendText(append(b, 0), s)
	}
	return appendText(append(b, 1), string(raw))
}

// appendTime appends a time in UTC to the nanosecond, as rows have it.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendUvarint(binary.AppendVarint(append(b, 1), t.Unix()), uint64(t.Nanosecond()))
}

var errPacked = errors.New("kms: packed key is cut off")

// unpackOwn is the reverse of packOwn: it completes a record that has its traits.
func unpackOwn(s string, r *record) (aliases []string, err error) {
	u := unpacker{rest: s}
	r.Created, r.Deletion, r.NextRotation = u.time(), u.time(), u.time()
	r.Description = u.text()
	if n := u.number(); n > 0 {
		r.Tags = make(map[string]string, n)
		for range n {
			name := u.text()
			r.Tags[name] = u.text()
		}
	}
	for range u.number() {
		aliases = append(aliases, u.text())
	}
	if n := u.number(); n > 0 {
		r.Materials = make([]materialRecord, n)
		for i := range r.Materials {
			r.Materials[i] = u.material()
		}
	}
	if u.rest != "" {
		m := u.material()
		r.Pending = &m
	}
	if u.short || u.rest != "" {
		return nil, errPacked
	}
	return aliases, nil
}

// unpacker reads what was packed. Once something is missing all else is, too.
type unpacker struct {
	rest  string
	short bool
}

func (u *unpacker) take(n int) string {
	if n < 0 || n > len(u.rest) {
		u.short, u.rest = true, ""
		return ""
	}
	s := u.rest[:n]
	u.rest = u.rest[n:]
	return s
}

func (u *unpacker) byte() byte {
	if s := u.take(1); s != "" {
		return s[0]
	}
	return 0
}

// number is a length or a count: never more than there are bytes.
func (u *unpacker) number() int {
	v, n := binary.Uvarint([]byte(u.rest[:min(len(u.rest), binary.MaxVarintLen64)]))
	u.take(max(n, 1))
	if n <= 0 || v > uint64(len(u.rest)) {
		u.take(-1)
		return 0
	}
	return int(v)
}

func (u *unpacker) text() string { return u.take(u.number()) }

func (u *unpacker) digits() string {
	if u.byte() == 0 {
		return u.text()
	}
	return hex.EncodeToString([]byte(u.text()))
}

func (u *unpacker) time() time.Time {
	if u.byte() == 0 {
		return time.Time{}
	}
	b := []byte(u.rest[:min(len(u.rest), 2*binary.MaxVarintLen64)])
	seconds, n := binary.Varint(b)
	nanoseconds, m := binary.Uvarint(b[max(n, 0):])
	if n <= 0 || m <= 0 {
		u.take(-1)
		return time.Time{}
	}
	u.take(n + m)
	return time.Unix(seconds, int64(nanoseconds)).UTC()
}

func (u *unpacker) material() materialRecord {
	flags := u.byte()
	return materialRecord{
		Imported: flags&1 != 0, Missing: flags&2 != 0, ID: u.digits(), Created: u.time(), Rotation: u.text(), ValidTo: u.time(), Description: u.text(),
	}
}
