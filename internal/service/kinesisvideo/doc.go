// SPDX-License-Identifier: Apache-2.0

// Package kinesisvideo is Kinesis Video Streams: its control plane, PutMedia and GetMedia,
// and the listing and reading of archived fragments.
//
// It is behaviour only: no HTTP (package gateway), no parsing of Matroska (package mkv), no
// ciphers (package envelope) and no storage of its own (package journal). A fragment goes
//
//	body → mkv.Reader → journal.Begin → frame by frame: seal, stage, show to live viewers
//	     → journal.Commit → RECEIVED, PERSISTED
//
// The invariants. RECEIVED and PERSISTED are sent for durable fragments only, and what was
// not committed is never listed. Whoever reads or writes is authorised anew, by IAM and by the
// key policy, at each fragment and while one goes on. Media is kept sealed under data keys of
// the caller, also in the buffer of a stream without retention.
//
// Of end-to-end encryption it knows no more than sealed.go says, and no package of it is imported here.
//
// A stream without retention uses the same code over a second journal, the spool.
//
// Rows are described in docs/formats/video-rows.md, deviations from the service in
// docs/compat/kinesisvideo.md. Lock order: registry.mu is innermost and is not held during I/O.
package kinesisvideo
