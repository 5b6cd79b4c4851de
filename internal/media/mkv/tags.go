// SPDX-License-Identifier: Apache-2.0

package mkv

// EndOfFragment is the name of the tag by which a producer says that the fragment it has sent is complete.
//
// Source: Kinesis Video producer SDKs; its value is empty.
const EndOfFragment = "AWS_KINESISVIDEO_END_OF_FRAGMENT"

// Names of the tags that GetMedia adds to a fragment: the first three before its cluster, the next two after it.
// A file without a cluster, with ErrorID and ErrorCode, says why no more follows.
//
// Source: Kinesis Video Streams developer guide, GetMedia; recordings in the parser library for Java.
const (
	FragmentNumber    = "AWS_KINESISVIDEO_FRAGMENT_NUMBER"
	ServerTimestamp   = "AWS_KINESISVIDEO_SERVER_TIMESTAMP"   // seconds with three decimals
	ProducerTimestamp = "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP" // seconds with three decimals
	MillisBehindNow   = "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW"
	ContinuationToken = "AWS_KINESISVIDEO_CONTINUATION_TOKEN"
	ErrorID           = "AWS_KINESISVIDEO_ERROR_ID"
	ErrorCode         = "AWS_KINESISVIDEO_ERROR_CODE"
)

// Tag is a name with its text value, trailing NULs removed. Nested tags are listed after the one that holds them.
type Tag struct {
	Name, Value string
}

// Tags is one Tags element. The Tags belong to the caller, except Raw.
type Tags struct {
	Tags          []Tag
	EndOfFragment bool // one of them is named EndOfFragment

	// InHeader says that the element preceded the first cluster, and that its bytes are part of Header.Raw too:
	// whoever re-emits the stream leaves it out.
	InHeader bool

	// Raw is the element as it was sent. It is valid until the next call of Next.
	Raw []byte
}

// Get returns the value of the first tag of that name.
func (t *Tags) Get(name string) (value string, ok bool) {
	for _, tag := range t.Tags {
		if tag.Name == name {
			return tag.Value, true
		}
	}
	return "", false
}

// parseTags collects the name and value pairs of a Tags element. tooDeep reports tags nested beyond depth.
func parseTags(data []byte, depth int) (t Tags, tooDeep bool, reason string) {
	reason = children(data, func(e element) string {
		if e.id != idTag {
			return ""
		}
		return children(e.data, func(e element) string {
			if e.id != idSimpleTag {
				return ""
			}
			return t.add(e.data, depth, &tooDeep)
		})
	})
	for _, tag := range t.Tags {
		t.EndOfFragment = t.EndOfFragment || tag.Name == EndOfFragment
	}
	return t, tooDeep, reason
}

// add appends a SimpleTag and those inside it.
func (t *Tags) add(data []byte, depth int, tooDeep *bool) string {
	if depth == 0 {
		*tooDeep = true
		return "tags nested too deep"
	}
	at := len(t.Tags)
	t.Tags = append(t.Tags, Tag{})
	return children(data, func(e element) string {
		switch e.id {
		case idTagName:
			t.Tags[at].Name = stringValue(e.data)
		case idTagString:
			t.Tags[at].Value = stringValue(e.data)
		case idSimpleTag:
			return t.add(e.data, depth-1, tooDeep)
		}
		return ""
	})
}

// TagQueue decides to which fragment the Tags elements between two clusters belong. When an end-of-fragment tag
// follows before the next cluster, those up to it belong to the fragment just sent, and those after it to the coming
// one; without such a tag all belong to the coming one. The zero value is ready for use; T is what the caller
// keeps of an element.
type TagQueue[T any] struct {
	pending []T
}

// Add queues an element that was read after the start of a cluster or before the first one. If it holds the
// end-of-fragment tag, Add returns all that belongs to the fragment just sent, this element last; otherwise nil.
func (q *TagQueue[T]) Add(tags T, endOfFragment bool) []T {
	q.pending = append(q.pending, tags)
	if !endOfFragment {
		return nil
	}
	return q.Take()
}

// Take returns what belongs to the coming fragment. It is to be called at the start of each cluster. At the end of the
// input it returns what was meant for a fragment that never came.
func (q *TagQueue[T]) Take() []T {
	taken := q.pending
	q.pending = nil
	return taken
}
