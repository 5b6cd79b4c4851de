// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"encoding/binary"
	"fmt"
)

// AAC is an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
type AAC struct {
	ObjectType   int // 2 is AAC-LC, 5 SBR, 29 PS
	SampleRate   int // Hz of the core; with SBR the output has Extension
	Extension    int // Hz of the output with SBR, else 0
	Channels     int // 0 when a program config element says it
	FrameSamples int // per frame, at SampleRate: 1024 or 960
}

// MIME implements Config.
func (c *AAC) MIME() string { return fmt.Sprintf("mp4a.40.%d", c.ObjectType) }

// ParseAAC reads an AudioSpecificConfig.
func ParseAAC(b []byte) (*AAC, error) {
	r := bitReader{b: b}
	c := &AAC{ObjectType: r.objectType(), SampleRate: r.sampleRate(), FrameSamples: 1024}
	channels := r.u(4)
	core := c.ObjectType
	if core == 5 || core == 29 {
		c.Extension = r.sampleRate()
		core = r.objectType()
	}
	switch core {
	case 1, 2, 3, 4, 6, 7, 17, 19, 20, 22, 23: // those with a GASpecificConfig
		if r.flag() {
			c.FrameSamples = 960
		}
	}
	switch {
	case channels == 7:
		c.Channels = 8
	case channels < 7:
		c.Channels = int(channels)
	default:
		return nil, invalid("channels of AudioSpecificConfig")
	}
	if r.short || c.ObjectType == 0 || c.SampleRate == 0 {
		return nil, invalid("AudioSpecificConfig")
	}
	return c, nil
}

func (r *bitReader) objectType() int {
	t := r.u(5)
	if t == 31 {
		t = 32 + r.u(6)
	}
	return int(t)
}

// sampleRate reads a sampling frequency (ISO/IEC 14496-3, table 1.18), 0 when it is reserved.
func (r *bitReader) sampleRate() int {
	rates := [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
	i := r.u(4)
	switch {
	case i == 15:
		return int(r.u(24))
	case int(i) < len(rates):
		return rates[i]
	}
	return 0
}

// Opus is the identification header OpusHead (RFC 7845, section 5.1).
type Opus struct {
	Channels      int
	PreSkip       int // samples at 48 kHz to be cut from the start
	InputRate     uint32
	Gain          int16  // Q7.8 dB
	MappingFamily byte   // 0 for mono and stereo
	Mapping       []byte // stream count, coupled count and the channel table; empty for family 0
}

// MIME implements Config.
func (c *Opus) MIME() string { return "opus" }

// ParseOpus reads an OpusHead.
func ParseOpus(b []byte) (*Opus, error) {
	if len(b) < 19 || string(b[:8]) != "OpusHead" || b[8]>>4 != 0 {
		return nil, invalid("OpusHead")
	}
	c := &Opus{
		Channels:      int(b[9]),
		PreSkip:       int(binary.LittleEndian.Uint16(b[10:])),
		InputRate:     binary.LittleEndian.Uint32(b[12:]),
		Gain:          int16(binary.LittleEndian.Uint16(b[16:])),
		MappingFamily: b[18],
	}
	table := 0
	if c.MappingFamily != 0 {
		table = 2 + c.Channels
	}
	if c.Channels == 0 || c.MappingFamily == 0 && c.Channels > 2 || len(b) < 19+table {
		return nil, invalid("channels of OpusHead")
	}
	c.Mapping = b[19 : 19+table]
	return c, nil
}

// G711 is the WAVEFORMATEX of A_MS/ACM when it names G.711.
type G711 struct {
	MuLaw      bool // else A-law
	Channels   int
	SampleRate int // Hz
}

// MIME implements Config.
func (c *G711) MIME() string {
	if c.MuLaw {
		return "ulaw"
	}
	return "alaw"
}

// ParseG711 reads a WAVEFORMATEX. Formats other than G.711 are ErrUnsupported.
func ParseG711(b []byte) (*G711, error) {
	const aLaw, muLaw = 6, 7
	if len(b) < 16 {
		return nil, invalid("WAVEFORMATEX")
	}
	format := binary.LittleEndian.Uint16(b)
	if format != aLaw && format != muLaw {
		return nil, fmt.Errorf("%w: wave format %d", ErrUnsupported, format)
	}
	c := &G711{
		MuLaw:      format == muLaw,
		Channels:   int(binary.LittleEndian.Uint16(b[2:])),
		SampleRate: int(binary.LittleEndian.Uint32(b[4:])),
	}
	if c.Channels == 0 || c.SampleRate == 0 {
		return nil, invalid("WAVEFORMATEX")
	}
	return c, nil
}
