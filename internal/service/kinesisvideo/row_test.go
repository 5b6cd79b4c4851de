// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

func TestNumberHasTheLayoutOfTheService(t *testing.T) {
	at := time.UnixMilli(1_511_852_109_126)
	n := newNumber(0x0000_0002_0000_0003, at)
	if s := n.String(); len(s) != 47 || !strings.HasPrefix(s, "91343852333181") && s < "91343852333181" {
		t.Errorf("number %s", s)
	}
	if n.position() != 0x0000_0002_0000_0003 || n.millis() != at.UnixMilli() {
		t.Errorf("position %x, time %d", n.position(), n.millis())
	}
	if m := newNumber(0x0000_0002_0000_0000, at).withCounter(3); m.position() != n.position() || m.millis() != n.millis() {
		t.Error("a counter that is filled in later gives another number")
	}
	if same, err := parseNumber(n.String()); err != nil || same != n {
		t.Errorf("parse: %v, %v", same, err)
	}
	if later := newNumber(0x0000_0002_0000_0004, at.Add(-time.Hour)); later.String() <= n.String() {
		t.Error("numbers do not ascend with the position")
	}
	for _, s := range []string{"", "0", "-1", "1e5", "91343852333181486862043791187064884619567357599x", strings.Repeat("9", 128), strings.Repeat("9", 129)} {
		if _, err := parseNumber(s); err == nil {
			t.Errorf("%q was taken for a number", s)
		}
	}
	// One that the service itself gave out.
	const real = "91343852333181486862043791187064884619567357599"
	if n, err := parseNumber(real); err != nil || n.String() != real || n.millis()/1000 != 1_596_002_203 {
		t.Errorf("%s: %v, time %d", real, err, n.millis())
	}
}

func TestRowsKeepTheirFormat(t *testing.T) {
	m := fragmentMeta{producer: 1000, header: 1<<32 | 2, timecode: 7, length: 2000}
	for i := range m.number {
		m.number[i] = byte(i)
	}
	const want = "01" + "000102030405060708090a0b0c0d0e0f10111213" + "00000000000003e8" + "0000000100000002" + "0000000000000007" + "00000000000007d0"
	if got := hex.EncodeToString(m.append(nil)); got != want {
		t.Errorf("fragment:\n got %s\nwant %s", got, want)
	}
	m.sealed = true
	if got := hex.EncodeToString(m.append(nil)); got != "02"+want[2:] {
		t.Errorf("sealed fragment:\n got %s\nwant 02%s", got, want[2:])
	}
	a := frameAttrs{kind: frameBlock, keyframe: true, track: 300, timecode: -1, rest: -1}
	if got := hex.EncodeToString(a.append(nil)); got != "010301"+"ac02"+"01"+"01" {
		t.Errorf("frame: %s", got)
	}
	if got := hex.EncodeToString(timeKey(1000)); got != "80000000000003e8" {
		t.Errorf("time key: %s", got)
	}
}

func FuzzFragmentMeta(f *testing.F) {
	f.Add((&fragmentMeta{producer: -1, length: 5}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, rest, err := parseFragmentMeta(b); err == nil {
			if again := append(m.append(nil), rest...); string(again) != string(b) {
				t.Fatalf("%x became %x", b, again)
			}
		}
		if l, err := parseLiveStart(b); err == nil {
			if same, err := parseLiveStart(l.append(nil)); err != nil || same.keyID != l.keyID || string(same.header) != string(l.header) {
				t.Fatalf("%+v became %+v", l, same)
			}
		}
	})
}

func FuzzFrameAttrs(f *testing.F) {
	f.Add((&frameAttrs{kind: frameCluster, timecode: 1 << 60, rest: unknownRest}).append(nil))
	f.Add([]byte{1, 3, 0, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseFrameAttrs(b)
		if err != nil {
			return
		}
		if same, err := parseFrameAttrs(a.append(nil)); err != nil || same != a {
			t.Fatalf("%+v became %+v, %v", a, same, err)
		}
	})
}
