// SPDX-License-Identifier: Apache-2.0

// Package e2eetest is the tool of whoever attacks end-to-end encrypted media, for tests: it takes fragments apart and puts others
// together from whatever secrets its user holds, be they few. It is written from docs/formats/e2ee.md alone and shares no code
// with package e2ee but a few types, so it also shows that the document suffices to write the format.
//
// It verifies nothing. What it opens may be anybody's, and what it seals may be refused by everybody: telling that is the work of
// package e2ee. No program imports it.
package e2eetest
