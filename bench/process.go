// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	kvapi "github.com/obscura-video/obscura/internal/awsapi/kinesisvideo"
	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/server"
	"github.com/obscura-video/obscura/internal/sigv4"
)

// target is a running server, with what a client needs to use it.
type target struct {
	cmd   *exec.Cmd
	dir   string
	at    server.Endpoints
	roots *x509.CertPool
	creds sigv4.Credentials
}

// startTimeout is ample: a start takes well below a second.
const startTimeout = 30 * time.Second

// startTarget starts the server over a new data directory.
func startTarget(o options) (*target, error) {
	dir, err := os.MkdirTemp(o.dir, "obscura-bench-")
	if err != nil {
		return nil, err
	}
	t, err := startIn(o, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return t, nil
}

// startIn starts the server over the folder data in dir.
func startIn(o options, dir string) (*target, error) {
	t := &target{dir: dir}
	if err := t.launch(o); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *target) data() string { return filepath.Join(t.dir, "data") }

// launch starts the server over the data directory, which is made when there is none, and waits until it is ready.
func (t *target) launch(o options) error {
	var err error
	if t.cmd, err = serverCommand(o, t.data()); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(t.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	t.cmd.Stderr = log
	if err := t.cmd.Start(); err != nil {
		return err
	}
	if err := t.await(); err != nil {
		text, _ := os.ReadFile(filepath.Join(t.dir, "log"))
		return errors.Join(fmt.Errorf("start %s: %w\n%s", o.binary, err, text), stopProcess(t.cmd))
	}
	return nil
}

func serverCommand(o options, data string) (*exec.Cmd, error) {
	if o.profiles == "" {
		return exec.Command(o.binary, "serve", "--data", data, "--log-level", "warn",
			"--listen-api", "127.0.0.1:0", "--listen-media", "127.0.0.1:0", "--listen-device", "off", "--listen-admin", "127.0.0.1:0"), nil
	}
	self, err := os.Executable()
	return exec.Command(self, profiledRole, data, o.profiles), err
}

// await waits until the server is ready, and reads where it is and its root credentials.
func (t *target) await() (err error) {
	data := t.data()
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(5 * time.Millisecond) {
		if t.at, err = server.ReadEndpoints(data); err == nil && t.at.PID == t.cmd.Process.Pid {
			resp, failed := http.Get(t.at.Admin + "/readyz")
			if failed == nil {
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					break
				}
			}
		}
		if time.Now().After(deadline) {
			return errors.Join(errors.New("not ready in time"), err)
		}
	}
	pem, err := os.ReadFile(t.at.CAFile)
	if err != nil {
		return err
	}
	t.roots = x509.NewCertPool()
	t.roots.AppendCertsFromPEM(pem)
	return t.readCredentials(filepath.Join(data, "credentials"))
}

func (t *target) readCredentials(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, "=")
		switch value = strings.TrimSpace(value); strings.TrimSpace(name) {
		case "aws_access_key_id":
			t.creds.AccessKeyID = value
		case "aws_secret_access_key":
			t.creds.SecretAccessKey = value
		}
	}
	return nil
}

// stop ends the server and removes its data.
func (t *target) stop() error {
	err := stopProcess(t.cmd)
	return errors.Join(err, os.RemoveAll(t.dir))
}

func stopProcess(cmd *exec.Cmd) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	if errors.As(err, new(*exec.ExitError)) {
		return nil // by the signal
	}
	return err
}

// memory returns the resident memory of the server in MiB, and what of it is not backed by files.
func (t *target) memory() (resident, anonymous float64, err error) {
	if resident, err = t.status("VmRSS:"); err == nil {
		anonymous, err = t.status("RssAnon:")
	}
	return resident, anonymous, err
}

// status returns one of the sizes in the process's status, in MiB.
func (t *target) status(name string) (float64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(t.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == name {
			kib, err := strconv.ParseFloat(fields[1], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("process has no %s", name)
}

// client returns the caller of a service's API at endpoint.
func (t *target) client(service, endpoint string, h *http.Client) protocol.Client {
	return newClient(endpoint, h, t.creds, t.at.Region, service)
}

// newClient is the client of both sides: it signs for the ceiling, too.
func newClient(endpoint string, h *http.Client, creds sigv4.Credentials, region, service string) protocol.Client {
	return protocol.Client{Endpoint: endpoint, HTTP: h, Sign: func(r *http.Request, payload []byte) error {
		sigv4.Sign(r, sigv4.HashBody(payload), creds, region, service, time.Now())
		return nil
	}}
}

// newHTTP makes a client with one connection for each of conns over HTTP/1.1, or with one for all over HTTP/2.
func newHTTP(roots *x509.CertPool, conns int, http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		MaxIdleConnsPerHost: conns,
		Protocols:           protocols,
		DisableCompression:  true,
	}}
}

// createStreams makes streams that keep what they get for a day.
func (t *target) createStreams(n int) ([]string, error) {
	h := newHTTP(t.roots, 1, false)
	defer h.CloseIdleConnections()
	kv := kvapi.NewClient(t.client("kinesisvideo", t.at.API, h))
	names := make([]string, n)
	for i := range names {
		names[i] = "camera-" + strconv.Itoa(i)
		_, err := kv.CreateStream(context.Background(), &kvapi.CreateStreamInput{
			StreamName: &names[i], DataRetentionInHours: new(int64(24)), MediaType: new("video/h264"),
		})
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

// control is the running ceiling.
type control struct {
	cmd *exec.Cmd
	dir string
	controlAddresses
	roots *x509.CertPool
}

// controlAddresses is what the ceiling prints when it is ready.
type controlAddresses struct {
	Sink, Relay, Echo string // host:port
	Certificate       []byte // DER
}

// startControl starts this program anew, as the ceiling.
func startControl(o options) (*control, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.dir, "obscura-bench-")
	if err != nil {
		return nil, err
	}
	c := &control{dir: dir, cmd: exec.Command(self, ceilingRole, dir)}
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil || errors.Is(err, io.EOF) {
		err = json.Unmarshal(line, &c.controlAddresses)
	}
	cert, certErr := x509.ParseCertificate(c.Certificate)
	if err := errors.Join(err, certErr); err != nil {
		return nil, errors.Join(fmt.Errorf("start ceiling: %w", err), c.stop())
	}
	c.roots = x509.NewCertPool()
	c.roots.AddCert(cert)
	return c, nil
}

func (c *control) stop() error { return errors.Join(stopProcess(c.cmd), os.RemoveAll(c.dir)) }

// startBoth starts server and ceiling.
func startBoth(o options) (*target, *control, func(), error) {
	t, err := startTarget(o)
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := startControl(o)
	if err != nil {
		return nil, nil, nil, errors.Join(err, t.stop())
	}
	return t, c, func() { _, _ = t.stop(), c.stop() }, nil
}

// hostOf is the host and port of an endpoint.
func hostOf(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	return u.Host, nil
}
