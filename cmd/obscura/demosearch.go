// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
)

// pieceBytes is how long the pieces of the clip are that are searched for.
const pieceBytes = 32

// pieces finds pieces of a clip in what should be ciphertext, in one pass over it.
type pieces struct {
	all   [][]byte
	heads map[uint64][]int // by the first eight bytes
	seen  []uint64         // bitmap over the hashes of heads
}

const pieceBits = 20

// clipSearch takes a piece from the middle of every frame of the demo's clip that has one of its own: silence is nothing to
// look for.
func clipSearch(ctx context.Context) (*pieces, error) {
	p := &pieces{heads: map[uint64][]int{}, seen: make([]uint64, 1<<pieceBits/64)}
	src, err := openSource(ctx, demoInput)
	if err != nil {
		return nil, err
	}
	for {
		f, err := src.next()
		if err == io.EOF {
			return p, nil
		}
		if err != nil {
			return nil, err
		}
		if len(f.data) < 2*pieceBytes {
			continue
		}
		if piece := f.data[len(f.data)/2:][:pieceBytes]; varied(piece) {
			p.add(bytes.Clone(piece))
		}
	}
}

// varied tells whether a piece has so many different bytes that it does not occur by chance.
func varied(piece []byte) bool {
	seen := map[byte]bool{}
	for _, b := range piece {
		seen[b] = true
	}
	return len(seen) >= pieceBytes/2
}

func (p *pieces) add(piece []byte) {
	head := binary.BigEndian.Uint64(piece)
	h := hashOf(head)
	p.seen[h/64] |= 1 << (h % 64)
	p.heads[head] = append(p.heads[head], len(p.all))
	p.all = append(p.all, piece)
}

func hashOf(head uint64) uint64 { return head * 0x9e3779b97f4a7c15 >> (64 - pieceBits) }

// find counts the different pieces in what r gives, and its bytes.
func (p *pieces) find(r io.Reader) (found int, read int64, err error) {
	hit := map[int]bool{}
	buf := make([]byte, 1<<20)
	kept := 0
	for {
		n, err := io.ReadFull(r, buf[kept:])
		read += int64(n)
		text := buf[:kept+n]
		p.scan(text, hit)
		if err != nil {
			if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
				err = nil
			}
			return len(hit), read, err
		}
		kept = copy(buf, text[len(text)-pieceBytes+1:]) // a piece may begin there
	}
}

func (p *pieces) scan(text []byte, hit map[int]bool) {
	if len(text) < pieceBytes {
		return
	}
	var head uint64
	for i := range 7 {
		head = head<<8 | uint64(text[i])
	}
	for i := 0; i+pieceBytes <= len(text); i++ {
		head = head<<8 | uint64(text[i+7])
		h := hashOf(head)
		if p.seen[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		for _, n := range p.heads[head] {
			if bytes.Equal(p.all[n], text[i:i+pieceBytes]) {
				hit[n] = true
			}
		}
	}
}

// demoFound is what a search for pieces of the clip found.
type demoFound struct {
	pieces  int // searched for
	control int // found in what the viewer has decrypted
	files   int // of the server and the camera
	onDisk  int64
	media   int64 // of an ordinary GetMedia
}

// search looks for pieces of the clip where there must be none: in every file of the server and the camera, and in what the
// server gives to an ordinary client. The viewer's file shows that it would find them. Errors: *problem when it finds one.
func (v *demoViewer) search(ctx context.Context, dirs []string, file string, bytes int64) (out demoFound, err error) {
	p, err := clipSearch(ctx)
	if err != nil {
		return out, err
	}
	out.pieces = len(p.all)
	if out.control, _, err = p.findIn(file); err != nil {
		return out, err
	}
	if out.control == 0 {
		return out, &problem{What: "the demo's search does not find the clip where it is", Why: file + " has none of its pieces", Exit: exitFailed}
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return ignoreGone(err)
			}
			found, read, err := p.findIn(path)
			out.files++
			out.onDisk += read
			if found > 0 {
				return &problem{What: fmt.Sprintf("%s holds %d readable pieces of the clip", path, found), Exit: exitDamaged}
			}
			return ignoreGone(err)
		})
		if err != nil {
			return out, err
		}
	}
	body, err := v.media(ctx)
	if err != nil {
		return out, v.conn.explain("cannot get the demo's media", demoStream, err)
	}
	defer body.Close()
	found, read, err := p.find(io.LimitReader(body, bytes))
	if out.media = read; found > 0 {
		return out, &problem{What: fmt.Sprintf("an ordinary GetMedia gives %d readable pieces of the clip", found), Exit: exitDamaged}
	}
	return out, err
}

// ignoreGone lets files vanish while they are searched: the server is running.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (p *pieces) findIn(path string) (found int, read int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	return p.find(f)
}

// media is the answer of GetMedia, as any client of the API gets it.
func (v *demoViewer) media(ctx context.Context) (io.ReadCloser, error) {
	client := v.conn.caller(ctx, "kinesisvideo")
	out, err := kvapi.NewClient(client).GetDataEndpoint(ctx, &kvapi.GetDataEndpointInput{
		APIName: new(kvapi.APINameGetMedia), StreamName: new(demoStream),
	})
	if err != nil {
		return nil, err
	}
	if out.DataEndpoint == nil {
		return nil, errors.New("there is no endpoint for media")
	}
	client.Endpoint = *out.DataEndpoint
	_, body, err := mediaapi.NewClient(client).GetMedia(ctx, &mediaapi.GetMediaInput{
		StreamName: new(demoStream), StartSelector: &mediaapi.StartSelector{
			StartSelectorType: new(mediaapi.StartSelectorTypeServerTimestamp), StartTimestamp: new(v.began.Add(-time.Second)),
		},
	})
	return body, err
}
