// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	"github.com/obscura-video/obscura/internal/media/mkv"
)

// A sealed fragment is one that its producer has end-to-end encrypted (docs/formats/e2ee.md). This service takes it in
// and gives it out like any other, looks into no block of it, and has no key. All that it does about it is here: to
// know it by its codec IDs, to refuse what would need its content, and, for a stream that is tagged so, to refuse what
// is not sealed. Viewers trust none of that.

const (
	// requireE2EE is the tag of a stream that takes sealed fragments alone. Its value is "true" or "false".
	requireE2EE = "obscura:RequireE2EE"
	// ownTags begins, in any case, the names of tags of streams that mean something to this service.
	ownTags = "obscura:"
	// markE2EE is the tag that each sealed fragment has.
	markE2EE = "E2EE"
)

// sealedCodec says whether a codec ID is that of a sealed track: "V_E2EE/1".
func sealedCodec(id string) bool { return len(id) >= 7 && id[1:7] == "_E2EE/" }

func sealedTrack(t mkv.Track) bool { return sealedCodec(t.CodecID) }

func readableTrack(t mkv.Track) bool { return !sealedTrack(t) }

func marked(tags []mkv.Tag) bool {
	return slices.ContainsFunc(tags, func(t mkv.Tag) bool { return t.Name == markE2EE })
}

func (st *stream) requiresE2EE() bool { return st.Tags[requireE2EE] == "true" }

// checkOwnTags refuses what somebody may have meant as a tag of this service and that would have no effect.
func checkOwnTags(tags map[string]string) error {
	for k, v := range tags {
		switch {
		case k == requireE2EE && (v == "true" || v == "false"):
		case k == requireE2EE:
			return invalid("The tag " + requireE2EE + " is either true or false.")
		case strings.HasPrefix(strings.ToLower(k), ownTags):
			return invalid("Of the tags that begin with " + ownTags + " there is only " + requireE2EE + ".")
		}
	}
	return nil
}

// require decides, before anything of a fragment is stored or shown, whether the stream takes it; hide says that it is
// not to be shown before it is complete, because the tag by which it is known as sealed has yet to come.
func (p *producer) require(st *stream, before []fragmentTags) (hide bool, err error) {
	if !st.requiresE2EE() {
		return false, nil
	}
	if slices.ContainsFunc(p.header.Tracks, readableTrack) {
		p.s.metrics.Add("Obscura.UnsealedFragmentsRefused", st.Name, 1)
		return false, errInvalidMKV
	}
	return !p.markedHeader && !slices.ContainsFunc(before, func(t fragmentTags) bool { return marked(t.tags) }), nil
}

// requireMark decides at the end of a fragment that was hidden.
func (f *fragment) requireMark(p *producer) error {
	if f.hidden && !f.marked {
		p.s.metrics.Add("Obscura.UnsealedFragmentsRefused", f.stream.Name, 1)
		return errInvalidMKV
	}
	return nil
}

// isSealed says whether a stream is end-to-end encrypted: it takes nothing else, or its newest fragment is sealed.
func (s *Service) isSealed(ctx context.Context, st *stream) (bool, error) {
	if st.requiresE2EE() {
		return true, nil
	}
	for d, err := range s.store(st).Journal.ScanReverse(ctx, st.key(), 0, 0) {
		if err != nil {
			return false, fmt.Errorf("kinesisvideo: newest fragment: %w", err)
		}
		m, _, err := parseFragmentMeta(d.Meta)
		return m.sealed, err
	}
	return false, nil
}

// unreadable begins the message of each refusal of what would need the content of a sealed stream, so that programs
// can tell it from others.
const unreadable = "E2EE_STREAM: the stream is end-to-end encrypted; only its viewers can read it."

// unsupported finds the stream of an operation that is not built, and says for a sealed one that it never will be.
func (s *Service) unsupported(ctx context.Context, q request, refusal error) error {
	st, err := s.find(ctx, q)
	if err != nil {
		return err
	}
	sealed, err := s.isSealed(ctx, st)
	if err == nil && sealed {
		return refusal
	}
	return err
}

// GetHLSStreamingSessionURL is not built. Errors: ResourceNotFoundException; UnsupportedStreamMediaTypeException for a
// sealed stream; NotImplementedException for every other.
func (s *Service) GetHLSStreamingSessionURL(ctx context.Context, in *archiveapi.GetHLSStreamingSessionURLInput) (*archiveapi.GetHLSStreamingSessionURLOutput, error) {
	q := request{action: "GetHLSStreamingSessionURL", name: in.StreamName, arn: in.StreamARN}
	if err := s.unsupported(ctx, q, &archiveapi.UnsupportedStreamMediaTypeException{Message: unreadable}); err != nil {
		return nil, err
	}
	return s.unimplementedArchive.GetHLSStreamingSessionURL(ctx, in)
}

// GetDASHStreamingSessionURL is not built. Errors: as GetHLSStreamingSessionURL.
func (s *Service) GetDASHStreamingSessionURL(ctx context.Context, in *archiveapi.GetDASHStreamingSessionURLInput) (*archiveapi.GetDASHStreamingSessionURLOutput, error) {
	q := request{action: "GetDASHStreamingSessionURL", name: in.StreamName, arn: in.StreamARN}
	if err := s.unsupported(ctx, q, &archiveapi.UnsupportedStreamMediaTypeException{Message: unreadable}); err != nil {
		return nil, err
	}
	return s.unimplementedArchive.GetDASHStreamingSessionURL(ctx, in)
}

// GetClip is not built. Errors: as GetHLSStreamingSessionURL.
func (s *Service) GetClip(ctx context.Context, in *archiveapi.GetClipInput) (*archiveapi.GetClipOutput, error) {
	q := request{action: "GetClip", name: in.StreamName, arn: in.StreamARN}
	if err := s.unsupported(ctx, q, &archiveapi.UnsupportedStreamMediaTypeException{Message: unreadable}); err != nil {
		return nil, err
	}
	return s.unimplementedArchive.GetClip(ctx, in)
}

// GetImages is not built. Errors: ResourceNotFoundException; InvalidArgumentException for a sealed stream, since the
// operation has no error for its media; NotImplementedException for every other.
func (s *Service) GetImages(ctx context.Context, in *archiveapi.GetImagesInput) (*archiveapi.GetImagesOutput, error) {
	q := request{action: "GetImages", name: in.StreamName, arn: in.StreamARN}
	if err := s.unsupported(ctx, q, invalid(unreadable)); err != nil {
		return nil, err
	}
	return s.unimplementedArchive.GetImages(ctx, in)
}
