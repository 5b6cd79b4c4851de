// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// The tags that the service adds to media.
const (
	tagFragmentNumber    = "AWS_KINESISVIDEO_FRAGMENT_NUMBER"
	tagServerTimestamp   = "AWS_KINESISVIDEO_SERVER_TIMESTAMP"
	tagProducerTimestamp = "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP"
	tagMillisBehindNow   = "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW"
	tagContinuationToken = "AWS_KINESISVIDEO_CONTINUATION_TOKEN"
	tagErrorID           = "AWS_KINESISVIDEO_ERROR_ID"
	tagErrorCode         = "AWS_KINESISVIDEO_ERROR_CODE"
	tagExceptionCode     = "AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE"
	tagExceptionMessage  = "AWS_KINESISVIDEO_EXCEPTION_MESSAGE"
)

// chunkWriter writes fragments as consumers get them, each a file of its own:
//
//	EBML header, Segment of unknown size · the producer's header, byte for byte · the producer's
//	Tags for the fragment · Tags with number and times · the Cluster, byte for byte · the
//	producer's Tags after it · Tags with token and delay, once the fragment is complete
//
// It is for one goroutine.
type chunkWriter struct {
	w     protocol.StreamWriter
	buf   []byte
	total int64 // bytes written

	meta    fragmentMeta
	element int64 // bytes of the element that are still to come
	cluster int64 // bytes of the cluster that are still to come, unknownRest if that is not known
}

var errChunk = errors.New("kinesisvideo: cluster cannot be ended")

// begin starts a fragment.
func (c *chunkWriter) begin(m fragmentMeta, header []byte) error {
	c.meta, c.element, c.cluster = m, 0, unknownRest
	c.buf = append(mkv.AppendPreamble(c.buf[:0]), header...)
	return c.flushBuf()
}

// frame writes one frame of the fragment.
func (c *chunkWriter) frame(a frameAttrs, payload []byte) error {
	switch a.kind {
	case frameCluster:
		c.buf = mkv.AppendTags(c.buf[:0],
			mkv.Tag{Name: tagFragmentNumber, Value: c.meta.number.String()},
			mkv.Tag{Name: tagServerTimestamp, Value: seconds(c.meta.number.millis())},
			mkv.Tag{Name: tagProducerTimestamp, Value: seconds(c.meta.producer)})
		if err := c.flushBuf(); err != nil {
			return err
		}
		c.cluster = a.rest
	case frameBlock, frameElement:
		if c.cluster >= 0 {
			c.cluster = max(c.cluster-int64(len(payload)), 0)
		}
		c.element = 0
		if a.kind == frameElement {
			c.element = a.rest
		}
	}
	return c.write(payload)
}

// end completes the fragment with what the service knows only now.
func (c *chunkWriter) end(tags ...mkv.Tag) error {
	if len(tags) > 0 {
		c.buf = mkv.AppendTags(c.buf[:0], tags...)
		if err := c.flushBuf(); err != nil {
			return err
		}
	}
	return c.w.Flush()
}

// abandon ends a fragment that will not be complete: its elements are filled up to the sizes that
// they claim, and no tags follow, by which consumers know that it is to be ignored.
func (c *chunkWriter) abandon() error {
	if err := c.zeros(c.element); err != nil {
		return err
	}
	if c.cluster > 0 {
		c.cluster -= c.element
	}
	c.element = 0
	if c.cluster > 0 {
		n, err := c.void(c.cluster)
		if err != nil {
			return err
		}
		if err := c.zeros(n); err != nil {
			return err
		}
	}
	c.cluster = unknownRest
	return c.w.Flush()
}

// void starts a Void element of total bytes and returns how many of them are still to come.
func (c *chunkWriter) void(total int64) (rest int64, err error) {
	c.buf = append(c.buf[:0], byte(mkv.IDVoid))
	switch {
	case total < 2:
		return 0, errChunk
	case total < 9:
		c.buf = append(c.buf, 0x80|byte(total-2))
	default:
		c.buf = binary.BigEndian.AppendUint64(c.buf, 1<<56|uint64(total-9))
	}
	rest = total - int64(len(c.buf))
	return rest, c.flushBuf()
}

func (c *chunkWriter) zeros(n int64) error {
	var none [4096]byte
	for n > 0 {
		k := min(n, int64(len(none)))
		if err := c.write(none[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// fail writes a chunk that holds nothing but tags, after which the connection is to be closed.
func (c *chunkWriter) fail(tags ...mkv.Tag) error {
	c.buf = mkv.AppendTags(mkv.AppendPreamble(c.buf[:0]), tags...)
	if err := c.flushBuf(); err != nil {
		return err
	}
	return c.w.Flush()
}

func (c *chunkWriter) flushBuf() error { return c.write(c.buf) }

func (c *chunkWriter) write(p []byte) error {
	n, err := c.w.Write(p)
	c.total += int64(n)
	if err != nil {
		return fmt.Errorf("kinesisvideo: write media: %w", err)
	}
	return nil
}

// seconds formats milliseconds as the service does: "1511852109.126".
func seconds(millis int64) string {
	s := strconv.FormatInt(millis/1000, 10)
	ms := strconv.FormatInt(millis%1000+1000, 10)
	return s + "." + ms[1:]
}
