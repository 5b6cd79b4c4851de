// SPDX-License-Identifier: Apache-2.0

package protocol

// APIError is an error that the client is meant to see. Everything else that a
// server returns becomes an internal failure whose text stays here.
type APIError interface {
	error
	// ErrorCode is the name of the error on the wire, for example NotFoundException.
	ErrorCode() string
	// ErrorMessage is the text for the client. When empty none is sent.
	ErrorMessage() string
	// HTTPStatus is the status of the response.
	HTTPStatus() int
}

// NewError makes an error that no model declares.
func NewError(code string, status int, message string) APIError {
	return &plainError{code, status, message}
}

type plainError struct {
	code    string
	status  int
	message string
}

func (e *plainError) Error() string        { return ErrorText(e) }
func (e *plainError) ErrorCode() string    { return e.code }
func (e *plainError) ErrorMessage() string { return e.message }
func (e *plainError) HTTPStatus() int      { return e.status }

// ErrorText is the Error() of an APIError: its code, and its message if any.
func ErrorText(e APIError) string {
	if m := e.ErrorMessage(); m != "" {
		return e.ErrorCode() + ": " + m
	}
	return e.ErrorCode()
}
