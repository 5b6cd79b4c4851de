// SPDX-License-Identifier: Apache-2.0

// Package codec reads the codec private data of Matroska tracks: just enough to fill the boxes of MP4 and to name a
// codec to a browser. It decodes no media.
//
// Invariant: whatever the input, parsing takes time and memory in proportion to its length.
//
// Sources: ISO/IEC 14496-15 (avcC, hvcC), ISO/IEC 14496-10 and 23008-2 (sequence parameter sets), ISO/IEC 14496-3
// (AudioSpecificConfig), RFC 7845 (OpusHead), RFC 6381 (codecs parameter).
package codec

import (
	"errors"
	"fmt"
)

// Matroska codec IDs (Matroska codec specifications, draft-ietf-cellar-codec).
const (
	IDAVC  = "V_MPEG4/ISO/AVC"
	IDHEVC = "V_MPEGH/ISO/HEVC"
	IDAAC  = "A_AAC"
	IDACM  = "A_MS/ACM" // a WAVEFORMATEX says which; Kinesis Video uses it for G.711
	IDOpus = "A_OPUS"
)

// Errors that callers test for.
var (
	ErrUnsupported    = errors.New("codec: unsupported codec")
	ErrMissingPrivate = errors.New("codec: no codec private data")
	ErrInvalidPrivate = errors.New("codec: invalid codec private data")
)

func invalid(what string) error { return fmt.Errorf("%w: %s", ErrInvalidPrivate, what) }

// Config is parsed codec private data: *AVC, *HEVC, *AAC, *Opus or *G711.
type Config interface {
	// MIME is the codec in the form of RFC 6381, as in the codecs parameter of HLS and of Media Source Extensions.
	MIME() string
}

// Parse reads the codec private data of a track with this Matroska codec ID.
//
// Errors: ErrUnsupported for another codec, ErrMissingPrivate, ErrInvalidPrivate.
func Parse(codecID string, private []byte) (Config, error) {
	if len(private) == 0 && known(codecID) {
		return nil, ErrMissingPrivate
	}
	switch codecID {
	case IDAVC:
		return orNil(ParseAVC(private))
	case IDHEVC:
		return orNil(ParseHEVC(private))
	case IDAAC:
		return orNil(ParseAAC(private))
	case IDOpus:
		return orNil(ParseOpus(private))
	case IDACM:
		return orNil(ParseG711(private))
	}
	return nil, fmt.Errorf("%w %q", ErrUnsupported, codecID)
}

// orNil keeps a typed nil pointer out of the interface.
func orNil[C Config](c C, err error) (Config, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

func known(codecID string) bool {
	switch codecID {
	case IDAVC, IDHEVC, IDAAC, IDOpus, IDACM:
		return true
	}
	return false
}
