// SPDX-License-Identifier: Apache-2.0

package e2ee

import (
	"errors"
	"fmt"
	"time"
)

// Code says why something was refused. It is an error to compare with: errors.Is(err, e2ee.ErrNoWrap).
//
// Its String is the stable name used in vectors and by other implementations.
type Code uint8

// What was refused, and who is to blame for it. Tampered tells which of these mean that somebody changed something.
const (
	ErrFormat       Code = iota + 1 // bytes are not of the format
	ErrVersion                      // a format version or suite that this package does not have
	ErrDowngrade                    // plain media where sealed media was expected
	ErrStream                       // sealed for another stream
	ErrProducer                     // not by a producer of this stream in the roster
	ErrStatement                    // the generation's statement is not signed by its producer
	ErrCommitment                   // the secret is not the one that the statement commits to
	ErrHeader                       // the fragment's header is not authentic
	ErrFrame                        // a sample, configuration or metadata does not open
	ErrOrder                        // fragment or frame comes again or in the wrong order
	ErrChain                        // the fragment before was not the one that the producer sent
	ErrStale                        // an older generation or roster than the producer has already used
	ErrSignature                    // the fragment's signature is missing or wrong
	ErrFork                         // another history than the one already confirmed
	ErrNotLive                      // too old, or from the future, to be live
	ErrNoPackage                    // no key package in this fragment; Error.SeekTo says where there is one
	ErrNoWrap                       // the key package has nothing for this device
	ErrHistory                      // recorded before this device was admitted: ask for a history grant
	ErrNotAdmitted                  // this device is not in the roster
	ErrRevoked                      // this device was removed from the roster
	ErrTooLarge                     // over a limit of this package
	ErrRosterOld                    // an older roster than the one pinned
	ErrRosterGap                    // a roster between is missing
	ErrRosterFork                   // another roster under a version already known
	ErrRosterSign                   // not signed by enough owners
	ErrCertificate                  // a recipient's certificate is not valid
	ErrNoRecipients                 // nobody to seal for
	ErrMisuse                       // calls in the wrong order
	ErrPairing                      // a pairing message is not authentic
	ErrDigits                       // the digits differ
	ErrExpired                      // the pairing code is too old
	ErrUsed                         // the pairing code was already used
	ErrPassphrase                   // wrong passphrase or key for the key store
)

func (c Code) text() (name, sentence string) {
	switch c {
	case ErrFormat:
		return "ERR_FORMAT", "malformed"
	case ErrVersion:
		return "ERR_VERSION", "unknown format version or suite"
	case ErrDowngrade:
		return "ERR_DOWNGRADE", "media is readable where it must be sealed"
	case ErrStream:
		return "ERR_STREAM", "sealed for another stream"
	case ErrProducer:
		return "ERR_PRODUCER", "the roster has no such producer for this stream and time"
	case ErrStatement:
		return "ERR_STATEMENT", "statement not signed by its producer"
	case ErrCommitment:
		return "ERR_COMMITMENT", "key is not the one that the producer committed to"
	case ErrHeader:
		return "ERR_HEADER", "header is not authentic"
	case ErrFrame:
		return "ERR_FRAME", "frame is not authentic"
	case ErrOrder:
		return "ERR_ORDER", "repeated or out of order"
	case ErrChain:
		return "ERR_CHAIN", "does not follow the fragment before"
	case ErrStale:
		return "ERR_STALE", "older generation or roster than already in use"
	case ErrSignature:
		return "ERR_SIGNATURE", "fragment signature missing or wrong"
	case ErrFork:
		return "ERR_FORK", "differs from the history already confirmed"
	case ErrNotLive:
		return "ERR_NOT_LIVE", "capture time is outside the live window"
	case ErrNoPackage:
		return "ERR_NO_PACKAGE", "fragment has no key package"
	case ErrNoWrap:
		return "ERR_NO_WRAP", "key package has nothing for this device"
	case ErrHistory:
		return "ERR_HISTORY", "recorded before this device was admitted"
	default:
		return c.textOfTrust()
	}
}

func (c Code) textOfTrust() (name, sentence string) {
	switch c {
	case ErrNotAdmitted:
		return "ERR_NOT_AUTHORISED_YET", "this device is not in the roster"
	case ErrRevoked:
		return "ERR_REVOKED", "this device was removed from the roster"
	case ErrTooLarge:
		return "ERR_TOO_LARGE", "over the limit"
	case ErrRosterOld:
		return "ERR_ROSTER_OLD", "roster is older than the one in force"
	case ErrRosterGap:
		return "ERR_ROSTER_GAP", "a roster in between is missing"
	case ErrRosterFork:
		return "ERR_ROSTER_FORK", "roster contradicts one already known"
	case ErrRosterSign:
		return "ERR_ROSTER_SIGNATURE", "roster not signed by enough owners"
	case ErrCertificate:
		return "ERR_CERTIFICATE", "recipient certificate not valid"
	case ErrNoRecipients:
		return "ERR_NO_RECIPIENTS", "nobody to seal for"
	case ErrMisuse:
		return "ERR_MISUSE", "call out of order"
	case ErrPairing:
		return "ERR_PAIRING", "pairing message is not authentic"
	case ErrDigits:
		return "ERR_DIGITS", "digits do not match"
	case ErrExpired:
		return "ERR_EXPIRED", "pairing code is too old"
	case ErrUsed:
		return "ERR_USED", "pairing code was already used"
	case ErrPassphrase:
		return "ERR_PASSPHRASE", "wrong passphrase or key"
	default:
		return fmt.Sprintf("ERR_%d", uint8(c)), "unknown error"
	}
}

// String returns the code's stable name, such as ERR_SIGNATURE.
func (c Code) String() string { name, _ := c.text(); return name }

// Error returns a short sentence and the name.
func (c Code) Error() string { name, s := c.text(); return s + " (" + name + ")" }

// Tampered reports whether the code means that somebody between producer and consumer changed, left out or replayed
// something, or has shown them different rosters. A missing key, and a server that refuses, are not tampering.
func (c Code) Tampered() bool { return c >= ErrFormat && c <= ErrFork || c == ErrRosterFork }

// Error is a refusal with its place. Fields that were not known when it happened are zero.
type Error struct {
	Code     Code
	Detail   string // what exactly, in a few words; never a secret
	Stream   string // as given to the Sealer or Opener
	Producer Fingerprint
	Session  SessionID

	Generation uint32
	Epoch      uint32
	Sequence   uint64 // of the fragment within its session
	located    bool   // Session … Sequence are known

	SeekTo time.Time // ErrNoPackage: capture time of a fragment that has the key package
}

// Error lists the place, then the reason.
func (e *Error) Error() string {
	s := "e2ee: "
	if e.Stream != "" {
		s += "stream " + e.Stream + ": "
	}
	if e.Producer != (Fingerprint{}) {
		s += "producer " + e.Producer.Short() + ": "
	}
	if e.located {
		s += fmt.Sprintf("session %x generation %d epoch %d fragment %d: ", e.Session[:4], e.Generation, e.Epoch, e.Sequence)
	}
	if e.Detail != "" {
		s += e.Detail + ": "
	}
	return s + e.Code.Error()
}

// Unwrap lets errors.Is find the code.
func (e *Error) Unwrap() error { return e.Code }

// refuse is a refusal whose place is not known or not needed.
func refuse(c Code, format string, args ...any) error {
	return &Error{Code: c, Detail: fmt.Sprintf(format, args...)}
}

// codeOf returns the code inside err, or zero.
func codeOf(err error) Code {
	var c Code
	errors.As(err, &c)
	return c
}
