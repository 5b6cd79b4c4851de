// SPDX-License-Identifier: Apache-2.0

package mkv

import (
	"bytes"
	"io"
)

// Options set what a Reader accepts. The zero value is right for the body of PutMedia.
type Options struct {
	// Concatenated accepts one complete file after another, as GetMedia sends them: each begins with a new
	// Header event. Otherwise a second EBML header or Segment is a FormatError.
	Concatenated bool

	MaxFrameBytes  int // of a SimpleBlock or BlockGroup; 0 means 16 MiB
	MaxHeaderBytes int // of all that precedes the first cluster, and of any unknown element; 0 means 1 MiB
	MaxTagsBytes   int // of one Tags element; 0 means 64 KiB
	MaxDepth       int // of tags nested in tags; 0 means 8
}

func (o Options) withDefaults() Options {
	setDefault(&o.MaxFrameBytes, 16<<20)
	setDefault(&o.MaxHeaderBytes, 1<<20)
	setDefault(&o.MaxTagsBytes, 64<<10)
	setDefault(&o.MaxDepth, 8)
	return o
}

func setDefault(v *int, d int) {
	if *v <= 0 {
		*v = d
	}
}

// pieceBytes is the size of the pieces in which large unread elements are delivered.
const pieceBytes = 32 << 10

// Reader parses a stream of Matroska into events. It reads from its source only what the next event needs, although it
// takes more if a single Read offers it. Its memory is bounded by about twice the largest of the limits in Options,
// and grows with the bytes that arrive, not with the sizes that they claim. It is for one goroutine.
type Reader struct {
	opt Options
	win window
	err error // of the last Next; it stays

	state      func(*Reader) (Event, error)
	back       func(*Reader) (Event, error) // the state after an Element
	header     *Header                      // being read, until its first cluster
	hasInfo    bool
	headerTags []Tags // to be delivered after the Header
	segmentEnd int64  // offset, -1 when unknown
	clusterEnd int64  // offset, -1 when unknown
	timecode   int64  // of the cluster

	start   ClusterStart
	block   Block
	element Element
}

// NewReader returns a Reader of src. The Reader does not close it.
func NewReader(src io.Reader, opt Options) *Reader {
	return &Reader{opt: opt.withDefaults(), win: window{src: src}, state: (*Reader).readEBML}
}

// Next returns the next event as soon as its last byte has arrived. The event, unless its type says otherwise, is valid
// until the following call.
//
// Errors: io.EOF at the end of a complete input (an empty one included); one that wraps io.ErrUnexpectedEOF when the
// input ends inside an element; *FormatError; *LimitError; whatever else the source returns, wrapped. After an error every
// call returns it again.
func (r *Reader) Next() (Event, error) {
	r.win.release()
	for r.err == nil {
		ev, err := r.state(r)
		if ev != nil {
			return ev, nil
		}
		r.err = err
	}
	return nil, r.err
}

// Offset returns how many bytes of the input the events delivered so far cover, the latest included.
func (r *Reader) Offset() int64 { return r.win.offset() + int64(r.win.used) }

// readEBML expects the start of a file or the end of the input.
func (r *Reader) readEBML() (Event, error) {
	if err := r.win.fill(1); err != nil {
		return nil, err
	}
	r.header = &Header{Info: Info{TimecodeScale: DefaultTimecodeScale}}
	r.hasInfo, r.headerTags = false, nil
	r.segmentEnd, r.clusterEnd = -1, -1
	if err := r.expect(idEBML, "no EBML header"); err != nil {
		return nil, err
	}
	e, err := r.whole("header", 0, r.opt.MaxHeaderBytes)
	if err != nil {
		return nil, err
	}
	docType, reason := parseEBML(e.data)
	if reason != "" {
		return nil, r.malformed(reason)
	}
	r.header.DocType = docType
	r.header.Preamble = bytes.Clone(e.raw)
	r.win.release()
	r.state = (*Reader).readSegment
	return nil, nil
}

// readSegment expects the start of the Segment.
func (r *Reader) readSegment() (Event, error) {
	if err := r.expect(idSegment, "no segment after the EBML header"); err != nil {
		return nil, err
	}
	_, size, n, err := r.peek(0)
	if err != nil {
		return nil, err
	}
	if size != unknownSize {
		r.segmentEnd = r.win.offset() + int64(n) + size
	}
	r.header.Preamble = append(r.header.Preamble, r.win.take(n)...)
	r.win.release()
	r.state = (*Reader).readHeader
	return nil, nil
}

// readHeader collects one element of the header, or delivers it when it is complete.
func (r *Reader) readHeader() (Event, error) {
	id, err := r.peekID()
	switch {
	case err == io.EOF || err == nil && (id == idEBML || id == idSegment): // a file without a cluster
		r.state = (*Reader).readHeaderTags
		return r.header, nil
	case err != nil:
		return nil, err
	case id == IDCluster:
		if r.header.Tracks == nil {
			return nil, r.malformed("cluster before any track")
		}
		r.state = (*Reader).readHeaderTags
		return r.header, nil
	}
	if inCluster(id) {
		return nil, r.malformed("block outside of a cluster")
	}
	return nil, r.collect()
}

