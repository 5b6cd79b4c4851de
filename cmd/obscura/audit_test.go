// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/audit"
	trailapi "github.com/obscura-video/obscura/internal/awsapi/cloudtrail"
	"github.com/obscura-video/obscura/internal/server"
)

// serveAt runs a server whose clock is off by some time until stop.
func serveAt(t *testing.T, data string, off time.Duration) (stop func()) {
	t.Helper()
	any := server.Listener{Listen: "127.0.0.1:0"}
	s, err := server.Open(t.Context(), server.Config{
		Data: data, API: any, Media: any, Device: server.Listener{Listen: server.Off}, Admin: server.Listener{Listen: server.Off},
		FreeSpace: -1, Now: func() time.Time { return time.Now().Add(off) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(data, "control.sock")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not answer")
		}
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// report is what `obscura audit verify --json` prints.
func report(t *testing.T, args ...string) (r server.AuditReport) {
	t.Helper()
	if err := json.Unmarshal([]byte(mustRun(t, append([]string{"audit", "verify", "--json"}, args...)...)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAuditFromTheCommandLine(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	stop := serveAt(t, data, -3*time.Hour)
	if code, _, stderr := command(t, "audit", "keys", "--data", data); code != exitNotFound || !strings.Contains(stderr, "no key yet") {
		t.Errorf("keys before the first digest: exit %d, %s", code, stderr)
	}
	for deadline := time.Now().Add(time.Minute); report(t, "--data", data).Digests == 0; time.Sleep(50 * time.Millisecond) {
		stop() // the chain of digests begins with the first look at the clock, which may still be to come
		stop = serveAt(t, data, 0)
		if time.Now().After(deadline) {
			t.Fatal("no digest was made")
		}
	}
	defer func() { stop() }()
	lookedUp(t, data)

	pins := filepath.Join(t.TempDir(), "pins")
	if err := os.WriteFile(pins, []byte(mustRun(t, "audit", "keys", "--data", data)), 0o600); err != nil {
		t.Fatal(err)
	}
	r := report(t, "--data", data, "--keys", pins)
	if !r.Pinned || !r.Running || r.Digests < 2 || r.Keys != 1 || r.Events == 0 {
		t.Fatalf("%+v", r)
	}
	if err := os.WriteFile(pins, []byte(mustRun(t, "audit", "keys", "--data", data, "--json")), 0o600); err != nil {
		t.Fatal(err)
	}
	end := fmt.Sprintf("%d:%s", r.End.Block, strings.ToUpper(r.End.Hash))
	report(t, "--data", data, "--keys", pins, "--expect", r.NewestHash, "--expect", end, "--from", "-2h")
	if text := mustRun(t, "audit", "verify", "--data", data); text != "ok\t"+data+"\n" {
		t.Errorf("%q", text)
	}

	code, stdout, stderr := command(t, "audit", "verify", "--data", data, "--expect", r.End.Hash)
	if code != exitDamaged || !strings.HasPrefix(stdout, "FAIL\tdigest\t\t\t\t\t"+r.End.Hash+"\t") || !strings.Contains(stderr, "not as it was written") {
		t.Errorf("a digest that is not there: exit %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ = command(t, "audit", "verify", "--data", data, "--expect", "1:"+r.NewestHash)
	if code != exitDamaged || !strings.HasPrefix(stdout, "FAIL\tevent\t1") {
		t.Errorf("an end that is not there: exit %d\n%s", code, stdout)
	}
	strange, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pins, []byte(base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&strange.PublicKey))), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ = command(t, "audit", "verify", "--data", data, "--keys", pins); code != exitDamaged || !strings.Contains(stdout, "key was replaced") {
		t.Errorf("another key: exit %d\n%s", code, stdout)
	}
	if code, _, _ = command(t, "audit", "verify", "--data", data, "--expect", "x"); code != exitUsage {
		t.Errorf("nonsense is expected: exit %d", code)
	}
	if code, _, _ = command(t, "audit", "verify", "--data", data, "--keys", data+"/FORMAT"); code != exitFailed {
		t.Errorf("no file of keys: exit %d", code)
	}
	to := filepath.Join(t.TempDir(), "record")
	if text := mustRun(t, "audit", "export", "--data", data, "--to", to); !strings.HasPrefix(text, to+"\t") {
		t.Errorf("%q", text)
	}
}

// lookedUp looks something up until that itself is on the record.
func lookedUp(t *testing.T, data string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); mustRun(t, "audit", "lookup", "--data", data) == ""; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is recorded")
		}
	}
}

func TestAuditLookupFindsWhoDidWhat(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	stop := serveIn(t, data)
	defer stop()
	lookedUp(t, data)
	for name, want := range map[string]struct {
		args  []string
		found bool
	}{
		"all":                   {nil, true},
		"by user":               {[]string{"--user", "root"}, true},
		"by another user":       {[]string{"--user", "ana"}, false},
		"by two conditions":     {[]string{"--user", "root", "--name", "LookupEvents", "--source", "cloudtrail"}, true},
		"one of two is wrong":   {[]string{"--user", "root", "--name", "DeleteTrail"}, false},
		"denied alone":          {[]string{"--denied"}, false},
		"changes alone":         {[]string{"--changes"}, false},
		"of before":             {[]string{"--until", "-1h"}, false},
		"since":                 {[]string{"--from", "-1h", "--limit", "1"}, true},
		"of a resource, a type": {[]string{"--resource", "x", "--type", "AWS::KMS::Key"}, false},
	} {
		out := mustRun(t, append([]string{"audit", "lookup", "--data", data}, want.args...)...)
		if (out != "") != want.found {
			t.Errorf("%s: %q", name, out)
		}
		if want.found && len(strings.Split(strings.TrimSuffix(strings.SplitN(out, "\n", 2)[0], "\n"), "\t")) != 7 {
			t.Errorf("%s: columns of %q", name, out)
		}
	}
	var e struct{ EventName string }
	if err := json.Unmarshal([]byte(mustRun(t, "audit", "lookup", "--data", data, "--json", "--limit", "1")), &e); err != nil || e.EventName != "LookupEvents" {
		t.Errorf("%v %+v", err, e)
	}
}

// TestNamesOnRecordStayInTheirColumn: a name that an identity provider chose is neither another event nor a command to
// the terminal; nor is one that somebody has written into the record.
func TestNamesOnRecordStayInTheirColumn(t *testing.T) {
	name := "eve\x1b]0;x\x07\n2026-11-29T00:00:00Z\tana"
	file := filepath.Join(t.TempDir(), "out")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	term := newTerminal(os.Stdin, out, os.Stderr)
	e := &trailapi.Event{Username: &name, EventId: new("id"), Resources: []*trailapi.Resource{{ResourceName: &name}}}
	if err := showEvent(term, e, &shownEvent{}); err != nil {
		t.Fatal(err)
	}
	event, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{strings.TrimSuffix(string(event), "\n"), faultLine(term, &audit.Fault{EventName: name, Reason: name})} {
		if strings.ContainsAny(line, "\n\x1b\x07") || strings.Count(line, "\t") > 7 || !strings.Contains(line, "eve") {
			t.Errorf("%q", line)
		}
	}
}
