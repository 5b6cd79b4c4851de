// SPDX-License-Identifier: Apache-2.0

// Package consumer reads media from a Kinesis video stream, of Obscura or of AWS: live, from a moment on, or a range
// of what is stored.
//
// Fragments delivers whole fragments. It reconnects by itself and goes on right after the last fragment that it
// delivered, so none is missed or comes twice; a fragment that its producer did not complete is left out. Events
// delivers the frames as they arrive instead, before it is known whether their fragment will be complete. Archive
// reads a range in the order of the producer's time.
//
// Opened opens end-to-end encrypted media (package e2ee), and passes nothing that was not sealed for this device by a producer on
// its roster: first provisional frames, then a verdict for each fragment.
//
// Invariant: the bytes of every frame, and its time to the millisecond, are the ones that the producer sent.
//
// It is no decoder. Iterators run in the caller's goroutine and leave nothing behind when they end.
//
// Sources: Kinesis Video Streams API Reference, GetMedia, ListFragments and GetMediaForFragmentList.
package consumer
