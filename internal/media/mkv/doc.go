// SPDX-License-Identifier: Apache-2.0

// Package mkv reads and writes Matroska as live video streaming uses it: the body of PutMedia, the answer of
// GetMedia and ffmpeg's pipe output.
//
// [Reader] turns a byte stream into events, one block at a time, as the bytes arrive: memory is bounded by the
// largest element that it delivers whole, never by a cluster. The Append functions build elements in the shape of
// the Kinesis Video producer SDKs, and [Writer] makes one continuous file of them.
//
// It is no general Matroska library: nothing seeks, cues and chapters pass through unread, and content encodings
// (compression, encryption) are reported and not undone.
//
// Invariant: the Raw bytes of the events, in order, are the input. Whoever stores them can re-emit a
// stream byte for byte. (Tags of the header are in Header.Raw and not repeated; see [Tags].)
//
// Sources: RFC 8794 (EBML), RFC 9559 (Matroska); Kinesis Video Streams developer guide, PutMedia and GetMedia.
package mkv
