// SPDX-License-Identifier: Apache-2.0

package mkv

import "io"

// maxLeadBytes bounds what may stand in a cluster before its timecode.
const maxLeadBytes = 64 << 10

// startCluster reads the start of a cluster up to its timecode.
func (r *Reader) startCluster() (Event, error) {
	_, size, at, err := r.peek(0)
	if err != nil {
		return nil, err
	}
	r.clusterEnd = -1
	if size != unknownSize {
		r.clusterEnd = r.win.offset() + int64(at) + size
		if err := r.fits(int64(at)+size, r.segmentEnd); err != nil {
			return nil, err
		}
	}
	at, value, err := r.findTimecode(at)
	if err != nil {
		return nil, err
	}
	if value > MaxTimecode {
		return nil, r.malformed("cluster timecode out of range")
	}
	r.timecode = int64(value)
	r.start = ClusterStart{Timecode: value, Size: size, Rest: -1, Raw: r.win.take(at)}
	if r.clusterEnd >= 0 {
		r.start.Rest = r.clusterEnd - r.win.offset() - int64(at)
	}
	r.state = (*Reader).readCluster
	return &r.start, nil
}

// findTimecode looks for the cluster's timecode from at on, and returns where it ends and its value.
func (r *Reader) findTimecode(at int) (end int, value uint64, err error) {
	for {
		if r.win.offset()+int64(at) == r.clusterEnd {
			return 0, 0, r.malformed("cluster without a timecode")
		}
		id, size, n, err := r.peek(at)
		if err != nil {
			return 0, 0, err
		}
		if endsCluster(id) || id == IDSimpleBlock || id == IDBlockGroup {
			return 0, 0, r.malformed("cluster without a timecode")
		}
		if size == unknownSize || id == IDTimecode && size > 8 {
			return 0, 0, r.malformed("invalid size in a cluster")
		}
		if size > maxLeadBytes || at > maxLeadBytes {
			return 0, 0, r.tooLarge("element", size, maxLeadBytes)
		}
		end = at + n + int(size)
		if err := r.fits(int64(end), r.clusterEnd); err != nil {
			return 0, 0, err
		}
		if err := r.need(end); err != nil {
			return 0, 0, err
		}
		if id == IDTimecode {
			value, _ := uintValue(r.win.bytes(end)[at+n:])
			return end, value, nil
		}
		at = end
	}
}

// readCluster reads one element of a cluster, or ends it.
func (r *Reader) readCluster() (Event, error) {
	if r.win.offset() == r.clusterEnd {
		return r.endCluster()
	}
	id, err := r.peekID()
	if err == io.EOF || err == nil && endsCluster(id) {
		if err == nil && r.clusterEnd >= 0 {
			return nil, r.malformed("top-level element inside a cluster")
		}
		return r.endCluster()
	}
	if err != nil {
		return nil, err
	}
	switch id {
	case IDSimpleBlock, IDBlockGroup:
		return r.readBlock()
	case IDTimecode:
		return nil, r.malformed("second timecode in a cluster")
	}
	return r.startElement((*Reader).readCluster)
}

func (r *Reader) endCluster() (Event, error) {
	r.clusterEnd = -1
	r.state = (*Reader).readTopLevel
	return &ClusterEnd{}, nil
}

func (r *Reader) readBlock() (Event, error) {
	e, err := r.whole("frame", 0, r.opt.MaxFrameBytes)
	if err != nil {
		return nil, err
	}
	r.block = Block{Raw: e.raw}
	reason := ""
	if e.id == IDSimpleBlock {
		reason = r.block.parseSimple(e.data, r.timecode)
	} else {
		reason = r.block.parseGroup(e.data, r.timecode)
	}
	if reason != "" {
		return nil, r.malformed(reason)
	}
	return &r.block, nil
}
