// SPDX-License-Identifier: Apache-2.0

// Package digest signs the audit log by the hour, in the form of CloudTrail's digest files.
//
//	log file   {"Records":[…]}: whole blocks of the log, one after the other
//	digest     names each log file of its hour with its SHA-256, and the digest before with its hash and signature
//	signature  RSA-2048, PKCS #1 v1.5, SHA-256, over end ‖ place ‖ hash of the digest ‖ signature of the one before
//
// The Digester makes a digest for each hour that has ended, one without events too, and makes up for hours in
// which no server ran. What it makes is kept in the store; log files are not, since Rebuild makes them again byte
// for byte from the log. A Depot, such as a folder, takes copies of both.
//
// The key changes every KeyLife. The next key is signed by the one before, whose private part is then dropped:
// who takes the store and the root key later can sign nothing in the name of an old key.
//
// A Check verifies all of this, with nothing but the store's values and, better, a public key and the hash of a
// digest that were kept elsewhere. The invariant: a digest is made once and never changed.
//
// Keys in the store begin with "aud/"; see row.go. Format: docs/formats/audit.md.
//
// Source: CloudTrail User Guide, "CloudTrail digest file structure" and "Custom implementations of CloudTrail
// log file integrity validation".
package digest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	signatureAlgorithm = "SHA256withRSA"
	hashAlgorithm      = "SHA-256"
	// Period is the time that a digest is about.
	Period = time.Hour
)

// Document is the content of a digest file. The order of the fields is that of CloudTrail's.
type Document struct {
	Account              string     `json:"awsAccountId"`
	Start                time.Time  `json:"digestStartTime"` // whole seconds, UTC
	End                  time.Time  `json:"digestEndTime"`
	Bucket               string     `json:"digestS3Bucket"`
	Object               string     `json:"digestS3Object"`
	KeyFingerprint       string     `json:"digestPublicKeyFingerprint"`
	SignatureAlgorithm   string     `json:"digestSignatureAlgorithm"`
	Newest               *time.Time `json:"newestEventTime"` // null without events
	Oldest               *time.Time `json:"oldestEventTime"`
	PreviousBucket       *string    `json:"previousDigestS3Bucket"` // these are null in the first digest
	PreviousObject       *string    `json:"previousDigestS3Object"`
	PreviousHash         *string    `json:"previousDigestHashValue"`
	PreviousHashMethod   *string    `json:"previousDigestHashAlgorithm"`
	PreviousSignatureHex *string    `json:"previousDigestSignature"`
	LogFiles             []LogFile  `json:"logFiles"`
}

// LogFile is what a digest says of one log file. The hash is over the content before compression.
type LogFile struct {
	Bucket     string    `json:"s3Bucket"`
	Object     string    `json:"s3Object"`
	Hash       string    `json:"hashValue"` // hexadecimal
	HashMethod string    `json:"hashAlgorithm"`
	Newest     time.Time `json:"newestEventTime"`
	Oldest     time.Time `json:"oldestEventTime"`
}

// errDocument says that a digest's content is not what this package writes.
var errDocument = errors.New("digest: malformed document")

// parseDocument reads the content of a digest file, and checks its form alone.
func parseDocument(content []byte) (*Document, error) {
	d := new(Document)
	if err := json.Unmarshal(content, d); err != nil {
		return nil, fmt.Errorf("%w: %w", errDocument, err)
	}
	if d.SignatureAlgorithm != signatureAlgorithm {
		return nil, fmt.Errorf("%w: signature algorithm %q", errDocument, d.SignatureAlgorithm)
	}
	previous := 0
	for _, p := range []*string{d.PreviousBucket, d.PreviousObject, d.PreviousHash, d.PreviousHashMethod, d.PreviousSignatureHex} {
		if p != nil {
			previous++
		}
	}
	if previous != 0 && previous != 5 || d.PreviousHashMethod != nil && *d.PreviousHashMethod != hashAlgorithm {
		return nil, fmt.Errorf("%w: the digest before is named in part", errDocument)
	}
	for _, f := range d.LogFiles {
		if f.HashMethod != hashAlgorithm {
			return nil, fmt.Errorf("%w: hash algorithm %q", errDocument, f.HashMethod)
		}
	}
	return d, nil
}

// stringToSign is what the signature is over: four lines.
func (d *Document) stringToSign(content []byte) []byte {
	previous := "null"
	if d.PreviousSignatureHex != nil {
		previous = *d.PreviousSignatureHex
	}
	hash := sha256.Sum256(content)
	return []byte(strings.Join([]string{
		d.End.UTC().Format(time.RFC3339), d.Bucket + "/" + d.Object, hex.EncodeToString(hash[:]), previous,
	}, "\n"))
}

func sign(private *rsa.PrivateKey, text []byte) ([]byte, error) {
	sum := sha256.Sum256(text)
	return rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, sum[:])
}

// verify checks a signature by a public key, the DER of PKCS #1.
func verify(public, text, signature []byte) error {
	key, err := x509.ParsePKCS1PublicKey(public)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature)
}

// Trail names the files of a chain of digests.
type Trail struct {
	Account, Region string
	// Bucket and Prefix say where its files lie; Prefix may be empty.
	Bucket, Prefix string
	// Name is the trail's, Home its region.
	Name, Home string
}

// Bucket and Name of the server's own chain, which is about every event and needs no trail. There is no bucket of
// this name: it says where a file would lie.
const (
	ownBucket = "obscura-audit"
	ownName   = "obscura"
)

// own is the server's own chain.
func own(account, region string) Trail {
	return Trail{Account: account, Region: region, Bucket: ownBucket, Name: ownName, Home: region}
}

func (t *Trail) folder(kind string, at time.Time) string {
	prefix := t.Prefix
	if prefix != "" {
		prefix += "/"
	}
	return prefix + "AWSLogs/" + t.Account + "/" + kind + "/" + t.Region + at.UTC().Format("/2006/01/02/")
}

// digestObject is the name of the digest that ends at end.
func (t *Trail) digestObject(end time.Time) string {
	return t.folder("CloudTrail-Digest", end) + t.Account + "_CloudTrail-Digest_" + t.Region + "_" + t.Name + "_" + t.Home +
		end.UTC().Format("_20060102T150405Z.json.gz")
}

// logObject is a new name for a log file whose last event is of at.
func (t *Trail) logObject(at time.Time) string {
	return t.folder("CloudTrail", at) + t.Account + "_CloudTrail_" + t.Region + at.UTC().Format("_20060102T1504Z_") + unique() + ".json.gz"
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// unique returns 16 random letters and digits.
func unique() string {
	var out []byte
	for len(out) < 16 {
		var b [32]byte
		rand.Read(b[:])
		for _, c := range b {
			if c &= 63; int(c) < len(alphanumeric) && len(out) < 16 { // no digit is likelier than another
				out = append(out, alphanumeric[c])
			}
		}
	}
	return string(out)
}
