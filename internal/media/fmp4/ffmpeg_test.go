// SPDX-License-Identifier: Apache-2.0

package fmp4_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/media/fmp4"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// needTools skips a test where ffmpeg is absent, or fails it where OBSCURA_TEST_REQUIRE demands ffmpeg.
func needTools(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(tool); err != nil {
			for _, r := range strings.Split(os.Getenv("OBSCURA_TEST_REQUIRE"), ",") {
				if r == "ffmpeg" {
					t.Fatalf("%s is required and absent", tool)
				}
			}
			t.Skipf("%s is absent", tool)
		}
	}
}

// sources are the fixtures, and whatever OBSCURA_TEST_MEDIA names: a list of files separated like PATH.
func sources(t *testing.T) []string {
	files, err := filepath.Glob("testdata/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	return append(files, filepath.SplitList(os.Getenv("OBSCURA_TEST_MEDIA"))...)
}

// packet is what ffprobe says of one.
type packet struct {
	pts, dts float64
	key      bool
	hash     string
}

// probe lists the packets of a file by stream.
func probe(t *testing.T, file string) map[int][]packet {
	t.Helper()
	cmd := exec.Command("ffprobe", "-v", "error", "-show_data_hash", "sha256", "-of", "json=c=1",
		"-show_entries", "packet=stream_index,pts_time,dts_time,flags,data_hash", file)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("ffprobe %s: %v %s", file, err, &stderr)
	}
	var listed struct {
		Packets []struct {
			Stream int    `json:"stream_index"`
			PTS    string `json:"pts_time"`
			DTS    string `json:"dts_time"`
			Flags  string
			Hash   string `json:"data_hash"`
		}
	}
	if err := json.Unmarshal(out, &listed); err != nil {
		t.Fatal(err)
	}
	packets := map[int][]packet{}
	for _, p := range listed.Packets {
		packets[p.Stream] = append(packets[p.Stream], packet{seconds(p.PTS), seconds(p.DTS), strings.HasPrefix(p.Flags, "K"), p.Hash})
	}
	return packets
}

func seconds(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// samePackets holds that got has the packets of want, in order and byte for byte, presented within a millisecond of
// each other after shift seconds.
func samePackets(t *testing.T, got, want map[int][]packet, shift float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d streams, want %d", len(got), len(want))
	}
	for stream, w := range want {
		g := got[stream]
		if len(g) != len(w) {
			t.Fatalf("stream %d: %d packets, want %d", stream, len(g), len(w))
		}
		for i := range w {
			if g[i].hash != w[i].hash || g[i].key != w[i].key {
				t.Fatalf("stream %d packet %d: %+v, want %+v", stream, i, g[i], w[i])
			}
			if d := math.Abs(g[i].pts + shift - w[i].pts); !(d <= 0.001+1e-6) {
				t.Errorf("stream %d packet %d: presented at %f, want %f", stream, i, g[i].pts+shift, w[i].pts)
			}
		}
	}
}

// decodeTimesRise holds that every packet has a decode time, after the one before it and not after its presentation.
func decodeTimesRise(t *testing.T, streams map[int][]packet) {
	t.Helper()
	for stream, packets := range streams {
		for i, p := range packets {
			if !(p.dts <= p.pts) || i > 0 && !(p.dts > packets[i-1].dts) {
				t.Errorf("stream %d packet %d: decoded at %f, presented at %f, after %+v", stream, i, p.dts, p.pts, packets[max(0, i-1)])
			}
		}
	}
}

// remux copies any file to Matroska with ffmpeg, as a capture process does.
func remux(t *testing.T, file string, options ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "source.mkv")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	args := append([]string{"-v", "error", "-i", file, "-map", "0", "-c", "copy"}, options...)
	cmd := exec.Command("ffmpeg", append(args, "-f", "matroska", "pipe:1")...)
	cmd.Stdout, cmd.Stderr = f, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return out
}

// fragment is a cluster, parsed.
type fragment []fmp4.Sample

// load reads a file of Matroska.
func load(t *testing.T, file string) (*mkv.Header, []fragment) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := mkv.NewReader(f, mkv.Options{})
	var header *mkv.Header
	var fragments []fragment
	for {
		ev, err := r.Next()
		if err == io.EOF {
			return header, fragments
		}
		if err != nil {
			t.Fatal(err)
		}
		switch ev := ev.(type) {
		case *mkv.Header:
			header = ev
		case *mkv.ClusterStart:
			fragments = append(fragments, nil)
		case *mkv.Block:
			last := &fragments[len(fragments)-1]
			*last = fmp4.AppendSamples(*last, header, ev)
			copied := &(*last)[len(*last)-1]
			copied.Data = bytes.Clone(copied.Data)
		}
	}
}

