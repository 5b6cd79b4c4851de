// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/obscura-video/obscura/e2ee"
	"github.com/obscura-video/obscura/household/evidence"
)

// evidenceFacts is what a verification prints. What is proven comes first; the rest says who claims it.
type evidenceFacts struct {
	Verified bool            `json:"verified"`
	File     string          `json:"file"`
	Bytes    int64           `json:"bytes"`
	Stream   string          `json:"stream,omitempty"`
	Signers  []evidenceName  `json:"signers"`
	Vouched  []evidenceVouch `json:"vouched"`
	Rosters  uint32          `json:"roster,omitempty"` // version of the last
	First    *time.Time      `json:"first,omitempty"`
	Last     *time.Time      `json:"last,omitempty"`

	Confirmed int           `json:"confirmed"`
	Missing   uint64        `json:"missing"`
	Gaps      []evidenceGap `json:"gaps"`
	Synced    int           `json:"clockSynchronised"` // of how many fragments
	Problems  []string      `json:"problems"`

	Claimed   *evidenceClaims `json:"claimed,omitempty"`
	NotProven []string        `json:"notProven"`

	zone *time.Location
}

type evidenceName struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
	Fragments   int    `json:"fragments"`
}

type evidenceVouch struct {
	Known  string `json:"known"`
	Name   string `json:"name,omitempty"`
	Roster uint32 `json:"roster"` // 0: the file has nothing of it
}

type evidenceGap struct {
	After   time.Time `json:"after"`
	Before  time.Time `json:"before"`
	Missing uint64    `json:"missing"` // 0: not known
}

// evidenceClaims are the maker's word.
type evidenceClaims struct {
	Maker  string    `json:"maker"`
	Signed bool      `json:"signed"`
	Made   time.Time `json:"made"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`
	Zone   string    `json:"zone"`
	Tool   string    `json:"tool"`
}

func factsOf(o *exportVerifyOptions, bytes int64, r *evidence.Result) *evidenceFacts {
	f := &evidenceFacts{
		Verified: o.judge(r) == nil, File: o.file, Bytes: bytes, Confirmed: r.Confirmed, Missing: r.Missing, Synced: r.Synced, zone: time.Local,
		Signers: []evidenceName{}, Vouched: []evidenceVouch{}, Gaps: []evidenceGap{}, Problems: []string{},
	}
	for _, s := range r.Signers {
		f.Signers = append(f.Signers, evidenceName{s.Name, s.Fingerprint.String(), s.Fragments})
	}
	for _, a := range r.Anchors {
		f.Vouched = append(f.Vouched, evidenceVouch{a.Known, a.Name, a.Version})
	}
	for _, g := range r.Gaps {
		f.Gaps = append(f.Gaps, evidenceGap{g.After, g.Before, g.Missing})
	}
	for i := range r.Problems {
		f.Problems = append(f.Problems, r.Problems[i].Error())
	}
	if r.Roster != nil {
		f.Rosters = r.Roster.Version
	}
	if r.Confirmed > 0 {
		f.First, f.Last = &r.First, &r.Last
		if r.End.After(r.Last) {
			f.Last = &r.End
		}
	}
	f.claims(r)
	f.NotProven = notProven(r)
	return f
}

func (f *evidenceFacts) claims(r *evidence.Result) {
	if r.Facts == nil {
		return
	}
	f.Stream = r.Facts.Stream
	f.Claimed = &evidenceClaims{
		Maker: "a guest, who cannot sign", Signed: r.Signed, Made: r.Facts.Made, From: r.Facts.From, Until: r.Facts.Until,
		Zone: r.Facts.Zone, Tool: r.Facts.Tool,
	}
	if r.Facts.Maker != (e2ee.Fingerprint{}) {
		f.Claimed.Maker = r.Facts.Maker.String()
	}
	if r.Signed {
		f.Claimed.Maker = fmt.Sprintf("%q %s", r.Maker, r.Facts.Maker)
	}
	if zone, err := time.LoadLocation(r.Facts.Zone); err == nil {
		f.zone = zone
	}
}

