// SPDX-License-Identifier: Apache-2.0

// Package clerk has clients that do the paperwork of the control plane, item after item, and keep a ledger of what
// they were promised. After the server was killed, or the power cut, the ledgers are compared with what the server
// says: a change that was answered must be there exactly, and the one that was under way wholly or not at all. It
// is no test itself.
//
// The invariant: a clerk has at most one change under way, and its ledger names it before the request is sent.
package clerk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/obscura-video/obscura/test/rig"
)

// Facts are what a server says of one item. What does not exist is not in it.
type Facts map[string]string

// Item is what the steps of a trade are done to.
type Item struct {
	// Name is of this item alone, in all of the server.
	Name string
	// Notes are what was learnt of it: names that the server gave, secrets.
	Notes map[string]string
}

// Step is one change.
type Step struct {
	// Event is what the audit log calls it.
	Event string
	// Do makes the change, once.
	Do func(context.Context, *Item) error
	// Then is what it changes.
	Then func(Facts)
	// Possible says whether it can be done with what is known of the item, nil for always: the answer to an
	// earlier change may have been lost, and a secret with it. The item is then left as it is.
	Possible func(*Item) bool
}

// Trade is one kind of paperwork.
type Trade struct {
	Name  string
	Steps []Step
	// Observe asks the server for all that it holds of an item, from every side.
	Observe func(context.Context, *Item) (Facts, error)
}

// Ledger is what a clerk was promised of one item.
type Ledger struct {
	Trade string
	Item  Item
	// Facts follow from the changes that were answered.
	Facts Facts
	// Done counts these changes.
	Done int
	// Doubt is the change that is under way, nil when none is.
	Doubt *Step
	// Call is what Mail calls the request for it.
	Call string
}

func (l *Ledger) clone() Ledger {
	c := *l
	c.Item.Notes, c.Facts = maps.Clone(l.Item.Notes), maps.Clone(l.Facts)
	return c
}

// after are the facts with the change under way.
func (l *Ledger) after() Facts {
	f := maps.Clone(l.Facts)
	l.Doubt.Then(f)
	return f
}

// settle compares the ledger with what was observed, and says what is wrong. A change that was under way is then
// under way no more: happened says whether it was made.
func (l *Ledger) settle(seen Facts) (happened bool, wrong string) {
	if maps.Equal(seen, l.Facts) {
		l.Doubt = nil
		return false, ""
	}
	if l.Doubt == nil {
		return false, fmt.Sprintf("%s after %d steps: %s", l.Item.Name, l.Done, differ(l.Facts, seen))
	}
	if after := l.after(); !maps.Equal(seen, after) {
		return false, fmt.Sprintf("%s after %d steps, with %s under way: neither as before (%s) nor as after (%s)",
			l.Item.Name, l.Done, l.Doubt.Event, differ(l.Facts, seen), differ(after, seen))
	}
	l.Doubt.Then(l.Facts)
	l.Done, l.Doubt = l.Done+1, nil
	return true, ""
}

// differ says in what two accounts differ.
func differ(want, got Facts) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			all = append(all, fmt.Sprintf("%s is %q, promised was %q", name, got[name], want[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			all = append(all, fmt.Sprintf("%s is %q, and should not be there", name, got[name]))
		}
	}
	return strings.Join(all, "; ")
}

// clerk works at one trade.
type clerk struct {
	office *Office
	trade  Trade
	count  atomic.Int64 // changes that were answered

	// Written by the clerk with office.desk held for reading.
	ledgers []*Ledger
	current *Ledger
}

// Office is a clerk for each trade, at work on one server.
type Office struct {
	Mail *Mail
	name string // begins the names of all its items

	desk   sync.RWMutex // held for writing while somebody looks at all ledgers
	clerks []*clerk

	mu         sync.Mutex
	wrong      []string
	unrecorded []string // calls of changes that were made without an answer
}

// Open gives every trade a clerk, but for those without.
func Open(s *rig.Server, without ...string) *Office { return OpenNamed("", s, without...) }

// OpenNamed is Open of one of several offices at work on one server, by different names.
func OpenNamed(name string, s *rig.Server, without ...string) *Office {
	o := &Office{Mail: NewMail(s), name: name}
	o.Mail.name = name + "clerk"
	for _, trade := range Trades(o.Mail.Server()) {
		if slices.Contains(without, trade.Name) {
			continue
		}
		o.clerks = append(o.clerks, &clerk{office: o, trade: trade})
	}
	return o
}

// Work lets all clerks work until ctx ends.
func (o *Office) Work(ctx context.Context) {
	var all sync.WaitGroup
	for _, c := range o.clerks {
		all.Go(func() { c.work(ctx) })
	}
	all.Wait()
}

