// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/obscura-video/obscura/e2ee"
)

// Facts are what the maker of a file says of it. Only the stream is checked against what the camera signed, and the pin and the
// number of fragments against the file; the rest is the maker's word.
type Facts struct {
	Stream      string
	From, Until time.Time // what was asked for, by the camera's clock; to the millisecond
	Zone        string    // the maker's time zone, such as Europe/Berlin
	Made        time.Time
	Tool        string
	Pin         e2ee.Pin         // the roster in force for the maker
	Maker       e2ee.Fingerprint // a viewing device; zero for a guest, who has no key to sign with
	Fragments   int
}

const (
	factsVersion = "obscura-evidence 1"
	factsTime    = "2006-01-02T15:04:05.000Z"
	maxFacts     = 4096
	maxFact      = 256
	nobody       = "-"
)

var errFacts = errors.New("evidence: facts are not of the form that they must have")

// encode is the one way to write the facts.
func (f *Facts) encode() ([]byte, error) {
	maker := nobody
	if f.Maker != (e2ee.Fingerprint{}) {
		maker = hex.EncodeToString(f.Maker[:])
	}
	for _, s := range []string{f.Stream, f.Zone, f.Tool} {
		if s == "" || len(s) > maxFact || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return nil, fmt.Errorf("%w: %.40q", errFacts, s)
		}
	}
	text := fmt.Sprintf("%s\nstream %s\nfrom %s\nuntil %s\nzone %s\nmade %s\ntool %s\npin %d %x\nmaker %s\nfragments %d\n",
		factsVersion, f.Stream, f.From.UTC().Format(factsTime), f.Until.UTC().Format(factsTime), f.Zone, f.Made.UTC().Format(factsTime), f.Tool,
		f.Pin.Version, f.Pin.Hash, maker, f.Fragments)
	return []byte(text), nil
}

// parseFacts reads what encode wrote, and nothing else.
func parseFacts(b []byte) (*Facts, error) {
	lines := strings.Split(string(b), "\n")
	f := &Facts{}
	if len(b) > maxFacts || len(lines) != 11 || lines[0] != factsVersion {
		return nil, errFacts
	}
	var bad error
	value := func(i int, name string) string {
		v, ok := strings.CutPrefix(lines[i], name+" ")
		if !ok {
			bad = fmt.Errorf("%w: no line of %s", errFacts, name)
		}
		return v
	}
	moment := func(i int, name string) time.Time {
		t, err := time.Parse(factsTime, value(i, name))
		bad = errors.Join(bad, err)
		return t
	}
	f.Stream, f.From, f.Until = value(1, "stream"), moment(2, "from"), moment(3, "until")
	f.Zone, f.Made, f.Tool = value(4, "zone"), moment(5, "made"), value(6, "tool")
	version, hash, _ := strings.Cut(value(7, "pin"), " ")
	v, err := strconv.ParseUint(version, 10, 32)
	bad = errors.Join(bad, err, unhex(f.Pin.Hash[:], hash))
	f.Pin.Version = uint32(v)
	if m := value(8, "maker"); m != nobody {
		bad = errors.Join(bad, unhex(f.Maker[:], m))
	}
	f.Fragments, err = strconv.Atoi(value(9, "fragments"))
	if bad = errors.Join(bad, err); bad != nil {
		return nil, fmt.Errorf("%w: %w", errFacts, bad)
	}
	if again, err := f.encode(); err != nil || string(again) != string(b) {
		return nil, errFacts
	}
	return f, nil
}

func unhex(dst []byte, s string) error {
	if len(s) != 2*len(dst) {
		return errFacts
	}
	_, err := hex.Decode(dst, []byte(s))
	return err
}