// notProven says plainly what the file cannot show.
func notProven(r *evidence.Result) []string {
	out := []string{
		"that the camera's clock was right: only its own word that it was synchronised, where it says so",
		"where the camera was, and that it looked at the world and not at a screen",
		"that nothing was recorded before the first fragment and after the last",
		"that nobody else had the camera's key, or an owner's",
		"that no newer roster exists",
		"what its maker says: what was asked for, the time zone, the tool, and when the file was made",
	}
	if !r.Signed {
		out = append(out, "who made the file: whoever did may have shortened it at its ends")
	}
	if !r.Anchored() {
		out = append([]string{"whose cameras these are: nothing that you know vouches for the file"}, out...)
	}
	return out
}

func (f *evidenceFacts) print(t *terminal) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("file", "%s, %s", f.File, byteCount(f.Bytes))
	if f.Claimed != nil {
		row("stream", "%s", f.Stream)
	}
	for _, s := range f.Signers {
		row("signed by", "%q  %s  %s", s.Name, s.Fingerprint, count(s.Fragments, "fragment", "fragments"))
	}
	f.printVouched(row)
	if f.First != nil {
		row("first", "%s", f.say(*f.First))
		row("last", "%s", f.say(*f.Last))
	}
	row("confirmed", "%s", count(f.Confirmed, "fragment", "fragments"))
	f.printGaps(row)
	row("clock", "%s", f.clock())
	if c := f.Claimed; c != nil {
		signed := "not signed"
		if c.Signed {
			signed = "signed by it"
		}
		row("made by", "%s, %s", c.Maker, signed)
		row("claimed", "made %s with %s; asked for %s until %s; zone %s", f.say(c.Made), c.Tool, f.say(c.From), f.say(c.Until), c.Zone)
	}
	for i, p := range f.Problems {
		if i == maxShownProblems {
			row("FAIL", "and %d more", len(f.Problems)-i)
			break
		}
		row("FAIL", "%s", printable(p))
	}
	f.printVerdict(row)
	return w.Flush()
}

// maxShownProblems is how many a person is shown; --json has all.
const maxShownProblems = 20

func (f *evidenceFacts) printVouched(row func(name, format string, args ...any)) {
	for _, v := range f.Vouched {
		switch {
		case v.Roster == 0:
			row("vouched", "FAIL  %q is nowhere in it", v.Known)
		case v.Name == "":
			row("vouched", "by the roster that you know, v%d; the last is v%d", v.Roster, f.Rosters)
		default:
			row("vouched", "by owner %q  %s, who signed roster v%d; the last is v%d", v.Name, v.Known, v.Roster, f.Rosters)
		}
	}
	if len(f.Vouched) == 0 {
		row("vouched", "by nobody that you know; roster v%d", f.Rosters)
	}
}

func (f *evidenceFacts) printGaps(row func(name, format string, args ...any)) {
	if len(f.Gaps) == 0 {
		row("missing", "none in between")
	}
	for i, g := range f.Gaps {
		if i == maxShownProblems {
			row("missing", "and %d more gaps", len(f.Gaps)-i)
			return
		}
		what := "how much is not known"
		if g.Missing > 0 {
			what = count(int(g.Missing), "fragment", "fragments")
		}
		row("missing", "%s between %s and %s", what, f.say(g.After), f.say(g.Before))
	}
}

func (f *evidenceFacts) clock() string {
	switch f.Synced {
	case 0:
		return "not synchronised, by the camera's own word"
	case f.Confirmed:
		return "synchronised, by the camera's own word"
	}
	return fmt.Sprintf("synchronised in %d of %d fragments, by the camera's own word", f.Synced, f.Confirmed)
}

func (f *evidenceFacts) printVerdict(row func(name, format string, args ...any)) {
	verdict := "NOT VERIFIED"
	if f.Verified {
		verdict = "VERIFIED: the camera signed all of this, as it is"
	}
	row("verdict", "%s", verdict)
	for _, s := range f.NotProven {
		row("not proven", "%s", s)
	}
}

// say is a time in the maker's zone, and in UTC.
func (f *evidenceFacts) say(at time.Time) string {
	there := at.In(f.zone)
	text := there.Format("2006-01-02 15:04:05.000 MST")
	if _, offset := there.Zone(); offset != 0 {
		text += at.UTC().Format(" (15:04:05Z)")
	}
	return text
}

// printable is a text with parts from a hostile file or person, as a terminal may be shown it: in one line, without tabs.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
