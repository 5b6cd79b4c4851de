// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// Configurations as ffmpeg, x264, x265 and libopus write them for their own test pictures.
var (
	avcHigh     = unhex("0164000dffe1001a6764000dacd941519e226c0440000003004000000c83c50a658001000668ebe3cb22c0fdf8f800")
	avcBaseline = unhex("01428016ffe100176742801696540601bd350606064000000300400000066101000468ce3520")
	hevcMain    = unhex("0101600000009000000000003cf000fcfdf8f800000f03200001001840010c01ffff01600000030090000003000003003c9598092100" +
		"01002a42010101600000030090000003000003003ca00a480b9c9596566924caf0168080000003008000000c84220001" +
		"00074401c172b46240")
	aacMono    = unhex("120856e500")
	aacHE      = unhex("2b8a0800") // SBR signalled explicitly: 22050 Hz core, 44100 Hz output
	opusMono   = unhex("4f707573486561640101380180bb0000000000")
	muLaw      = unhex("07000100401f0000401f0000010008000000")
	pcmPrivate = unhex("01000100401f0000803e0000020010000000")
)

func TestParseReadsRealConfigurations(t *testing.T) {
	tests := []struct {
		id      string
		private []byte
		mime    string
		want    string // of what MP4 needs
	}{
		{IDAVC, avcHigh, "avc1.64000d", "322x182 length 4 units 1+1 reorder 2"},
		{IDAVC, avcBaseline, "avc1.428016", "768x432 length 4 units 1+1 reorder 0"},
		{IDHEVC, hevcMain, "hvc1.1.6.L60.90", "322x182 length 4 units 1+1+1 reorder 2"},
		{IDAAC, aacMono, "mp4a.40.2", "44100+0 Hz 1 channels 1024"},
		{IDAAC, []byte{0x11, 0x90}, "mp4a.40.2", "48000+0 Hz 2 channels 1024"},
		{IDAAC, aacHE, "mp4a.40.5", "22050+44100 Hz 1 channels 1024"},
		{IDOpus, opusMono, "opus", "1 channels skip 312"},
		{IDACM, muLaw, "ulaw", "8000 Hz 1 channels"},
	}
	for _, tt := range tests {
		c, err := Parse(tt.id, tt.private)
		if err != nil {
			t.Errorf("%s: %v", tt.mime, err)
			continue
		}
		if c.MIME() != tt.mime {
			t.Errorf("%s, want %s", c.MIME(), tt.mime)
		}
		if got := describe(c); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.mime, got, tt.want)
		}
	}
}

func describe(c Config) string {
	switch c := c.(type) {
	case *AVC:
		return fmt.Sprintf("%dx%d length %d units %d+%d reorder %d", c.Width, c.Height, c.LengthSize, len(c.SPS), len(c.PPS), c.Reorder)
	case *HEVC:
		return fmt.Sprintf("%dx%d length %d units %d+%d+%d reorder %d", c.Width, c.Height, c.LengthSize, len(c.VPS), len(c.SPS), len(c.PPS), c.Reorder)
	case *AAC:
		return fmt.Sprintf("%d+%d Hz %d channels %d", c.SampleRate, c.Extension, c.Channels, c.FrameSamples)
	case *Opus:
		return fmt.Sprintf("%d channels skip %d", c.Channels, c.PreSkip)
	case *G711:
		return fmt.Sprintf("%d Hz %d channels", c.SampleRate, c.Channels)
	}
	return "?"
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	tests := []struct {
		name    string
		id      string
		private []byte
		want    error
	}{
		{"other codec", "V_VP9", nil, ErrUnsupported},
		{"other wave format", IDACM, pcmPrivate, ErrUnsupported},
		{"nothing", IDAVC, nil, ErrMissingPrivate},
		{"annex B instead of avcC", IDAVC, unhex("000000016764000d"), ErrInvalidPrivate},
		{"avcC without SPS", IDAVC, unhex("0164000dffe000"), ErrInvalidPrivate},
		{"hvcC without SPS", IDHEVC, append(hevcMain[:22:22], 0), ErrInvalidPrivate},
		{"AAC of a reserved rate", IDAAC, []byte{0x16, 0x90}, ErrInvalidPrivate},
		{"OpusHead of no channels", IDOpus, unhex("4f707573486561640100380180bb0000000000"), ErrInvalidPrivate},
	}
	for _, tt := range tests {
		if _, err := Parse(tt.id, tt.private); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestParseRefusesEveryTruncation(t *testing.T) {
	for _, c := range []struct {
		id      string
		private []byte
	}{{IDAVC, avcBaseline}, {IDHEVC, hevcMain}, {IDOpus, opusMono}, {IDAAC, aacMono[:2]}} {
		for n := range c.private {
			if got, err := Parse(c.id, c.private[:n]); err == nil {
				t.Errorf("%s of %d bytes: %+v", c.id, n, got)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for id, private := range map[string][]byte{IDAVC: avcHigh, IDHEVC: hevcMain, IDAAC: aacHE, IDOpus: opusMono, IDACM: muLaw} {
		f.Add(id, private)
	}
	f.Fuzz(func(t *testing.T, id string, private []byte) {
		c, err := Parse(id, private)
		if (c == nil) != (err != nil) {
			t.Fatalf("%v and %v", c, err)
		}
		if err != nil {
			return
		}
		if strings.ContainsAny(c.MIME(), " ,\"") {
			t.Errorf("MIME %q", c.MIME())
		}
		if again, _ := Parse(id, private); !reflect.DeepEqual(c, again) {
			t.Error("two readings differ")
		}
	})
}
