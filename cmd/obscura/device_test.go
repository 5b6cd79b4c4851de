// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/producer"
)

// serveDevices runs a server until the test ends and returns its data directory and device endpoint.
func serveDevices(t *testing.T) (data, endpoint string) {
	t.Helper()
	free := server.Listener{Listen: "127.0.0.1:0"}
	data = filepath.Join(t.TempDir(), "data")
	s, err := server.Open(t.Context(), server.Config{
		Data: data, FreeSpace: -1, API: free, Media: free, Device: free, Admin: server.Listener{Listen: server.Off},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return data, strings.TrimPrefix(s.Endpoints().Device, "https://")
}

// obscura runs a command and returns its exit code and its answer.
func obscura(t *testing.T, stdin string, args ...string) (code int, out string) {
	t.Helper()
	dir := t.TempDir()
	var files [3]*os.File
	for i, name := range []string{"in", "out", "err"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	if _, err := files[0].WriteString(stdin); err != nil {
		t.Fatal(err)
	}
	if _, err := files[0].Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	code = run(args, files[0], files[1], files[2])
	text, err := os.ReadFile(files[1].Name())
	if err != nil {
		t.Fatal(err)
	}
	if msg, _ := os.ReadFile(files[2].Name()); code != 0 {
		t.Logf("%s: exit %d\n%s", strings.Join(args, " "), code, msg)
	}
	return code, string(text)
}

func credentialsOf(t *testing.T, dir string) error {
	t.Helper()
	d, err := deviceConnection(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.conn.credentials(t.Context())
	return err
}

func TestDeviceIsInvitedEnrolsRenewsAndIsRevoked(t *testing.T) {
	t.Parallel()
	data, endpoint := serveDevices(t)
	_, other := serveDevices(t)
	dir := filepath.Join(t.TempDir(), "door")
	expect := func(want int, stdin string, args ...string) string {
		t.Helper()
		code, out := obscura(t, stdin, append([]string{"device"}, args...)...)
		if code != want {
			t.Fatalf("%v: exit %d, want %d", args, code, want)
		}
		return out
	}
	token := expect(exitDone, "", "invite", "door", "--data", data)
	expect(exitUsage, "nonsense", "enroll", "--token-file", "-", "--endpoint", endpoint, "--dir", dir)
	expect(exitDamaged, token, "enroll", "--token-file", "-", "--endpoint", other, "--dir", dir) // somebody in between
	expect(exitDone, token, "enroll", "--token-file", "-", "--endpoint", endpoint, "--dir", dir)
	expect(exitConflict, token, "enroll", "--token-file", "-", "--endpoint", endpoint, "--dir", dir)
	expect(exitRefused, token, "enroll", "--token-file", "-", "--endpoint", endpoint, "--dir", dir+"2")
	if _, err := os.Stat(dir + "2"); err == nil {
		t.Error("a refused token left a folder")
	}
	if err := credentialsOf(t, dir); err != nil {
		t.Error(err)
	}
	key, _ := os.ReadFile(filepath.Join(dir, deviceKeyFile))
	expect(exitDone, "", "renew", "--dir", dir)
	if same, _ := os.ReadFile(filepath.Join(dir, deviceKeyFile)); string(same) != string(key) {
		t.Error("renewed although it was not due")
	}
	expect(exitDone, "", "renew", "--dir", dir, "--now")
	if same, _ := os.ReadFile(filepath.Join(dir, deviceKeyFile)); string(same) == string(key) {
		t.Error("the key is the old one")
	}
	if err := credentialsOf(t, dir); err != nil {
		t.Error(err)
	}
	if out := expect(exitDone, "", "list", "--data", data); strings.Count(out, "door\tACTIVE") != 2 {
		t.Errorf("listed %q", out)
	}
	expect(exitDone, "", "revoke", "door", "--data", data)
	if err := credentialsOf(t, dir); err == nil {
		t.Error("credentials after the revocation")
	}
	expect(exitRefused, "", "renew", "--dir", dir, "--now")
	expect(exitNotFound, "", "revoke", "yard", "--data", data)
}

func TestRenewalSurvivesAPowerCutAtEveryStep(t *testing.T) {
	t.Parallel()
	data, endpoint := serveDevices(t)
	_, token := obscura(t, "", "device", "invite", "door", "--data", data)
	dir := filepath.Join(t.TempDir(), "door")
	if code, _ := obscura(t, token, "device", "enroll", "--token-file", "-", "--endpoint", endpoint, "--dir", dir); code != 0 {
		t.Fatal("not enrolled")
	}
	read := func() (pair [2]string) {
		for i, name := range []string{deviceKeyFile, deviceCertFile} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			pair[i] = string(text)
		}
		return pair
	}
	before := read()
	if code, _ := obscura(t, "", "device", "renew", "--dir", dir, "--now"); code != 0 {
		t.Fatal("not renewed")
	}
	after := read()
	for name, files := range map[string]map[string]string{
		"the next key is written":         {"device.key": before[0], "device.pem": before[1], "device.key.next": after[0]},
		"both are written":                {"device.key": before[0], "device.pem": before[1], "device.key.next": after[0], "device.pem.next": after[1]},
		"the key is in place":             {"device.key": after[0], "device.pem": before[1], "device.pem.next": after[1]},
		"both are in place":               {"device.key": after[0], "device.pem": after[1]},
		"leftovers of an older way there": {"device.key": after[0], "device.pem": after[1], "device.pem.next": before[1]},
	} {
		for _, f := range []string{"device.key", "device.pem", "device.key.next", "device.pem.next"} {
			os.Remove(filepath.Join(dir, f))
		}
		for f, text := range files {
			if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := credentialsOf(t, dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDeviceCredentialsAreKeptWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	data, endpoint := serveDevices(t)
	_, token := obscura(t, "", "device", "invite", "door", "--data", data)
	dir := filepath.Join(t.TempDir(), "door")
	obscura(t, token, "device", "enroll", "--token-file", "-", "--endpoint", endpoint, "--dir", dir)
	d, err := openDeviceFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := &deviceCredentials{folder: d, now: func() time.Time { return now }}
	first, err := c.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.endpoint.CredentialEndpoint = "127.0.0.1:1"
	now = c.expires.Add(-time.Minute)
	if again, err := c.get(t.Context()); err != nil || again != first {
		t.Errorf("a minute before their end: %v", err)
	}
	now = c.expires
	if _, err := c.get(t.Context()); err == nil {
		t.Error("credentials after their end")
	}
}

// TestRunningCameraRenewsItsCertificate: whoever obtains credentials in the last third of the certificate's life gets a
// new certificate too; a renewal that fails is told, and costs nothing before the end.
func TestRunningCameraRenewsItsCertificate(t *testing.T) {
	t.Parallel()
	data, endpoint := serveDevices(t)
	_, token := obscura(t, "", "device", "invite", "door", "--data", data)
	dir := filepath.Join(t.TempDir(), "door")
	obscura(t, token, "device", "enroll", "--token-file", "-", "--endpoint", endpoint, "--dir", dir)
	d, err := openDeviceFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	now := d.pair.Leaf.NotAfter.Add(-31 * 24 * time.Hour) // of 90 days
	c := &deviceCredentials{folder: d, now: func() time.Time { return now }, log: slog.New(slog.NewTextHandler(&log, nil))}
	serial := func() string { return d.pair.Leaf.SerialNumber.String() }
	first := serial()
	get := func() {
		t.Helper()
		now = now.Add(time.Hour) // the credentials end within that
		if _, err := c.get(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	get()
	if serial() != first {
		t.Fatal("renewed before its time")
	}
	now = now.Add(48 * time.Hour)
	get()
	if serial() == first {
		t.Fatal("not renewed in the last third of its life")
	}
	again, err := openDeviceFolder(dir)
	if err != nil || again.pair.Leaf.SerialNumber.String() != serial() {
		t.Errorf("the folder holds another certificate: %v", err)
	}
	if log.Len() > 0 {
		t.Errorf("warned: %s", &log)
	}
}

// TestFailedRenewalIsTold: the camera goes on, and says what the operator has to know while there is time.
func TestFailedRenewalIsTold(t *testing.T) {
	t.Parallel()
	data, endpoint := serveDevices(t)
	_, token := obscura(t, "", "device", "invite", "door", "--data", data)
	dir := filepath.Join(t.TempDir(), "door")
	obscura(t, token, "device", "enroll", "--token-file", "-", "--endpoint", endpoint, "--dir", dir)
	d, err := openDeviceFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	now := d.pair.Leaf.NotAfter.Add(-time.Hour)
	c := &deviceCredentials{folder: d, now: func() time.Time { return now }, log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := os.Chmod(dir, 0o500); err != nil { // the next pair cannot be written
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	if os.Getuid() == 0 { // to whom the mode says nothing
		if err := os.MkdirAll(filepath.Join(dir, deviceKeyFile+nextSuffix, "in the way"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.get(t.Context()); err != nil {
		t.Fatalf("the certificate is good for another hour: %v", err)
	}
	if !strings.Contains(log.String(), "was not renewed") {
		t.Errorf("log: %q", &log)
	}
}

// TestCameraSendsAsADevice: by its certificate alone, to the stream of its own name; nobody has given it an access key.
func TestCameraSendsAsADevice(t *testing.T) {
	t.Parallel()
	data, endpoint := serveDevices(t)
	_, token := obscura(t, "", "device", "invite", "door", "--data", data)
	dir := filepath.Join(t.TempDir(), "door")
	obscura(t, token, "device", "enroll", "--token-file", "-", "--endpoint", endpoint, "--dir", dir)
	mustRun(t, "camera", "--device", dir, "--input", "demo", "--fast")
	file := filepath.Join(t.TempDir(), "a.mkv")
	mustRun(t, "view", "--data", data, "--stream", "door", "--from", "earliest", "--until-idle", idle, "--output", file)
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sameFrames(t, got, demoClip)
	if code, _, stderr := command(t, "camera", "--device", dir, "--stream", "yard", "--input", "demo", "--fast"); code != exitRefused {
		t.Errorf("another's stream: exit %d\n%s", code, stderr)
	}
	obscura(t, "", "device", "revoke", "door", "--data", data)
	if code, _, stderr := command(t, "camera", "--device", dir, "--input", "demo", "--fast"); code != exitRefused || !strings.Contains(stderr, "revoked") {
		t.Errorf("after its revocation: exit %d\n%s", code, stderr)
	}
	// One that streams has credentials still, which the server refuses.
	to, err := deviceConnection(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	told := to.conn.explain("cannot stream", "door", &producer.ResponseError{Code: "UnrecognizedClientException", Message: "The security token included in the request is invalid."})
	if p, ok := told.(*problem); !ok || p.Exit != exitRefused || !strings.Contains(p.Why, "revoked") {
		t.Errorf("while it streams: %v", told)
	}
}
