// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/obscura-video/obscura/internal/meta/pebble"
)

// The control socket is how the tools beside a running server ask it: GET /status, and POST /checkpoint, which
// lasts for as long as its connection. Who may open it is who may read the data directory: it has mode 0600, in a
// directory of mode 0700. It shows no secret, and changes nothing but, by POST /root/rotate, the root key.

const (
	controlSocket = "control.sock"
	// checkpointDir holds checkpoints of the metadata while they are copied or read.
	checkpointDir = "checkpoint"
	// maxSocketPath is what fits into a socket's address everywhere.
	maxSocketPath = 100
)

// ErrNotRunning says that no server answers in the data directory.
var ErrNotRunning = errors.New("no server is running")

// Status is what a running server says of itself.
type Status struct {
	Endpoints
	RootFile  string    `json:"rootFile"` // absolute
	RootKeyID string    `json:"rootKeyId"`
	TLSCert   string    `json:"tlsCert,omitempty"` // the operator's own
	FreeSpace int64     `json:"freeSpace"`         // floor, bytes
	Started   time.Time `json:"started"`
}

// serveControl serves the control socket until ctx ends. Without it the server works, but its tools do not.
func (s *Server) serveControl(ctx context.Context) {
	l, err := s.listenControl()
	if err != nil {
		s.config.Log.Warn("no control socket: backup and fsck need the server stopped", "error", err)
		return
	}
	started := s.config.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(s.status(started)) })
	mux.HandleFunc("POST /checkpoint", s.handleCheckpoint)
	mux.HandleFunc("POST /root/rotate", s.handleRotate)
	server := s.newHTTPServer(mux)
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	s.work.Go(func() { _ = server.Serve(l) }) // ends by Shutdown
	s.work.Go(func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		_ = server.Shutdown(grace)
		_ = os.Remove(filepath.Join(s.endpoints.Data, controlSocket))
	})
}

// listenControl makes the socket. Whatever lies there is of a process that has died: the store's lock is ours.
func (s *Server) listenControl() (net.Listener, error) {
	data := s.endpoints.Data
	if err := errors.Join(os.RemoveAll(filepath.Join(data, checkpointDir)), os.RemoveAll(filepath.Join(data, controlSocket))); err != nil {
		return nil, err
	}
	path, release, err := socketPath(data)
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // path may be an alias that is gone by then
	return l, os.Chmod(path, 0o600)
}

// socketPath returns a path of the socket that fits into an address, good until release.
func socketPath(data string) (path string, release func(), err error) {
	path = filepath.Join(data, controlSocket)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(data)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), controlSocket), func() { dir.Close() }, nil
}

func (s *Server) status(started time.Time) Status {
	c := s.config
	return Status{
		Endpoints: s.endpoints, RootFile: rootFile(c.Data, c.RootFile), RootKeyID: s.stores.root.ID(),
		TLSCert: c.TLSCert, FreeSpace: c.FreeSpace, Started: started,
	}
}

// rootFile is where the root key lies, as an absolute path.
func rootFile(data, file string) string {
	if file == "" {
		file = filepath.Join(data, "root.key")
	}
	if abs, err := filepath.Abs(file); err == nil {
		return abs
	}
	return file
}

// handleCheckpoint makes a checkpoint of the metadata, answers with the status, and keeps the checkpoint and all
// segments until the client goes away.
func (s *Server) handleCheckpoint(w http.ResponseWriter, r *http.Request) {
	s.stores.copying.RLock()
	defer s.stores.copying.RUnlock()
	dir, err := makeCheckpoint(r.Context(), s.stores.pebble, s.endpoints.Data)
	defer os.RemoveAll(dir)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.config.Log.Info("checkpoint for a copy", "dir", dir)
	if json.NewEncoder(w).Encode(checkpoint{s.status(time.Time{}), dir}) != nil || http.NewResponseController(w).Flush() != nil {
		return
	}
	<-r.Context().Done()
}

// checkpoint is the answer to POST /checkpoint.
type checkpoint struct {
	Status
	Dir string `json:"dir"`
}

// makeCheckpoint makes a checkpoint in a folder of its own in the data directory, where it is made of hard links.
// The caller removes dir, also after an error.
func makeCheckpoint(ctx context.Context, db *pebble.DB, data string) (dir string, err error) {
	parent := filepath.Join(data, checkpointDir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp(parent, ""); err != nil {
		return "", err
	}
	// The store makes the folder itself.
	return dir, errors.Join(os.Remove(dir), db.Checkpoint(ctx, dir))
}

// controlCall asks the running server of a data directory. The caller closes the body.
// Errors: ErrNotRunning; the context's; what the server says.
func controlCall(ctx context.Context, data, method, path string, request io.Reader) (io.ReadCloser, error) {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		socket, release, err := socketPath(data)
		if err != nil {
			return nil, err
		}
		defer release()
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, method, "http://control"+path, request)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%s: %w", data, ErrNotRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("control socket of %s: %w", data, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // what is there has to do
		return nil, fmt.Errorf("the server of %s: %s", data, text)
	}
	return resp.Body, nil
}

// ReadStatus asks the running server of a data directory. Errors: ErrNotRunning.
func ReadStatus(ctx context.Context, data string) (Status, error) {
	var st Status
	body, err := controlCall(ctx, data, http.MethodGet, "/status", nil)
	if err != nil {
		return st, err
	}
	defer body.Close()
	return st, json.NewDecoder(body).Decode(&st)
}

// snapshot is a consistent state of a data directory that stays until end: a checkpoint of the metadata, and at
// least the segments that it refers to.
type snapshot struct {
	meta      string // folder
	running   bool
	rootFile  string // of a running server
	rootKeyID string
	end       func() error
}

// askSnapshot gets a snapshot from the running server. Errors: ErrNotRunning.
func askSnapshot(ctx context.Context, data string) (*snapshot, error) {
	body, err := controlCall(ctx, data, http.MethodPost, "/checkpoint", nil)
	if err != nil {
		return nil, err
	}
	var c checkpoint
	if err := json.NewDecoder(body).Decode(&c); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket of %s: %w", data, err), body.Close())
	}
	return &snapshot{meta: c.Dir, running: true, rootFile: c.RootFile, rootKeyID: c.RootKeyID, end: body.Close}, nil
}

// takeSnapshot makes one of a stopped server's data, or asks the running server for it.
// Errors: ErrNoData, ErrForeign, ErrNewerFormat, ErrInUse.
func takeSnapshot(ctx context.Context, data string) (*snapshot, error) {
	if err := CheckData(data); err != nil {
		return nil, err
	}
	if s, err := askSnapshot(ctx, data); !errors.Is(err, ErrNotRunning) {
		return s, err
	}
	db, err := openExisting(filepath.Join(data, "meta"), pebble.Options{})
	if err != nil {
		return nil, err
	}
	parent := filepath.Join(data, checkpointDir)
	if err := os.RemoveAll(parent); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	dir, err := makeCheckpoint(ctx, db, data)
	end := func() error { return errors.Join(os.RemoveAll(parent), db.Close()) }
	if err != nil {
		return nil, errors.Join(err, end())
	}
	return &snapshot{meta: dir, end: end}, nil
}

// openExisting opens a metadata store. Errors: ErrInUse.
func openExisting(dir string, o pebble.Options) (*pebble.DB, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	db, err := pebble.Open(dir, o)
	if err != nil && isLocked(err) {
		return nil, fmt.Errorf("%s: %w", dir, ErrInUse)
	}
	return db, err
}
