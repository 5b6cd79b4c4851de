// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"rsc.io/qr"
)

// modules reads a drawing back: which modules are light.
func modules(t *testing.T, drawing string, colour, utf8 bool) (rows [][]bool) {
	t.Helper()
	for line := range strings.Lines(drawing) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case utf8:
			if colour {
				line = strings.TrimSuffix(strings.TrimPrefix(line, blackOnWhite), resetColour)
			}
			var up, down []bool
			for _, c := range line {
				ink := map[rune][2]bool{' ': {}, '▄': {false, true}, '▀': {true, false}, '█': {true, true}}[c]
				up, down = append(up, ink[0] != colour), append(down, ink[1] != colour)
			}
			rows = append(rows, up, down)
		case colour:
			var row []bool
			for _, cell := range strings.Split(strings.TrimSuffix(line, resetColour), "  ")[:strings.Count(line, "  ")] {
				row = append(row, cell == "\x1b[48;5;231m")
			}
			rows = append(rows, row)
		default:
			var row []bool
			for i := 0; i < len(line); i += 2 {
				row = append(row, line[i:i+2] == "##")
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// TestCodeIsDrawnAsItIs: in each way of drawing, every module is where the code has it, in a light frame of four.
func TestCodeIsDrawnAsItIs(t *testing.T) {
	text := strings.Repeat("0411-TCPN", 16)
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	for _, colour := range []bool{true, false} {
		for _, utf8 := range []bool{true, false} {
			drawing, width, err := drawQR(text, colour, utf8)
			if err != nil {
				t.Fatal(err)
			}
			rows := modules(t, drawing, colour, utf8)
			size := code.Size + 2*quiet
			if want := map[bool]int{true: size, false: 2 * size}[utf8]; width != want || len(rows) < size {
				t.Fatalf("colour %t, UTF-8 %t: %d wide, %d rows", colour, utf8, width, len(rows))
			}
			for y := range size {
				for x := range size {
					framed := x < quiet || y < quiet || x >= size-quiet || y >= size-quiet
					if light := rows[y][x]; light == code.Black(x-quiet, y-quiet) || framed && !light {
						t.Fatalf("colour %t, UTF-8 %t: module %d,%d is light: %t", colour, utf8, x, y, light)
					}
				}
			}
		}
	}
}

func TestLocaleSaysWhetherBlocksCanBeDrawn(t *testing.T) {
	for _, tt := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "de_DE.UTF-8", true},
		{"", "", "C.utf8", true},
		{"", "", "C", false},
		{"POSIX", "", "de_DE.UTF-8", false},
		{"", "en_US.ISO-8859-1", "de_DE.UTF-8", false},
		{"", "", "", true},
	} {
		t.Setenv("LC_ALL", tt.all)
		t.Setenv("LC_CTYPE", tt.ctype)
		t.Setenv("LANG", tt.lang)
		if got := localeIsUTF8(); got != tt.want {
			t.Errorf("%+v: %t", tt, got)
		}
	}
}
