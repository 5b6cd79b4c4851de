// SPDX-License-Identifier: Apache-2.0

//go:build unix

package household

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/obscura-video/obscura/internal/sigv4"
)

// policies reads the policies that docs/end-to-end.md gives, by what they are for.
func policies(t *testing.T) map[string][]any {
	t.Helper()
	text, err := os.ReadFile("../../docs/end-to-end.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]any{}
	for _, m := range regexp.MustCompile("(?s)```json (\\w+)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		var p struct{ Statement []any }
		if err := json.Unmarshal([]byte(m[2]), &p); err != nil {
			t.Fatalf("%s: %v", m[1], err)
		}
		all[m[1]] = p.Statement
	}
	return all
}

func document(t *testing.T, statements ...[]any) string {
	t.Helper()
	var all []any
	for _, s := range statements {
		all = append(all, s...)
	}
	b, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": all})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// as runs the program with a user's access key, on a machine without the server's data.
func (m *machine) as(k sigv4.Credentials, device string, args ...string) (stdout, stderr string, code int) {
	m.t.Helper()
	cmd := m.command(device, append(args, "--endpoint", m.serverProcess.API, "--ca", m.serverProcess.CAFile)...)
	cmd.Env = append(cmd.Env, "AWS_ACCESS_KEY_ID="+k.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+k.SecretAccessKey, "AWS_REGION="+m.serverProcess.Region)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// pairedByCode has a device join by the letters of its code, each side with its own access key.
func (m *machine) pairedByCode(owner, device sigv4.Credentials, folder string, pair ...string) {
	m.t.Helper()
	code := make(chan string, 1)
	done := make(chan string, 1)
	cmd := m.command(folder, append(pair, "--text", "--endpoint", m.serverProcess.API, "--ca", m.serverProcess.CAFile)...)
	cmd.Env = append(cmd.Env, "AWS_ACCESS_KEY_ID="+device.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+device.SecretAccessKey, "AWS_REGION="+m.serverProcess.Region)
	m.codeOf(cmd, code, done)
	m.write("code", <-code)
	out, errs, status := m.as(owner, "ana", "pair", "admit", "--code-file", m.path("code"), "--yes")
	if ended := <-done; status != 0 || !strings.Contains(ended, "paired.   Undo: ") {
		m.t.Fatalf("admit: status %d\n%s%s\nthe device:\n%s", status, out, errs, ended)
	}
}

func TestLeastPermissionsSuffice(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := policies(t)
	if len(p) != 4 {
		t.Fatalf("the page has %d policies", len(p))
	}
	s := m.serverProcess
	owner := s.User(t, "owner", document(t, p["viewer"], p["owner"]))
	camera := s.User(t, "camera", document(t, p["camera"]))
	viewer := s.User(t, "viewer", document(t, p["viewer"]))
	guest := s.User(t, "guest", document(t, p["guest"]))
	stranger := s.User(t, "stranger", document(t, []any{map[string]any{"Effect": "Allow", "Action": "kinesisvideo:*", "Resource": "*"}}))

	if out, errs, code := m.as(owner, "ana", "keys", "init", "--name", "ana-laptop", "--kit-file", m.path("kit")); code != 0 {
		t.Fatalf("status %d\n%s%s", code, out, errs)
	}
	m.relax("ana")
	m.pairedByCode(owner, camera, "camera", "camera", "pair", "--name", "Front door")
	m.pairedByCode(owner, viewer, "ben", "pair", "--name", "Ben")
	live := m.film("front-door")
	for who, k := range map[string]sigv4.Credentials{"camera": camera, "ben": viewer} {
		if out, errs, code := m.as(k, who, "roster", "show"); code != 0 || strings.Contains(errs, "warning") {
			t.Errorf("%s: status %d\n%s%s", who, code, out, errs)
		}
	}
	link, errs, code := m.as(owner, "ana", "grant", "--stream", "front-door", "--from", "-1m", "--until", "+1s", "--guest")
	if code != 0 {
		t.Fatalf("grant: status %d\n%s", code, errs)
	}
	m.write("link", link)
	for who, view := range map[string]func() (string, string, int){
		"ben": func() (string, string, int) {
			return m.as(viewer, "ben", "view", "--stream", "front-door", "--from", "-1m", "--until", "+1s", "--output", m.path("ben.mkv"))
		},
		"guest": func() (string, string, int) {
			return m.as(guest, "nobody", "view", "--grant", m.path("link"), "--output", m.path("guest.mkv"))
		},
	} {
		if out, errs, code := view(); code != 0 || strings.Contains(errs, "warning") {
			t.Errorf("%s: status %d\n%s%s", who, code, out, errs)
		}
	}
	live.stop()
	_, errs, code = m.as(stranger, "ben", "roster", "show")
	if code != 3 || !strings.Contains(errs, "mailbox:") || !strings.Contains(errs, "obscura help roster") {
		t.Errorf("without permissions: status %d\n%s", code, errs)
	}
	if _, errs, code = m.as(viewer, "ana", "roster", "renew"); code != 3 {
		t.Errorf("an owner's keys with a viewer's access key: status %d\n%s", code, errs)
	}
}

func TestEnrolledCameraIsPaired(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.must("ana", m.server("keys", "init", "--kit-file", m.path("kit"))...)
	invite := m.command("camera", m.server("device", "invite", "door")...)
	invite.Args = invite.Args[:len(invite.Args)-2] // it has no keys
	token, err := invite.Output()
	if err != nil {
		t.Fatal(err)
	}
	m.write("token", string(token))
	enroll := m.command("camera", "device", "enroll", "--token-file", m.path("token"), "--endpoint", m.serverProcess.Device, "--dir", m.path("door"))
	enroll.Args = enroll.Args[:len(enroll.Args)-2]
	if out, err := enroll.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	code, done := make(chan string, 1), make(chan string, 1)
	m.codeOf(m.command("camera", "camera", "pair", "--device", m.path("door"), "--text"), code, done)
	m.write("code", <-code)
	out, errs, status := m.run("ana", m.server("pair", "admit", "--code-file", m.path("code"), "--yes", "--stream", "door")...)
	if ended := <-done; status != 0 || !strings.Contains(ended, "paired.") {
		t.Fatalf("status %d\n%s%s\nthe camera:\n%s", status, out, errs, ended)
	}
	m.must("camera", "roster", "show", "--device", m.path("door"))
}
