// SPDX-License-Identifier: Apache-2.0

package cloudtrail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/obscura-video/obscura/internal/access"
	api "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	"github.com/obscura-video/obscura/internal/meta"
)

// trail is what is stored of one trail, as JSON. Fields are only ever added.
type trail struct {
	Name          string
	Bucket        string
	Prefix        string            `json:",omitempty"`
	GlobalEvents  bool              `json:",omitempty"`
	MultiRegion   bool              `json:",omitempty"`
	Validation    bool              `json:",omitempty"`
	KeyARN        string            `json:",omitempty"`
	Tags          map[string]string `json:",omitempty"`
	Logging       bool              `json:",omitempty"`
	Started       time.Time         `json:",omitzero"`
	Stopped       time.Time         `json:",omitzero"`
	Selectors     []*api.EventSelector
	AdvancedRules []*api.AdvancedEventSelector
}

// maxTrails is the quota of a region.
const maxTrails = 5

const trailType = "AWS::CloudTrail::Trail"

func trailKey(name string) []byte { return meta.Key("ct", "t", name) }

// trailARN returns the ARN of a trail of this server.
func (s *Service) trailARN(name string) string {
	return "arn:aws:cloudtrail:" + s.Region + ":" + s.Account + ":trail/" + name
}

// begin authorises an operation on the trail that ref (a name or an ARN) means and returns the trail's name.
// What is wrong with ref is told only to who may do the operation.
func (s *Service) begin(ctx context.Context, operation, ref string) (string, error) {
	name, err := s.parseRef(ref)
	resource := ref
	if !strings.HasPrefix(ref, "arn:") {
		resource = s.trailARN(ref)
	}
	if denied := s.authorize(ctx, operation, resource); denied != nil {
		return "", denied
	}
	if err != nil {
		return "", err
	}
	access.AddResource(ctx, s.trailARN(name), trailType)
	return name, nil
}

// parseRef returns the name in a name or ARN. An ARN of another region or account is that of an unknown trail.
func (s *Service) parseRef(ref string) (string, error) {
	if !strings.HasPrefix(ref, "arn:") {
		return ref, checkName(ref)
	}
	f := strings.SplitN(ref, ":", 6)
	name, ok := "", false
	if len(f) == 6 {
		name, ok = strings.CutPrefix(f[5], "trail/")
	}
	if !ok || f[1] != "aws" || f[2] != "cloudtrail" || checkName(name) != nil {
		return "", &api.CloudTrailARNInvalidException{Message: "Trail ARN is not valid: " + ref}
	}
	if f[3] != s.Region || f[4] != s.Account {
		return "", s.unknown(ref)
	}
	return name, nil
}

func (s *Service) unknown(ref string) error {
	return &api.TrailNotFoundException{Message: "Unknown trail: " + ref + " for the user: " + s.Account}
}

// checkName holds a trail's name against the rules of the API Reference, CreateTrail, Name.
func checkName(name string) error {
	bad := func(why string) error { return &api.InvalidTrailNameException{Message: "Trail name " + why} }
	if len(name) < 3 || len(name) > 128 {
		return bad("must have 3 to 128 characters.")
	}
	for i := range len(name) {
		switch c := name[i]; {
		case alphanumeric(c):
		case c != '.' && c != '_' && c != '-':
			return bad("can only contain letters, digits, periods, underscores and dashes.")
		case i == 0 || i == len(name)-1:
			return bad("must start and end with a letter or a digit.")
		case !alphanumeric(name[i-1]):
			return bad("cannot have adjacent periods, underscores or dashes.")
		}
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return bad("must not be an IP address.")
	}
	return nil
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// load returns a trail. Errors: TrailNotFoundException.
func (s *Service) load(r meta.Reader, name string) (*trail, error) {
	v, err := r.Get(trailKey(name))
	if errors.Is(err, meta.ErrNotFound) {
		return nil, s.unknown(s.trailARN(name))
	}
	if err != nil {
		return nil, fmt.Errorf("cloudtrail: read trail %s: %w", name, err)
	}
	return decodeTrail(v)
}

func decodeTrail(v []byte) (*trail, error) {
	t := new(trail)
	if err := json.Unmarshal(v, t); err != nil {
		return nil, fmt.Errorf("cloudtrail: stored trail: %w", err)
	}
	return t, nil
}

// loadAll returns every trail, by name.
func loadAll(r meta.Reader) ([]*trail, error) {
	prefix := meta.Key("ct", "t")
	var all []*trail
	for kv, err := range r.Scan(prefix, meta.PrefixEnd(prefix)) {
		if err != nil {
			return nil, fmt.Errorf("cloudtrail: list trails: %w", err)
		}
		t, err := decodeTrail(kv.Value)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func (t *trail) store(tx meta.Tx) error {
	v, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("cloudtrail: write trail %s: %w", t.Name, err)
	}
	tx.Put(trailKey(t.Name), v)
	return nil
}

// view reads one trail.
func (s *Service) view(ctx context.Context, name string) (t *trail, err error) {
	err = s.DB.View(ctx, func(r meta.Reader) error {
		t, err = s.load(r, name)
		return err
	})
	return t, err
}

// update changes one trail in a transaction and returns it as it is afterwards.
func (s *Service) update(ctx context.Context, name string, change func(*trail) error) (t *trail, err error) {
	err = s.DB.Update(ctx, func(tx meta.Tx) error {
		if t, err = s.load(tx, name); err != nil {
			return err
		}
		if err := change(t); err != nil {
			return err
		}
		return t.store(tx)
	})
	return t, err
}
