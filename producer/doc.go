// SPDX-License-Identifier: Apache-2.0

// Package producer sends media to a Kinesis video stream, of Obscura or of AWS.
//
// A caller opens a Producer, puts frames into it in decode order, and closes it. The Producer cuts them into
// fragments at key frames, keeps every fragment in a sealed buffer until the service has acknowledged it as
// PERSISTED, and sends each frame as soon as it is there. It reconnects by itself, looks up what became of
// fragments whose acknowledgement was lost, and resumes right after the last one that is durable, also when the
// program was killed and started again.
//
// Invariant: a frame that Put took is on the disk before Put returns, and leaves the buffer only when the service
// has acknowledged its fragment, refused it for good, or the buffer is full. The latter two are counted in
// Stats.Lost and reported by Close.
//
// With Options.Seal all of it is end-to-end encrypted before it goes into the buffer: package e2ee, docs/formats/e2ee.md. A
// fragment that a killed process left without its signature is signed at the next start, so that viewers can tell it from
// one that somebody cut; only what was put of a session's first fragment is then lost, unless it is the camera's very first.
//
// It is no encoder and opens no camera: frames come as their codec's container format has them (for H.264 and
// H.265, NAL units with their lengths in front, and the decoder configuration in Track.CodecPrivate).
//
// Source: Kinesis Video Streams developer guide, PutMedia.
package producer