// collect adds one element to the header.
func (r *Reader) collect() error {
	e, err := r.whole("header", len(r.header.Preamble)+len(r.header.Raw), r.opt.MaxHeaderBytes)
	if err != nil {
		return err
	}
	if err := r.parseHeader(e); err != nil {
		return err
	}
	r.header.Raw = append(r.header.Raw, e.raw...)
	r.win.release()
	return nil
}

func (r *Reader) parseHeader(e element) error {
	reason := ""
	switch e.id {
	case IDInfo:
		if r.hasInfo {
			return r.malformed("second segment information")
		}
		r.hasInfo = true
		r.header.Info, reason = parseInfo(e.data)
	case IDTracks:
		if r.header.Tracks != nil {
			return r.malformed("second list of tracks")
		}
		r.header.Tracks, reason = parseTracks(e.data)
	case IDTags:
		t, err := r.tags(e)
		if err != nil {
			return err
		}
		t.InHeader, t.Raw = true, bytes.Clone(e.raw)
		r.headerTags = append(r.headerTags, t)
	}
	if reason != "" {
		return r.malformed(reason)
	}
	return nil
}

// readHeaderTags delivers the tags of the header, one by one.
func (r *Reader) readHeaderTags() (Event, error) {
	r.header = nil
	if len(r.headerTags) == 0 {
		r.state = (*Reader).readTopLevel
		return nil, nil
	}
	t := r.headerTags[0]
	r.headerTags = r.headerTags[1:]
	return &t, nil
}

// readTopLevel reads what stands between clusters.
func (r *Reader) readTopLevel() (Event, error) {
	if r.win.offset() == r.segmentEnd {
		r.state = (*Reader).readAfterSegment
		return nil, nil
	}
	id, err := r.peekID()
	if err != nil {
		return nil, err
	}
	switch {
	case id == IDCluster:
		return r.startCluster()
	case id == IDTags:
		return r.readTags()
	case id == idEBML && r.opt.Concatenated && r.segmentEnd < 0:
		r.state = (*Reader).readEBML
		return nil, nil
	case id == idEBML || id == idSegment:
		return nil, r.malformed("second EBML header or segment")
	case id == IDInfo || id == IDTracks:
		return nil, r.malformed("segment information or tracks after the first cluster")
	case inCluster(id):
		return nil, r.malformed("block outside of a cluster")
	}
	return r.startElement((*Reader).readTopLevel)
}

// readAfterSegment comes when a Segment of known size is complete.
func (r *Reader) readAfterSegment() (Event, error) {
	if r.opt.Concatenated {
		r.state = (*Reader).readEBML
		return nil, nil
	}
	if err := r.win.fill(1); err != nil {
		return nil, err
	}
	return nil, r.malformed("data after the segment")
}

func (r *Reader) readTags() (Event, error) {
	e, err := r.whole("tags", 0, r.opt.MaxTagsBytes)
	if err != nil {
		return nil, err
	}
	t, err := r.tags(e)
	if err != nil {
		return nil, err
	}
	t.Raw = e.raw
	return &t, nil
}

func (r *Reader) tags(e element) (Tags, error) {
	if len(e.raw) > r.opt.MaxTagsBytes {
		return Tags{}, r.tooLarge("tags", int64(len(e.raw)), int64(r.opt.MaxTagsBytes))
	}
	t, tooDeep, reason := parseTags(e.data, r.opt.MaxDepth)
	switch {
	case tooDeep:
		return t, r.tooLarge("depth", int64(r.opt.MaxDepth)+1, int64(r.opt.MaxDepth))
	case reason != "":
		return t, r.malformed(reason)
	}
	return t, nil
}

// startElement begins to pass on an element unread; back is the state after it.
func (r *Reader) startElement(back func(*Reader) (Event, error)) (Event, error) {
	id, size, n, err := r.peek(0)
	if err != nil {
		return nil, err
	}
	if size == unknownSize {
		return nil, r.malformed("element of unknown size where a size is needed")
	}
	total := int64(n) + size
	if !passesThrough(id) && total > int64(r.opt.MaxHeaderBytes) {
		return nil, r.tooLarge("element", total, int64(r.opt.MaxHeaderBytes))
	}
	if err := r.fits(total, r.parentEnd()); err != nil {
		return nil, err
	}
	r.element = Element{ID: id, Size: total}
	r.back = back
	r.state = (*Reader).readPiece
	return nil, nil
}

// readPiece delivers the next piece of an element that is passed on.
func (r *Reader) readPiece() (Event, error) {
	r.element.Offset += int64(len(r.element.Raw))
	n := int(min(r.element.Size-r.element.Offset, pieceBytes))
	if err := r.need(n); err != nil {
		return nil, err
	}
	r.element.Raw = r.win.take(n)
	if r.element.Last() {
		r.state = r.back
	}
	return &r.element, nil
}
