// SPDX-License-Identifier: Apache-2.0

// Package hls writes the playlists of HTTP Live Streaming, makes segments of fragments, and keeps the sliding window of a live
// presentation in memory.
//
// It is no server and no client: it knows no HTTP, no file and no key. Playlists are a pure function of what they list; a Packager
// turns fragments into media segments of fragmented MP4, one for one; a Window holds the newest of them.
//
// Invariants: a playlist that breaks a rule of the RFC is an error, not text; no name in it can end a line or a quotation; a
// Window's memory is bounded.
//
// Sources: RFC 8216, and draft-ietf-hls-rfc8216bis for EXT-X-GAP and EXT-X-SERVER-CONTROL.
package hls
