// SPDX-License-Identifier: Apache-2.0

package kinesisvideo

import (
	"context"
	"time"
)

// cutAfter is how long a connection that was ended may take to say its last: a client that takes nothing any more
// would keep its goroutine, and a viewer his place among the stream's few, for as long as he likes.
const cutAfter = 5 * time.Second

// cutLater bounds what is written to a client once ctx has ended. The function returned undoes it, unless that has
// begun, and is called before the operation returns.
func cutLater(ctx context.Context, w interface{ SetWriteDeadline(time.Time) error }) (stop func()) {
	bounded := make(chan struct{})
	undo := context.AfterFunc(ctx, func() {
		defer close(bounded)
		_ = w.SetWriteDeadline(time.Now().Add(cutAfter)) // one that fails says that there is no client any more
	})
	return func() {
		if !undo() {
			<-bounded
		}
	}
}
