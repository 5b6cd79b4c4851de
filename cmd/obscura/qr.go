// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"

	"rsc.io/qr"
)

// quiet is the margin of a square code, in modules (ISO/IEC 18004, 5.3.8).
const quiet = 4

// drawQR draws text as a square code, dark on light in a light frame whatever the terminal's colours are, if it may use colour; else
// as if the terminal were dark, which readers take either way. In UTF-8 a character shows two modules, one over the other; elsewhere two
// characters show one.
func drawQR(text string, colour, utf8 bool) (string, int, error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", 0, err
	}
	light := func(x, y int) bool { return !code.Black(x-quiet, y-quiet) }
	size := code.Size + 2*quiet
	var b strings.Builder
	if utf8 {
		for y := 0; y < size; y += 2 {
			halfBlocks(&b, size, y, light, colour)
		}
		return b.String(), size, nil
	}
	for y := range size {
		asciiRow(&b, size, y, light, colour)
	}
	return b.String(), 2 * size, nil
}

const (
	blackOnWhite = "\x1b[38;5;16;48;5;231m"
	resetColour  = "\x1b[0m"
)

// halfBlocks draws two rows. With colour, ink is dark on a light ground; without, ink is the terminal's light.
func halfBlocks(b *strings.Builder, size, y int, light func(x, y int) bool, colour bool) {
	if colour {
		b.WriteString(blackOnWhite)
	}
	for x := range size {
		up, down := light(x, y), light(x, y+1) || y+1 >= size
		if colour {
			up, down = !up, !down
		}
		b.WriteString([]string{" ", "▄", "▀", "█"}[2*number(up)+number(down)])
	}
	if colour {
		b.WriteString(resetColour)
	}
	b.WriteByte('\n')
}

func number(set bool) int {
	if set {
		return 1
	}
	return 0
}

func asciiRow(b *strings.Builder, size, y int, light func(x, y int) bool, colour bool) {
	for x := range size {
		switch on := light(x, y); {
		case colour && on:
			b.WriteString("\x1b[48;5;231m  ")
		case colour:
			b.WriteString("\x1b[48;5;16m  ")
		case on:
			b.WriteString("##")
		default:
			b.WriteString("  ")
		}
	}
	if colour {
		b.WriteString(resetColour)
	}
	b.WriteByte('\n')
}

// localeIsUTF8 follows POSIX: LC_ALL, LC_CTYPE, LANG, the first that is set. Without any, what systems without locales do is UTF-8.
func localeIsUTF8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			v = strings.ToUpper(v)
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return true
}

// lettered writes a code in its groups of four, ten to a line.
func lettered(groups string) string {
	var b strings.Builder
	for i, g := range strings.Split(groups, "-") {
		switch {
		case i == 0:
		case i%10 == 0:
			b.WriteByte('\n')
		default:
			b.WriteByte('-')
		}
		b.WriteString(g)
	}
	return b.String()
}
