// SPDX-License-Identifier: Apache-2.0

package power_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/obscura-video/obscura/internal/access"
	api "github.com/obscura-video/obscura/internal/awsapi/mailbox"
	"github.com/obscura-video/obscura/internal/service/mailbox"
	"github.com/obscura-video/obscura/internal/vfstest"
)

// permit allows everything.
type permit struct{}

// Authorize implements access.Authorizer.
func (permit) Authorize(context.Context, access.Request) error { return nil }

// post is the body of object i: up to three rows, and never the same.
func post(i int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "object %d. ", i), 1+i*2654435761>>4%20_000)
}

func postKey(i int) string { return fmt.Sprintf("grant/%d", i) }

// postCut is a disk after a power cut, and how many objects had been acknowledged before.
type postCut struct {
	fs    *vfs.MemFS
	acked int
}

// runMailbox puts objects, and deletes every fourth of them, while the power is cut.
func runMailbox(t *testing.T, dice *vfstest.Dice, cuts int, lie func(vfs.FS) vfs.FS) (list []postCut) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	s, err := openStores(vfstest.WithWriteBack(lie(mem), dice.IntN(60), dice), 0, func(err error) { t.Errorf("fatal: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	service := mailbox.New(mailbox.Config{DB: s.db, Authorizer: permit{}})
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	acked := 0
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ctx.Err() == nil; i++ {
			if _, err := service.PutObject(t.Context(), &api.PutObjectInput{Box: new("home"), Key: new(postKey(i)), Body: post(i)}); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			acked = i
			mu.Unlock()
			if i%4 == 0 {
				if _, err := service.DeleteObject(t.Context(), &api.DeleteObjectInput{Box: new("home"), Key: new(postKey(i))}); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for range cuts {
		time.Sleep(time.Duration(dice.IntN(8000)) * time.Microsecond)
		mu.Lock()
		n := acked
		mu.Unlock()
		list = append(list, postCut{mem.CrashClone(vfs.CrashCloneCfg{}), n})
	}
	cancel()
	wg.Wait()
	return list
}

// judgeMailbox says what is wrong with a disk, given what was acknowledged.
func judgeMailbox(c postCut) (wrong []string) {
	s, err := openStores(c.fs, 0, nil)
	if err != nil {
		return []string{"open: " + err.Error()}
	}
	defer s.close()
	service := mailbox.New(mailbox.Config{DB: s.db, Authorizer: permit{}})
	ctx := context.Background()
	for i := 1; i <= c.acked; i++ {
		out, err := service.GetObject(ctx, &api.GetObjectInput{Box: new("home"), Key: new(postKey(i))})
		switch {
		case err != nil && i%4 == 0: // was deleted
		case err != nil:
			wrong = append(wrong, fmt.Sprintf("object %d is lost: %v", i, err))
		case i%4 == 0 && i+1 <= c.acked:
			wrong = append(wrong, fmt.Sprintf("object %d is back", i))
		case !bytes.Equal(out.Body, post(i)):
			wrong = append(wrong, fmt.Sprintf("object %d was changed", i))
		}
	}
	if _, err := mailbox.Check(ctx, s.db, func(what string) { wrong = append(wrong, what) }); err != nil {
		wrong = append(wrong, err.Error())
	}
	return wrong
}

// TestAcknowledgedObjectsSurvivePowerCuts: what PutObject has answered is there, whole, and what DeleteObject has
// answered is not; and no cut leaves half of either.
func TestAcknowledgedObjectsSurvivePowerCuts(t *testing.T) {
	dice := crashDice(t)
	acked, cuts := 0, 0
	for range max(1, powerCuts()/50) {
		for _, c := range runMailbox(t, dice, 5, honest) {
			for _, problem := range judgeMailbox(c) {
				t.Errorf("after a cut with %d acknowledged: %s", c.acked, problem)
			}
			cuts, acked = cuts+1, acked+c.acked
		}
	}
	if acked == 0 {
		t.Error("nothing was acknowledged")
	}
	t.Logf("%d cuts, %d acknowledged objects, none lost", cuts, acked)
}

// TestControlMailboxWithoutSync: the same on a disk that lies about its syncs must be found out.
func TestControlMailboxWithoutSync(t *testing.T) {
	dice := crashDice(t)
	lie := func(fs vfs.FS) vfs.FS {
		return vfstest.WithoutSync(fs, func(p string) bool { return strings.HasSuffix(p, ".log") })
	}
	for range 20 {
		for _, c := range runMailbox(t, dice, 5, lie) {
			for _, problem := range judgeMailbox(c) {
				if strings.Contains(problem, "is lost") {
					return
				}
			}
		}
	}
	t.Error("nobody noticed that acknowledged objects were lost")
}
