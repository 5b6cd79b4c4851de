// SPDX-License-Identifier: Apache-2.0

package mkv

// Event is what Reader.Next returns: *Header, *Tags, *ClusterStart, *Block, *Element or *ClusterEnd.
//
// A file is a Header, its Tags, and then clusters with Tags and Elements between them; a cluster is a ClusterStart,
// Blocks and Elements, and a ClusterEnd. The end of the input is no event but io.EOF.
type Event interface{ event() }

func (*Header) event()       {}
func (*Tags) event()         {}
func (*ClusterStart) event() {}
func (*Block) event()        {}
func (*Element) event()      {}
func (*ClusterEnd) event()   {}

// ClusterStart opens a cluster, which Kinesis Video calls a fragment. It is delivered as soon as the timecode is known.
// It is valid until the next call of Next.
type ClusterStart struct {
	Timecode uint64 // in timecode units; at most MaxTimecode
	Size     int64  // of the cluster's data in bytes, -1 when unknown
	Rest     int64  // how much of the data follows Raw, -1 when unknown

	// Raw is the start of the cluster as it was sent: its ID and size, the timecode, and what stood before that.
	Raw []byte
}

// MaxTimecode is the largest cluster timecode that a Reader accepts, far from the overflow of block times.
const MaxTimecode = 1 << 62

// ClusterEnd closes a cluster. Without it the cluster was cut off and is not to be trusted to be whole. It comes at
// once when the size of the cluster is known, otherwise with the element that follows or the end of the input.
type ClusterEnd struct{}

// Element is one that is passed on unread: Void, CRC-32, Position, PrevSize, Cues and the like, and those unknown. A
// large one comes in pieces. It is valid until the next call of Next.
type Element struct {
	ID     ID
	Size   int64  // of the whole element in bytes, its ID and size included
	Offset int64  // of Raw in the element; 0 in the first piece
	Raw    []byte // this piece as it was sent
}

// Last tells whether this piece completes the element.
func (e *Element) Last() bool { return e.Offset+int64(len(e.Raw)) == e.Size }
