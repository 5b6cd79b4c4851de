// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	archiveapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideoarchivedmedia"
	mediaapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideomedia"
	"github.com/obscura-video/obscura/internal/envelope"
	"github.com/obscura-video/obscura/internal/journal"
	"github.com/obscura-video/obscura/internal/meta"
)

// Limits of the service (Kinesis Video Streams developer guide, "Quotas").
const (
	maxRetentionHours   = 87600
	maxTagsPerStream    = 50
	maxTracks           = 3
	maxFragmentBytes    = 50 << 20
	maxFragmentDuration = 20 * time.Second
	maxFragmentTags     = 10
	maxTagNameBytes     = 128
	maxTagValueBytes    = 256
	maxConnection       = 45 * time.Minute
	idleAfter           = 5 * time.Second  // an IDLE ack each
	idleClose           = 30 * time.Second // and then the end
)

// The buffer of a stream without retention.
const (
	spoolAge   = 5 * time.Minute
	spoolBytes = 200 << 20
)

// Store is where fragments go: a journal, the store that it commits to, and the data keys.
type Store struct {
	// DB is the one that Journal writes to: the producers' headers are committed there
	// together with the fragments.
	DB      meta.DB
	Journal *journal.Journal
	Keys    *envelope.Keyring
}

// Config is what the service needs. Everything without a default is required.
type Config struct {
	// DB holds the streams.
	DB meta.DB
	// Archive holds the fragments of streams with retention, Spool the last minutes of
	// those without. The spool should not survive the process: memory for its DB and
	// keys, any store for its blobs.
	Archive, Spool Store

	Authorizer access.Authorizer
	// Account and Region are those of every stream's ARN.
	Account, Region string
	// MediaEndpoint is the base URL that GetDataEndpoint gives for PutMedia and GetMedia,
	// APIEndpoint the one for everything else: scheme, host and port, no slash at the end.
	MediaEndpoint, APIEndpoint string

	// MaxConsumers bounds the GetMedia connections of one stream. Default 3, as on AWS.
	MaxConsumers int
	// Metrics may be nil.
	Metrics Metrics
	// Logger tells the operator what no client is told. Default: nothing.
	Logger *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Names for embedding: each API has its own Unimplemented.
type (
	unimplementedControl = kvapi.Unimplemented
	unimplementedArchive = archiveapi.Unimplemented
)

// Service answers the three APIs of Kinesis Video Streams. It may be used concurrently.
type Service struct {
	unimplementedControl
	unimplementedArchive

	Config
	metrics metrics
	active  registry
	created atomic.Int64 // the newest creation time given out, Unix milliseconds
	tidied  sync.Map     // of tidiness: what its fragments needed that are gone is gone too

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc
	work   sync.WaitGroup

	starting sync.Mutex // held while work grows from outside of it, and while ctx is ended
}

var (
	_ kvapi.Server      = (*Service)(nil)
	_ mediaapi.Server   = (*Service)(nil)
	_ archiveapi.Server = (*Service)(nil)
)

// New checks the configuration and returns a Service. It reads nothing.
func New(c Config) (*Service, error) {
	switch {
	case c.DB == nil, c.Authorizer == nil:
		return nil, errors.New("kinesisvideo: config without a store or an authorizer")
	case !c.Archive.complete() || !c.Spool.complete():
		return nil, errors.New("kinesisvideo: config with an incomplete archive or spool")
	case c.Account == "" || c.Region == "" || c.MediaEndpoint == "" || c.APIEndpoint == "":
		return nil, errors.New("kinesisvideo: config without account, region or endpoints")
	}
	if c.MaxConsumers == 0 {
		c.MaxConsumers = 3
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{Config: c, metrics: metrics{c.Metrics}}
	s.active.streams = map[string]*activity{}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s, nil
}

func (s Store) complete() bool { return s.DB != nil && s.Journal != nil && s.Keys != nil }

// Close ends every connection and waits for all that the service has started. The stores
// remain open.
func (s *Service) Close() error {
	s.starting.Lock()
	s.cancel(errClosing)
	s.starting.Unlock()
	s.work.Wait()
	return nil
}

// store returns where the fragments of a stream with this retention are.
func (s *Service) store(st *stream) Store {
	if st.RetentionHours == 0 {
		return s.Spool
	}
	return s.Archive
}
