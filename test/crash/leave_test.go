// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/obscura-video/obscura/internal/sigv4"
	"github.com/obscura-video/obscura/internal/vfstest"
	"github.com/obscura-video/obscura/test/clerk"
	"github.com/obscura-video/obscura/test/rig"
)

var leaveSeed = flag.Uint64("leave.seed", 0, "seed of the tests of clients that leave; 0 is a random one")

// bound is what nobody who does nothing wrong may wait for an answer.
const bound = 10 * time.Second

// TestClientsThatLeaveHarmNobody: whoever goes away, at any moment of any operation, stays and sends half a request, or
// takes nothing of what he asked for, is no reason to answer anybody else badly or late. What he had begun is there
// wholly or not at all, and on record once if it was made; the server finds no fault with itself, nor does fsck.
func TestClientsThatLeaveHarmNobody(t *testing.T) {
	p := rig.StartProcess(t, filepath.Join(t.TempDir(), "data"), "--free-space", "-1")
	for _, wrong := range leave(t, p) {
		t.Error(wrong)
	}
	controlAnswers(t)
}

// TestControlClientsThatLeave: a server that gives up a change of a key whose caller goes away doubts all keys, until it
// has read them again. That must be noticed.
func TestControlClientsThatLeave(t *testing.T) {
	if !rig.Full() {
		t.Skip("it builds the program anew")
	}
	mutant := rig.Mutant(t, "internal/service/kms/view.go", "\tctx = context.WithoutCancel(ctx)\n", "")
	for range 5 {
		p := rig.StartProgram(t, mutant, filepath.Join(t.TempDir(), "data"), "--free-space", "-1")
		if wrong := leave(t, p); len(wrong) > 0 {
			t.Logf("%d things were noticed, such as: %s", len(wrong), wrong[0])
			return
		}
	}
	t.Error("control: nobody notices that those who leave stop all others")
}

// leavers are the clients of one server, those who leave and those who do not.
type leavers struct {
	t       *testing.T
	p       *rig.Process
	dice    *vfstest.Dice
	leaver  *clerk.Leaver
	left    *clerk.Office // whose clerks leave
	normal  *clerk.Office
	cameras []*camera // the first one stays
	wrong   []string
	mu      sync.Mutex // guards wrong while they work
}

func (l *leavers) report(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// leave lets clients leave a server, and others work at it, ends it, and says what went wrong.
func leave(t *testing.T, p *rig.Process) (wrong []string) {
	t.Helper()
	l := &leavers{t: t, p: p, dice: leaveDice(t)}
	l.leaver = clerk.NewLeaver(p.Server, l.dice)
	l.left = clerk.OpenNamed("left-", l.leaver.Of(p.Server))
	l.normal = clerk.OpenNamed("normal-", p.Server, "device") // the devices of both would be more than strangers may
	l.cameras = startCameras(t, p.Server)[:3]
	l.work()
	l.judge()
	return l.wrong
}

func leaveDice(t *testing.T) *vfstest.Dice {
	seed := *leaveSeed
	if seed == 0 {
		var b [8]byte
		rand.Read(b[:]) // never fails
		seed = binary.BigEndian.Uint64(b[:])
	}
	t.Logf("the dice are those of -leave.seed=%d", seed)
	return vfstest.NewDice(seed)
}

// work lets all clients work for a while.
func (l *leavers) work() {
	duration := 1500 * time.Millisecond
	if rig.Full() {
		duration = 10 * time.Second
	}
	ctx, stop := context.WithTimeout(l.t.Context(), duration)
	defer stop()
	var all sync.WaitGroup
	for _, one := range []func(context.Context){
		l.left.Work, l.normal.Work, l.useKey,
		l.stay, l.filmAndLeave(1), l.filmAndLeave(2), l.watch, l.watchAndLeave, l.watchAndLeave, l.takeNothing, l.cancel, l.cancel,
	} {
		all.Go(func() { one(ctx) })
	}
	for range 10 {
		all.Go(func() { l.half(ctx) })
	}
	all.Wait()
}

// useKey uses a key without pause: it is what a doubt about any key would stop.
func (l *leavers) useKey(ctx context.Context) {
	c := kms.NewFromConfig(l.normal.Mail.Server().V2(l.p.Root))
	key, err := c.CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		l.report("a key that nobody else alters: %v", err)
		return
	}
	for ctx.Err() == nil {
		_, err := c.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: key.KeyMetadata.KeyId, KeySpec: types.DataKeySpecAes256})
		if err != nil && ctx.Err() == nil {
			l.report("a key that nobody else alters: %v", err)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// stay films without leaving: nothing may break the connection.
func (l *leavers) stay(ctx context.Context) {
	c := l.cameras[0]
	p, err := l.p.PutMedia(context.WithoutCancel(ctx), l.p.Root, c.name)
	if err != nil {
		l.report("%s: %v", c.name, err)
		return
	}
	defer p.Cut()
	if _, err := p.Write(rig.Header()); err != nil {
		l.report("%s: %v", c.name, err)
	}
	for ctx.Err() == nil {
		c.next += fragmentAge
		began := time.Now()
		a, err := p.Send(rig.Fragment(c.next, rig.Frames(c.name, c.next, frames, frameBytes)))
		if err != nil || time.Since(began) > bound {
			l.report("%s at %d: after %v: %v", c.name, c.next, time.Since(began), err)
			return
		}
		c.promise[c.next] = a.FragmentNumber
		time.Sleep(2 * time.Millisecond)
	}
}

// filmAndLeave films, and leaves at any byte.
func (l *leavers) filmAndLeave(i int) func(context.Context) {
	c := l.cameras[i]
	return func(ctx context.Context) {
		for ctx.Err() == nil {
			l.filmOnce(ctx, c)
		}
	}
}

func (l *leavers) filmOnce(ctx context.Context, c *camera) {
	p, err := l.p.PutMedia(context.WithoutCancel(ctx), l.p.Root, c.name)
	if err != nil {
		l.report("%s: %v", c.name, err)
		return
	}
	defer p.Cut()
	heard := make(chan struct{})
	go func() { defer close(heard); c.listen(p) }()
	defer func() { p.Cut(); <-heard }()
	text := rig.Header()
	for range 3 {
		c.next += fragmentAge
		text = append(text, rig.Fragment(c.next, rig.Frames(c.name, c.next, frames, frameBytes))...)
	}
	_, _ = p.Write(text[:l.dice.IntN(len(text)+1)]) // what was not promised may be lost
	time.Sleep(time.Duration(l.dice.IntN(40)) * time.Millisecond)
}

// watch is a viewer who stays, on a stream with one who leaves: each of his connections is let in, and gets media.
func (l *leavers) watch(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		all, err := l.look(ctx, l.cameras[0].name, func(body io.Reader) ([]*rig.Received, error) { return rig.ReadMedia(body, 2) })
		if ctx.Err() == nil && (err != nil || len(all) < 2 || time.Since(began) > bound) {
			l.report("viewer: %d fragments, %v, after %v", len(all), err, time.Since(began))
			return
		}
	}
}