func tracksOf(h *mkv.Header) (tracks []fmp4.Track) {
	for i := range h.Tracks {
		t, err := fmp4.TrackOf(&h.Tracks[i])
		if err != nil {
			panic(err)
		}
		tracks = append(tracks, t)
	}
	return tracks
}

// flatten lists all samples in file order.
func flatten(fragments []fragment) (all []fmp4.Sample) {
	for _, f := range fragments {
		all = append(all, f...)
	}
	return all
}

// outputs are the ways to write a parsed file again.
var outputs = map[string]struct {
	extension string
	zero      bool
	write     func(w io.Writer, h *mkv.Header, fragments []fragment) error
}{
	"matroska":       {"mkv", false, writeMatroska},
	"mp4 by samples": {"mp4", false, func(w io.Writer, h *mkv.Header, f []fragment) error { return writeSamples(w, h, f, fmp4.Options{}) }},
	"mp4 from zero": {"mp4", true, func(w io.Writer, h *mkv.Header, f []fragment) error {
		return writeSamples(w, h, f, fmp4.Options{StartAtZero: true})
	}},
	"mp4 by fragments":     {"mp4", false, writeFragments},
	"mp4 segments, joined": {"mp4", false, writeSegments},
}

func writeMatroska(w io.Writer, h *mkv.Header, fragments []fragment) error {
	mw, err := mkv.NewWriter(w, "", h.Info, h.Tracks)
	if err != nil {
		return err
	}
	for _, s := range flatten(fragments) {
		if err := mw.WriteBlock(uint64(s.Track), s.PTS.Milliseconds(), s.Keyframe, s.Data); err != nil {
			return err
		}
	}
	return nil
}

func writeSamples(w io.Writer, h *mkv.Header, fragments []fragment, opt fmp4.Options) error {
	fw, err := fmp4.NewWriter(w, tracksOf(h), opt)
	if err != nil {
		return err
	}
	for _, s := range flatten(fragments) {
		if err := fw.WriteSample(s); err != nil {
			return err
		}
	}
	return fw.Close()
}

func writeFragments(w io.Writer, h *mkv.Header, fragments []fragment) error {
	fw, err := fmp4.NewWriter(w, tracksOf(h), fmp4.Options{Duration: time.Minute})
	if err != nil {
		return err
	}
	for _, f := range fragments {
		if err := fw.WriteFragment(f, 0); err != nil {
			return err
		}
	}
	return nil
}

// writeSegments makes every segment on its own, as a server of HLS does.
func writeSegments(w io.Writer, h *mkv.Header, fragments []fragment) error {
	out, err := fmp4.AppendInit(nil, tracksOf(h), 0)
	for i, f := range fragments {
		if err == nil {
			out, err = fmp4.AppendFragment(out, tracksOf(h), uint32(i+1), f, 0)
		}
	}
	if err != nil {
		return err
	}
	_, err = w.Write(out)
	return err
}

func TestOutputHoldsThePacketsOfTheSource(t *testing.T) {
	needTools(t)
	for _, file := range sources(t) {
		want := probe(t, file)
		for shape, options := range map[string][]string{
			"known": nil,
			"live":  {"-live", "1", "-cluster_time_limit", "700"},
			"late":  {"-output_ts_offset", "1700000000"},
		} {
			if shape != "known" && strings.Contains(file, "testdata") && !strings.Contains(file, "avc") {
				continue // once is enough: this is about times and clusters
			}
			source := remux(t, file, options...)
			header, fragments := load(t, source)
			copied := probe(t, source)
			first := math.Inf(1)
			for _, s := range flatten(fragments) {
				first = min(first, s.PTS.Seconds())
			}
			for name, output := range outputs {
				t.Run(fmt.Sprintf("%s/%s/%s", filepath.Base(file), shape, name), func(t *testing.T) {
					out := filepath.Join(t.TempDir(), "out."+output.extension)
					f, err := os.Create(out)
					if err != nil {
						t.Fatal(err)
					}
					defer f.Close()
					if err := output.write(f, header, fragments); err != nil {
						t.Fatal(err)
					}
					shift := 0.0
					if output.zero {
						shift = first
					}
					got := probe(t, out)
					samePackets(t, got, copied, shift)
					if shape == "known" {
						samePackets(t, got, want, shift)
						decodes(t, out)
					}
					if output.extension == "mp4" { // Matroska has none
						decodeTimesRise(t, got)
					}
				})
			}
		}
	}
}

// decodes holds that ffmpeg decodes the file without a complaint.
func decodes(t *testing.T, file string) {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-v", "warning", "-xerror", "-i", file, "-f", "null", "-").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("ffmpeg: %v\n%s", err, out)
	}
}
