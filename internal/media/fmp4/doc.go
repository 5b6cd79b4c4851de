// SPDX-License-Identifier: Apache-2.0

// Package fmp4 writes fragmented MP4: an init segment (ftyp, moov), then fragments (moof, mdat), which together are one
// file that plays in browsers, ffmpeg and the like, and apart are the segments of HLS and DASH.
//
// It is no reader and no encoder: the bytes of a sample are written as they are given, which for H.264 and H.265 means
// NAL units with their lengths in front, as Matroska carries them.
//
// Invariants: every sample's presentation time is the source's, to within a millisecond; decode times rise strictly within
// a track.
//
// Decode times. The source gives samples in decode order with their presentation times only. Within a fragment the n-th
// decode time is the n-th smallest presentation time. So that no picture is shown before it is decoded, presentation
// lags by a delay that is fixed for the track (Track.ReorderDelay), and an edit list takes the delay back. Thus a
// fragment's times depend on nothing but its own samples, and fragments that follow each other in presentation time
// follow each other in decode time. Signed composition offsets without a delay would do in browsers, but ffmpeg shifts
// such tracks against the others.
//
// Sources: ISO/IEC 14496-12:2022 (boxes), 14496-14 (mp4a), 14496-15 (avc1, hvc1);
// Encapsulation of Opus in ISO Base Media File Format 0.8.1.
package fmp4
