// SPDX-License-Identifier: Apache-2.0

package clerk

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/obscura-video/obscura/test/rig"
)

// Trades is every kind of paperwork there is, done on s.
func Trades(s *rig.Server) []Trade {
	return []Trade{
		keyTrade(s), importTrade(s), userTrade(s), roleTrade(s), thingTrade(s), enrolTrade(s), trailTrade(s), streamTrade(s), boxTrade(s),
	}
}

// does makes a step's Do of a call whose answer says nothing that matters.
func does[In, Out any](call func(context.Context, *In) (*Out, error), in func(*Item) *In) func(context.Context, *Item) error {
	return func(ctx context.Context, it *Item) error {
		_, err := call(ctx, in(it))
		return err
	}
}

// option drops the options of a call of the SDK.
func option[In, Out, Option any](call func(context.Context, *In, ...Option) (*Out, error)) func(context.Context, *In) (*Out, error) {
	return func(ctx context.Context, in *In) (*Out, error) { return call(ctx, in) }
}

// is makes a step's Then: pairs of a fact's name and its value.
func is(pairs ...string) func(Facts) {
	return func(f Facts) {
		for i := 0; i+1 < len(pairs); i += 2 {
			f[pairs[i]] = pairs[i+1]
		}
	}
}

// ends makes a step's Then: facts that are no more. A name that ends in "/" stands for all that begin with it.
func ends(names ...string) func(Facts) {
	return func(f Facts) {
		for _, name := range names {
			for fact := range f {
				if fact == name || strings.HasSuffix(name, "/") && strings.HasPrefix(fact, name) {
					delete(f, fact)
				}
			}
		}
	}
}

// both joins two.
func both(a, b func(Facts)) func(Facts) { return func(f Facts) { a(f); b(f) } }

// look runs observations one after the other. That a thing does not exist is no error: it adds no fact.
func look(all ...func() error) error {
	for _, one := range all {
		if err := one(); err != nil && !isAbsent(err) {
			return err
		}
	}
	return nil
}

// compact makes one spelling of a JSON document, which may be escaped for a URL as IAM's are.
func compact(document string) string {
	var v any
	if json.Unmarshal([]byte(document), &v) != nil {
		return document
	}
	b, err := json.Marshal(v)
	if err != nil {
		return document
	}
	return string(b)
}

// policyOf is a policy document that differs for each action.
func policyOf(action string) string {
	return compact(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":%q,"Resource":"*"}]}`, action))
}

const account = "arn:aws:iam::" + rig.Account + ":"

func joined(list []string) string {
	slices.Sort(list)
	return strings.Join(list, ",")
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
