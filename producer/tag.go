// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"fmt"
	"strings"
)

// maxTags is the service's limit for one fragment.
const maxTags = 10

// The tags of the service that a producer may set; they do not count.
const (
	TagImageGeneration = "AWS_KINESISVIDEO_IMAGE_GENERATION"
	TagImagePrefix     = "AWS_KINESISVIDEO_IMAGE_PREFIX"
	TagNotification    = "AWS_KINESISVIDEO_NOTIFICATION"
)

// Tag adds metadata to the fragment of the frame that was put last; before the first frame, to the one that it will
// begin. A Producer that seals seals it too, together with the next frame or the end of the fragment. Errors: ErrTag;
// those of Put.
func (p *Producer) Tag(name, value string) error {
	reserved := name == TagImageGeneration || name == TagImagePrefix || name == TagNotification
	if reserved && p.sealing != nil {
		return fmt.Errorf("%w: %q asks the service for something that it cannot do with sealed media", ErrTag, name)
	}
	if name == "" || len(name) > 128 || len(value) > 256 || strings.HasPrefix(name, "AWS") && !reserved {
		return fmt.Errorf("%w: %q", ErrTag, name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.signal()
	if err := p.usable(); err != nil {
		return err
	}
	r := record{kind: recordTag, name: name, data: []byte(value)}
	n := len(p.tags)
	if p.buffer.open != nil {
		n = p.buffer.open.tags
	}
	if n >= maxTags {
		return fmt.Errorf("%w: %q would be one more than %d in this fragment", ErrTag, name, maxTags)
	}
	if p.buffer.open == nil {
		p.tags = append(p.tags, r)
		return nil
	}
	return p.writeTag(&r)
}

func (p *Producer) writeTag(r *record) error {
	write := func() error { return p.buffer.write(p.buffer.open, r) }
	if p.sealing != nil {
		write = func() error { return p.sealing.tag(r) }
	}
	if err := write(); err != nil {
		return err
	}
	p.buffer.open.tags++
	return nil
}
