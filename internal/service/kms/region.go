// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/obscura-video/obscura/internal/meta"
)

// ErrRegion says that there are rows of a Region that is not configured: its keys could be neither used nor
// deleted, and replicas of theirs would go their own ways.
var ErrRegion = errors.New("kms: keys of a Region that is not configured")

// estate is what the Services of all Regions share.
type estate struct {
	writing sync.Mutex          // serialises mutations, see the package comment
	regions map[string]*Service // by name, the home Region's too; it never changes
	common  common
	// ctx ends in Close, and with it what loading runs.
	ctx     context.Context
	end     context.CancelFunc
	loading sync.WaitGroup
}

// names returns the Regions, sorted.
func (e *estate) names() []string { return slices.Sorted(maps.Keys(e.regions)) }

// others returns the Services of the other Regions, by name.
func (s *Service) others() []*Service {
	var list []*Service
	for _, name := range s.estate.names() {
		if o := s.estate.regions[name]; o != s {
			list = append(list, o)
		}
	}
	return list
}

// In returns the Service of a Region; false when it is not configured.
func (s *Service) In(region string) (*Service, bool) {
	o, ok := s.estate.regions[region]
	return o, ok
}

// newEstate makes the Services of all Regions that cfg names; the home Region's comes back.
func newEstate(cfg Config) *Service {
	e := &estate{regions: map[string]*Service{}}
	e.ctx, e.end = context.WithCancel(context.Background())
	home := &Service{cfg: cfg, estate: e, secrets: newSecrets(cfg.CachedMaterials)}
	e.regions[cfg.Region] = home
	for _, region := range cfg.Further {
		c := cfg
		c.Region, c.ManagedFor = region, nil // the services that have such keys are at home
		e.regions[region] = &Service{cfg: c, estate: e, rows: rows{region}, secrets: newSecrets(cfg.CachedMaterials)}
	}
	return home
}

// loadAll reads the rows of all Regions. e.writing is held, or nobody else has the Services yet.
func (e *estate) loadAll(ctx context.Context) error {
	for _, name := range e.names() {
		if err := e.regions[name].load(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stale reports whether any view is. e.writing is held.
func (e *estate) stale() bool {
	for _, s := range e.regions {
		if s.view.stale {
			return true
		}
	}
	return false
}

// checkRegions refuses rows of Regions that are not configured.
func (s *Service) checkRegions(ctx context.Context) error {
	all, err := storedRegions(ctx, s.cfg.DB)
	if err != nil {
		return err
	}
	for _, r := range all {
		if _, ok := s.estate.regions[r.region]; r.region != "" && !ok {
			return fmt.Errorf("%w: %s", ErrRegion, r.region)
		}
	}
	return nil
}

// rows makes the names of one Region's rows.
type rows struct{ region string } // "" is the home Region, whose rows do not name it

// further is the kind of row that all rows of other Regions than the home Region begin with.
const further = "r"

func (r rows) of(kind string, parts ...any) []byte {
	prefix := []any{kind}
	if r.region != "" {
		prefix = []any{further, r.region, kind}
	}
	return meta.Key(space, append(prefix, parts...)...)
}

func (r rows) key(id string) []byte                  { return r.of("k", id) }
func (r rows) material(id, materialID string) []byte { return r.of("m", id, materialID) }
func (r rows) alias(name string) []byte              { return r.of("a", name) }
func (r rows) grant(id, grantID string) []byte       { return r.of("g", id, grantID) }
func (r rows) usage(id string) []byte                { return r.of("u", id) }

// storedRegions returns the home Region and every other one that has rows.
func storedRegions(ctx context.Context, db meta.DB) (all []rows, err error) {
	prefix := meta.Key(space, further)
	err = db.View(ctx, func(r meta.Reader) error {
		all = []rows{{}}
		for from := prefix; ; {
			region, ok, err := firstRegion(r, from, meta.PrefixEnd(prefix))
			if err != nil || !ok {
				return err
			}
			all = append(all, rows{region})
			from = meta.PrefixEnd(meta.Key(space, further, region))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("kms: regions: %w", err)
	}
	return all, nil
}

// firstRegion returns the Region of the first row of a range.
func firstRegion(r meta.Reader, from, to []byte) (region string, ok bool, err error) {
	for row, err := range r.Scan(from, to) {
		if err != nil {
			return "", false, err
		}
		region, _, ok := meta.CutString(row.Key[len(meta.Key(space, further)):])
		if !ok || region == "" {
			return "", false, fmt.Errorf("row %q", row.Key)
		}
		return region, true, nil
	}
	return "", false, nil
}