// watchAndLeave takes some bytes and goes.
func (l *leavers) watchAndLeave(ctx context.Context) {
	for ctx.Err() == nil {
		one, leave := context.WithTimeout(ctx, time.Duration(l.dice.IntN(20_000))*time.Microsecond)
		_, _ = l.look(one, l.cameras[1].name, func(body io.Reader) ([]*rig.Received, error) {
			_, err := io.CopyN(io.Discard, body, int64(l.dice.IntN(20_000)))
			return nil, err
		})
		leave()
		time.Sleep(5 * time.Millisecond)
	}
}

// takeNothing asks for media, and takes none of it.
func (l *leavers) takeNothing(ctx context.Context) {
	_, _ = l.look(ctx, l.cameras[0].name, func(io.Reader) ([]*rig.Received, error) { // there may be no place for it
		<-ctx.Done()
		return nil, nil
	})
}

// look is one GetMedia, live.
func (l *leavers) look(ctx context.Context, stream string, read func(io.Reader) ([]*rig.Received, error)) ([]*rig.Received, error) {
	body := fmt.Appendf(nil, `{"StreamName":%q,"StartSelector":{"StartSelectorType":"NOW"}}`, stream)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.p.Media+"/getMedia", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	sigv4.Sign(r, sigv4.HashBody(body), l.p.Root, l.p.Region, "kinesisvideo", time.Now())
	resp, err := l.p.HTTP.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(resp.Body)
		return nil, errors.Join(fmt.Errorf("%s: %s", resp.Status, text), err)
	}
	return read(resp.Body)
}

// cancel resets streams of HTTP/2, of calls that change something and of such that do not.
func (l *leavers) cancel(ctx context.Context) {
	keys, video := kms.NewFromConfig(l.p.V2(l.p.Root)), kinesisvideo.NewFromConfig(l.p.V2(l.p.Root))
	key, err := keys.CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		l.report("key: %v", err)
		return
	}
	id, stream := key.KeyMetadata.KeyId, &l.cameras[2].name
	calls := []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := keys.DisableKey(ctx, &kms.DisableKeyInput{KeyId: id})
			return err
		},
		func(ctx context.Context) error {
			_, err := keys.EnableKey(ctx, &kms.EnableKeyInput{KeyId: id})
			return err
		},
		func(ctx context.Context) error {
			_, err := keys.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: id, KeySpec: types.DataKeySpecAes256})
			return err
		},
		func(ctx context.Context) error {
			_, err := video.TagStream(ctx, &kinesisvideo.TagStreamInput{StreamName: stream, Tags: map[string]string{"a": "b"}})
			return err
		},
		func(ctx context.Context) error {
			_, err := video.UpdateDataRetention(ctx, &kinesisvideo.UpdateDataRetentionInput{
				StreamName: stream, DataRetentionChangeInHours: aws.Int32(1), Operation: "INCREASE_DATA_RETENTION",
			})
			return err
		},
	}
	for ctx.Err() == nil {
		one, leave := context.WithTimeout(ctx, time.Duration(l.dice.IntN(4000))*time.Microsecond)
		_ = calls[l.dice.IntN(len(calls))](one)
		leave()
		time.Sleep(5 * time.Millisecond)
	}
}

// half sends half a request, to one listener or another, and waits.
func (l *leavers) half(ctx context.Context) {
	to := []string{l.p.API, l.p.Media, l.p.Device}[l.dice.IntN(3)]
	conn, err := dial(l.p, to)
	if err != nil {
		l.report("%s: %v", to, err)
		return
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, half[:1+l.dice.IntN(len(half))]); err != nil {
		l.report("%s: %v", to, err)
	}
	<-ctx.Done()
}
