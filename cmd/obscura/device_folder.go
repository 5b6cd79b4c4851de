// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/obscura-video/obscura/internal/awsapi/protocol"
	"github.com/obscura-video/obscura/internal/service/iot"
)

// The files of a device's folder, docs/formats/device-folder.md.
const (
	deviceKeyFile      = "device.key"
	deviceCertFile     = "device.pem"
	deviceCAFile       = "ca.pem"
	deviceEndpointFile = "endpoint.json"
	// nextSuffix marks the pair that a renewal is about to put in place.
	nextSuffix = ".next"

	deviceFolderVersion = 1
)

// deviceEndpoint is endpoint.json: who the device is and where it goes. It holds no secret.
type deviceEndpoint struct {
	Version            int    `json:"version"`
	ThingName          string `json:"thingName"`
	RoleAlias          string `json:"roleAlias"`
	CredentialEndpoint string `json:"credentialEndpoint"` // host:port
	APIEndpoint        string `json:"apiEndpoint"`        // URL
	Region             string `json:"region"`
}

// deviceFolder is an enrolled device: its certificate and where it goes. It is not safe for concurrent use.
type deviceFolder struct {
	dir      string
	endpoint deviceEndpoint
	pair     tls.Certificate
	roots    *x509.CertPool // nil: the system's
	client   *http.Client
}

// openDeviceFolder reads a folder and finishes a renewal that was cut off.
func openDeviceFolder(dir string) (*deviceFolder, error) {
	d := &deviceFolder{dir: dir}
	text, err := os.ReadFile(filepath.Join(dir, deviceEndpointFile))
	if err != nil {
		return nil, &problem{
			What: fmt.Sprintf("%s is not the folder of an enrolled device", dir), Why: err.Error(), Exit: exitNotFound, Err: err,
			Next: "obscura device enroll --token-file - --endpoint HOST:8445 --dir " + shellQuote(dir),
		}
	}
	if err := json.Unmarshal(text, &d.endpoint); err != nil || d.endpoint.Version != deviceFolderVersion {
		return nil, errors.Join(err, fmt.Errorf("%s: of no version that this program knows", filepath.Join(dir, deviceEndpointFile)))
	}
	if _, err := os.Stat(filepath.Join(dir, deviceCAFile)); err == nil {
		if d.roots, err = loadRoots(filepath.Join(dir, deviceCAFile)); err != nil {
			return nil, err
		}
	}
	return d, d.load()
}

func (d *deviceFolder) path(name string) string { return filepath.Join(d.dir, name) }

// load reads certificate and key. A renewal replaces the key first: when the certificate is not its, the next one is.
func (d *deviceFolder) load() (err error) {
	d.pair, err = tls.LoadX509KeyPair(d.path(deviceCertFile), d.path(deviceKeyFile))
	if err == nil {
		return nil
	}
	next, nextErr := tls.LoadX509KeyPair(d.path(deviceCertFile+nextSuffix), d.path(deviceKeyFile))
	if nextErr != nil {
		return fmt.Errorf("%s: %w", d.dir, err)
	}
	d.pair = next
	return os.Rename(d.path(deviceCertFile+nextSuffix), d.path(deviceCertFile))
}

// http is a client that shows the certificate, and is made anew for another one.
func (d *deviceFolder) http() *http.Client {
	if d.client == nil {
		d.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: d.roots, Certificates: []tls.Certificate{d.pair}, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true,
		}}
	}
	return d.client
}

// due says when the certificate is to be renewed: when a third of its life is left.
func (d *deviceFolder) due() time.Time {
	leaf := d.pair.Leaf
	return leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3)
}

// renew obtains a certificate for a new key and puts both in place. Whatever happens in between, the folder holds a
// pair that works: the new one is used only once it is on the disk, and the server accepts the old one until then.
func (d *deviceFolder) renew(ctx context.Context) error {
	key, csr, err := newDeviceKey(d.endpoint.ThingName)
	if err != nil {
		return err
	}
	got, err := d.post(ctx, d.http(), "/enrolment/renewal", map[string]string{"certificateSigningRequest": csr})
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
	}{{deviceKeyFile, key}, {deviceCertFile, []byte(got.CertificatePEM)}} {
		if err := writeDurably(d.path(f.name+nextSuffix), f.text, 0o600); err != nil {
			return err
		}
	}
	for _, name := range []string{deviceKeyFile, deviceCertFile} {
		if err := os.Rename(d.path(name+nextSuffix), d.path(name)); err != nil {
			return err
		}
	}
	if err := syncFolder(d.dir); err != nil {
		return err
	}
	d.client.CloseIdleConnections()
	d.client = nil
	return d.load()
}

// post calls the device listener of the folder's server.
func (d *deviceFolder) post(ctx context.Context, client *http.Client, path string, body any) (*iot.Enrolment, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+d.endpoint.CredentialEndpoint+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	out := new(iot.Enrolment)
	return out, d.do(client, r, out)
}

// do makes a call and reads its answer. Errors that the server reports are *protocol.ResponseError.
func (d *deviceFolder) do(client *http.Client, r *http.Request, out any) error {
	r.Header.Set("Content-Type", "application/json")
	if d.endpoint.ThingName != "" {
		r.Header.Set("x-amzn-iot-thingname", d.endpoint.ThingName)
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return protocol.ReadError(resp)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 256<<10)).Decode(out)
}

// newDeviceKey makes a key (PEM, PKCS #8) and a certificate request for it.
func newDeviceKey(name string) (keyPEM []byte, csrPEM string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, "", err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cmp.Or(name, "device")}}, key)
	if err != nil {
		return nil, "", err
	}
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return keyPEM, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), nil
}

// writeDurably writes a file beside, syncs it and renames it.
func writeDurably(path string, text []byte, mode os.FileMode) error {
	tmp, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
