// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"os"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
)

const (
	// heapFloor is what may be garbage before the collector runs, in bytes, however little is in use: a small heap
	// would be collected so often under load that a seventh of a KMS call went to the collector.
	heapFloor = 24 << 20
	// maxGarbage bounds garbage in percent of what is in use, in case that grows faster than we look.
	maxGarbage = 400
)

// tuneHeap lets garbage grow to heapFloor. A heap that is larger is collected as Go does by itself, when it has
// doubled. An operator who sets GOGC decides alone.
func tuneHeap(context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	live := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/gogc:percent"}}
	runtimemetrics.Read(live)
	want := garbagePercent(live[0].Value.Uint64())
	if now := int(live[1].Value.Uint64()); want < now*9/10 || want > now*11/10 { // each change stops the world for a moment
		debug.SetGCPercent(want)
	}
	return nil
}

// garbagePercent is the GOGC for a heap of which so many bytes are in use.
func garbagePercent(live uint64) int {
	if live == 0 {
		return 100 // nothing was collected yet
	}
	return int(min(max(heapFloor*100/live, 100), maxGarbage))
}
