// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/obscura-video/obscura/internal/seal"
)

// The ceiling's wire: frames, each after its length in 4 bytes, big-endian. A frame of length 0 ends a fragment, which
// the sink answers with one byte when it is durable. A relay's connection begins with one frame that holds the role,
// 'P' or 'V', and the camera's name.

// serveCeiling serves all ceilings until the process is stopped.
func serveCeiling(dir string) error {
	cert, der, err := selfSigned()
	if err != nil {
		return err
	}
	s, err := newSink(dir)
	if err != nil {
		return err
	}
	bare, err := primitives()
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	listen := func(protocols ...string) net.Listener {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols})
		if err != nil {
			failed <- err
			return nil
		}
		return l
	}
	sinkAt, relayAt, echoAt := listen(), listen(), listen("h2", "http/1.1")
	if sinkAt == nil || relayAt == nil || echoAt == nil {
		return <-failed
	}
	r := &relay{viewers: map[string]chan net.Conn{}}
	go func() { failed <- accept(sinkAt, s.serve) }()
	go func() { failed <- accept(relayAt, r.serve) }()
	go func() { failed <- http.Serve(echoAt, &echo{bare}) }()
	at := controlAddresses{
		Sink: sinkAt.Addr().String(), Relay: relayAt.Addr().String(), Echo: echoAt.Addr().String(), Certificate: der,
	}
	if err := json.NewEncoder(os.Stdout).Encode(at); err != nil {
		return err
	}
	return <-failed
}

func selfSigned() (cert tls.Certificate, der []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, der, err
}

func accept(l net.Listener, serve func(net.Conn) error) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if err := serve(conn); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				log.Printf("ceiling: %v", err)
			}
		}()
	}
}

// sink does the least that an encrypting, durable server can do: one AEAD pass for each frame, one write for each
// fragment, and one sync for all fragments that wait for it.
type sink struct {
	file *os.File
	key  *seal.Key

	mu        sync.Mutex // guards the fields below
	end       int64      // of what is reserved
	allocated int64
	written   int64 // writes

	syncMu sync.Mutex // held while syncing; guards synced
	synced int64      // writes that are durable
}

func newSink(dir string) (*sink, error) {
	f, err := os.Create(filepath.Join(dir, "sink"))
	if err != nil {
		return nil, err
	}
	material := make([]byte, seal.KeySize)
	rand.Read(material) // never fails
	key, err := seal.NewKey(material)
	return &sink{file: f, key: key}, err
}

func (s *sink) serve(conn net.Conn) error {
	in := bufio.NewReaderSize(conn, 64<<10)
	var frame, fragment []byte
	var nonce [seal.NonceSize]byte
	rand.Read(nonce[:16]) // never fails
	for count := uint64(0); ; count++ {
		var err error
		if frame, err = readFrame(in, frame); err != nil {
			return err
		}
		if len(frame) > 0 {
			binary.BigEndian.PutUint64(nonce[16:], count)
			if fragment, err = s.key.Seal(fragment, &nonce, frame, nil); err != nil {
				return err
			}
			continue
		}
		if err := s.persist(fragment); err != nil {
			return err
		}
		fragment = fragment[:0]
		if _, err := conn.Write([]byte{1}); err != nil {
			return err
		}
	}
}

// persist writes a fragment and waits until it is durable.
func (s *sink) persist(p []byte) error {
	const ahead = 8 << 20
	s.mu.Lock()
	at := s.end
	s.end += int64(len(p))
	if s.end > s.allocated {
		s.allocated = s.end + ahead
		if err := syscall.Fallocate(int(s.file.Fd()), 0, at, s.allocated-at); err != nil {
			s.mu.Unlock()
			return err
		}
	}
	s.mu.Unlock()
	if _, err := s.file.WriteAt(p, at); err != nil {
		return err
	}
	s.mu.Lock()
	s.written++
	mine := s.written
	s.mu.Unlock()
	return s.sync(mine)
}

func (s *sink) sync(mine int64) error {
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	if s.synced >= mine {
		return nil
	}
	s.mu.Lock()
	written := s.written
	s.mu.Unlock()
	if err := syscall.Fdatasync(int(s.file.Fd())); err != nil {
		return err
	}
	s.synced = written
	return nil
}

// readFrame reads into buf, which it may replace.
func readFrame(in *bufio.Reader, buf []byte) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return buf, err
	}
	n := int(binary.BigEndian.Uint32(length[:]))
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	_, err := io.ReadFull(in, buf)
	return buf, err
}

// relay passes the frames of each camera to its viewer.
type relay struct {
	mu      sync.Mutex // guards viewers
	viewers map[string]chan net.Conn
}

func (r *relay) viewer(name string) chan net.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.viewers[name]
	if c == nil {
		c = make(chan net.Conn, 1)
		r.viewers[name] = c
	}
	return c
}

func (r *relay) serve(conn net.Conn) error {
	in := bufio.NewReaderSize(conn, 64<<10)
	hello, err := readFrame(in, nil)
	if err != nil || len(hello) == 0 {
		return err
	}
	name := string(hello[1:])
	if hello[0] == 'V' {
		r.viewer(name) <- conn
		_, err := in.ReadByte() // until it goes
		return err
	}
	out := <-r.viewer(name)
	defer out.Close()
	for frame := make([]byte, 0, 64<<10); ; {
		if frame, err = readFrame(in, frame); err != nil {
			return err
		}
		message := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(frame)), uint32(len(frame))), frame...)
		if _, err := out.Write(message); err != nil {
			return nil // the viewer has enough
		}
	}
}
