// SPDX-License-Identifier: Apache-2.0

package mkv

import "fmt"

// FormatError says that the input is not the Matroska that a Reader accepts. Kinesis Video answers it with
// acknowledgement 4006, INVALID_MKV_DATA.
type FormatError struct {
	Offset int64 // of the offending element, in bytes from the start of the input
	Reason string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("mkv: %s at offset %d", e.Reason, e.Offset)
}

// LimitError says that an element is larger than the Reader's Options allow.
type LimitError struct {
	Offset int64  // of the element, in bytes from the start of the input
	What   string // "frame", "header", "tags", "element" or "depth"
	Size   int64  // what the input asks for, in bytes (levels, for "depth")
	Max    int64  // the limit, in the same unit
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("mkv: %s of %d at offset %d is over the limit of %d", e.What, e.Size, e.Offset, e.Max)
}
