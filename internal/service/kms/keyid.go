// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// Kinds of key ids, as they stand in ciphertext blobs.
const (
	kindUUID        byte = 0 // 1234abcd-12ab-34cd-56ef-1234567890ab
	kindMultiRegion byte = 1 // mrk-1234abcd12ab34cd56ef1234567890ab
)

const multiRegionPrefix = "mrk-"

// keyName is a key id in the form that is stored: a kind and 16 bytes.
type keyName struct {
	kind byte
	raw  [16]byte
}

// newKeyName makes a random id: a UUID of version 4, or a multi-Region id.
func newKeyName(multiRegion bool) keyName {
	var n keyName
	rand.Read(n.raw[:])
	if multiRegion {
		n.kind = kindMultiRegion
		return n
	}
	n.raw[6] = n.raw[6]&0x0f | 0x40 // RFC 9562, 5.4
	n.raw[8] = n.raw[8]&0x3f | 0x80
	return n
}

func (n keyName) String() string {
	s, _ := formatKeyID(n.kind, n.raw)
	return s
}

func formatKeyID(kind byte, raw [16]byte) (string, bool) {
	var room [36]byte
	switch kind {
	case kindUUID:
		b := hex.AppendEncode(room[:0], raw[:4])
		for _, part := range [...][]byte{raw[4:6], raw[6:8], raw[8:10], raw[10:]} {
			b = hex.AppendEncode(append(b, '-'), part)
		}
		return string(b), true
	case kindMultiRegion:
		return string(hex.AppendEncode(append(room[:0], multiRegionPrefix...), raw[:])), true
	}
	return "", false
}

// parseKeyName reads a key id. Only the canonical lower-case forms are ids.
func parseKeyName(s string) (keyName, bool) {
	var n keyName
	digits, multiRegion := strings.CutPrefix(s, multiRegionPrefix)
	if multiRegion {
		n.kind = kindMultiRegion
	} else {
		if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return keyName{}, false
		}
		digits = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	if len(digits) != 32 || strings.ToLower(digits) != digits {
		return keyName{}, false
	}
	if _, err := hex.Decode(n.raw[:], []byte(digits)); err != nil {
		return keyName{}, false
	}
	return n, true
}

const aliasPrefix = "alias/"

// reference is a KeyId member taken apart: the key id or the alias it names,
// and whether it names another account or Region than this server's.
type reference struct {
	given   string
	alias   string // "alias/name" when one is named
	keyID   string // otherwise; not yet known to be well-formed
	account string // "" when the form has none
	region  string
	isARN   bool
	broken  bool // an ARN that is none of the KMS
}

// parseReference takes any of the four forms of the API Reference's KeyId: key
// id, key ARN, alias name, alias ARN.
func parseReference(s string) reference {
	r := reference{given: s}
	name := s
	if strings.HasPrefix(s, "arn:") {
		parts := strings.SplitN(s, ":", 6)
		r.isARN = true
		if len(parts) != 6 || parts[1] != "aws" || parts[2] != "kms" || parts[4] == "" {
			r.broken = true
			return r
		}
		r.region, r.account, name = parts[3], parts[4], parts[5]
		if id, ok := strings.CutPrefix(name, "key/"); ok {
			r.keyID = id
			return r
		}
		r.broken = !strings.HasPrefix(name, aliasPrefix)
	}
	if strings.HasPrefix(name, aliasPrefix) {
		r.alias = name
	} else {
		r.keyID = name
	}
	return r
}