// Freeze runs fn while no clerk begins a change or takes notice of an answer.
func (o *Office) Freeze(fn func(ledgers []Ledger)) {
	o.desk.Lock()
	defer o.desk.Unlock()
	var all []Ledger
	for _, c := range o.clerks {
		for _, l := range c.ledgers {
			all = append(all, l.clone())
		}
	}
	fn(all)
}

// Counts are how many changes each clerk was answered.
func (o *Office) Counts() map[string]int64 {
	all := map[string]int64{}
	for _, c := range o.clerks {
		all[c.trade.Name] = c.count.Load()
	}
	return all
}

// Wrong is what clerks found wrong while they worked.
func (o *Office) Wrong() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.wrong)
}

// Unanswered are the calls of changes that were made although no answer came.
func (o *Office) Unanswered() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.unrecorded)
}

func (o *Office) report(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wrong = append(o.wrong, fmt.Sprintf(format, args...))
}

func (c *clerk) work(ctx context.Context) {
	for ctx.Err() == nil {
		step := c.next()
		call := c.begin(step)
		err := step.Do(withCall(ctx, call), &c.current.Item)
		switch {
		case err == nil:
			c.answered()
		case ctx.Err() != nil: // the change stays under way
		case isRefusal(err):
			c.office.report("%s: %s: %v", c.current.Item.Name, step.Event, err)
			return
		default:
			c.recover(ctx)
		}
	}
}

// next is the step that comes next, of a new item when the last one is done with.
func (c *clerk) next() *Step {
	if l := c.current; l != nil && l.Done < len(c.trade.Steps) {
		if step := &c.trade.Steps[l.Done]; step.Possible == nil || step.Possible(&l.Item) {
			return step
		}
	}
	c.office.desk.RLock()
	defer c.office.desk.RUnlock()
	c.current = &Ledger{
		Trade: c.trade.Name, Facts: Facts{},
		Item: Item{Name: fmt.Sprintf("%s%s-%d", c.office.name, c.trade.Name, len(c.ledgers)), Notes: map[string]string{}},
	}
	c.ledgers = append(c.ledgers, c.current)
	return &c.trade.Steps[0]
}

func (c *clerk) begin(step *Step) (call string) {
	c.office.desk.RLock()
	defer c.office.desk.RUnlock()
	c.current.Doubt, c.current.Call = step, c.office.Mail.newCall()
	// A step may take notes while ledgers are looked at.
	c.current.Item.Notes = maps.Clone(c.current.Item.Notes)
	return c.current.Call
}

func (c *clerk) answered() {
	c.office.desk.RLock()
	defer c.office.desk.RUnlock()
	l := c.current
	l.Doubt.Then(l.Facts)
	l.Done, l.Doubt = l.Done+1, nil
	c.count.Add(1)
}

// recover asks a server that was killed what has become of the change that was under way, as soon as it is back.
func (c *clerk) recover(ctx context.Context) {
	for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		seen, err := c.trade.Observe(ctx, &c.current.Item)
		if err != nil {
			continue
		}
		c.settle(seen)
		return
	}
}

func (c *clerk) settle(seen Facts) {
	c.office.desk.RLock()
	defer c.office.desk.RUnlock()
	call := c.current.Call
	happened, wrong := c.current.settle(seen)
	if wrong != "" {
		c.office.report("%s", wrong)
		c.current.Facts, c.current.Done = seen, len(c.trade.Steps) // said once; on with the next item
	}
	if happened {
		c.office.mu.Lock()
		defer c.office.mu.Unlock()
		c.office.unrecorded = append(c.office.unrecorded, call)
	}
}

// Judge says what is wrong with what a server holds, given what was promised.
func Judge(ctx context.Context, s *rig.Server, ledgers []Ledger) (wrong []string) {
	trades := map[string]Trade{}
	for _, t := range Trades(s) {
		trades[t.Name] = t
	}
	for _, l := range ledgers {
		l := l.clone()
		trade := trades[l.Trade]
		seen, err := trade.Observe(ctx, &l.Item)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", l.Item.Name, err))
			continue
		}
		if _, w := l.settle(seen); w != "" {
			wrong = append(wrong, w)
		}
	}
	return wrong
}

// isRefusal reports whether the server answered, and said no.
func isRefusal(err error) bool {
	var coded interface{ ErrorCode() string }
	return errors.As(err, &coded)
}

// isAbsent reports whether the server said that there is no such thing.
func isAbsent(err error) bool {
	var coded interface{ ErrorCode() string }
	if !errors.As(err, &coded) {
		return false
	}
	switch coded.ErrorCode() {
	case "NoSuchEntity", "NotFoundException", "ResourceNotFoundException", "TrailNotFoundException", "ObjectNotFoundException":
		return true
	}
	return false
}
