// SPDX-License-Identifier: Apache-2.0

// Package hostile is a malicious server: a proxy that ends the TLS of a real server under a CA which the client trusts, and alters
// every answer that a client's safety could hang on, in the media and in the mailbox. The clients are the real ones.
//
// Each attack is a row of a table with what must come of it by docs/formats/e2ee.md §8, and is held to three things. It is real: the
// harness counts what it altered, and a client that believes the server, which runs beside, is deceived by it. It is stopped or
// named. And whatever it is, no frame is shown as confirmed that the camera did not send in that place, none is released that does
// not authenticate, and after a fragment that was not confirmed the next is held back.
package hostile
