// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// DefaultMaxResponse bounds a response body that is not streamed, in bytes, when a Client does not say otherwise.
const DefaultMaxResponse = 64 << 20

// Client calls operations of a JSON service. It may be used concurrently.
type Client struct {
	Service  *Service
	Endpoint string       // scheme, host and port; a path before the operation's is kept
	HTTP     *http.Client // nil is http.DefaultClient
	// Sign adds the signature; payload is the whole body.
	Sign func(r *http.Request, payload []byte) error
	// MaxResponse bounds a response body that is not streamed, in bytes: what is longer is an error. 0 is DefaultMaxResponse.
	MaxResponse int64
}

// ResponseError is a failure that the service reported. It is an [APIError], so a
// caller tests ErrorCode and does not care for the model's types.
type ResponseError struct {
	Code      string
	Message   string
	Status    int
	RequestID string
}

// Error is code, message and request id.
func (e *ResponseError) Error() string {
	if e.RequestID == "" {
		return ErrorText(e)
	}
	return ErrorText(e) + " (request " + e.RequestID + ")"
}

// ErrorCode is the name of the error without its namespace.
func (e *ResponseError) ErrorCode() string { return e.Code }

// ErrorMessage is the service's text.
func (e *ResponseError) ErrorMessage() string { return e.Message }

// HTTPStatus is the status of the response.
func (e *ResponseError) HTTPStatus() int { return e.Status }

// Invoke calls an operation and reads its output into out.
func Invoke[O any](ctx context.Context, c *Client, operation string, in any, out *O) (*O, error) {
	if err := c.Do(ctx, operation, in, out); err != nil {
		return nil, err
	}
	return out, nil
}

// InvokeStream calls an operation whose response body is a stream. The caller
// closes it.
func InvokeStream[O any](ctx context.Context, c *Client, operation string, in any, out *O) (*O, io.ReadCloser, error) {
	body, err := c.Stream(ctx, operation, in, out)
	if err != nil {
		return nil, nil, err
	}
	return out, body, nil
}

// Do calls an operation: in and out are pointers to its input and output.
// Errors: [*ResponseError]; others are of the connection or of the signature.
func (c *Client) Do(ctx context.Context, operation string, in, out any) error {
	op, resp, err := c.send(ctx, operation, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := readAll(resp.Body, cmp.Or(c.MaxResponse, DefaultMaxResponse))
	if err != nil {
		return fmt.Errorf("%s: read response: %w", operation, err)
	}
	if err := op.decodeOutput(resp, body, out); err != nil {
		return fmt.Errorf("%s: response: %w", operation, err)
	}
	return nil
}

// Stream calls an operation whose response body is a stream; out takes only what
// is in the headers. The caller closes the body.
func (c *Client) Stream(ctx context.Context, operation string, in, out any) (io.ReadCloser, error) {
	op, resp, err := c.send(ctx, operation, in)
	if err != nil {
		return nil, err
	}
	if err := op.decodeOutput(resp, nil, out); err != nil {
		resp.Body.Close()
		return nil, fmt.Errorf("%s: response: %w", operation, err)
	}
	return resp.Body, nil
}

// send makes the request and returns the response if it is good.
func (c *Client) send(ctx context.Context, operation string, in any) (*Operation, *http.Response, error) {
	op, ok := c.Service.Operation(operation)
	if !ok || op.encodeInput == nil {
		return nil, nil, fmt.Errorf("%s: no such operation for a client", operation)
	}
	binding, body, err := op.encodeInput(in)
	if err != nil {
		return nil, nil, err
	}
	req, err := c.request(ctx, op, binding, body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", operation, err)
	}
	resp, err := cmp.Or(c.HTTP, http.DefaultClient).Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", operation, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, nil, fmt.Errorf("%s: %w", operation, ReadError(resp))
	}
	return op, resp, nil
}

func (c *Client) request(ctx context.Context, op *Operation, b *Binding, body []byte) (*http.Request, error) {
	if op.Method == http.MethodGet || op.Method == http.MethodDelete {
		body = nil
	}
	req, err := http.NewRequestWithContext(ctx, op.Method, strings.TrimSuffix(c.Endpoint, "/")+b.target(op), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range b.header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	if c.Service.Protocol == JSON11 {
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", c.Service.TargetPrefix+"."+op.Name)
	}
	if op.Unsigned || c.Sign == nil {
		return req, nil
	}
	return req, c.Sign(req, body)
}

// maxErrorBody bounds what is read of an error response, in bytes.
const maxErrorBody = 64 << 10

// ReadError makes the error of a response that is not good, in either JSON protocol.
func ReadError(resp *http.Response) *ResponseError {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what is there has to do
	e := &ResponseError{
		Code:      resp.Header.Get("x-amzn-ErrorType"),
		Status:    resp.StatusCode,
		RequestID: resp.Header.Get("x-amzn-RequestId"),
	}
	r := NewJSONReader(body)
	for name := range r.Members() {
		switch name {
		case "__type", "code":
			if text := r.String(); e.Code == "" {
				e.Code = text
			}
		case "message", "Message":
			if text := ReadValue(r, (*JSONReader).String); text != nil {
				e.Message = *text
			}
		default:
			r.Skip()
		}
	}
	e.Code = bareCode(e.Code)
	if e.Code == "" {
		e.Code = fmt.Sprintf("HTTP%d", resp.StatusCode)
	}
	return e
}

// bareCode takes the namespace before # and the address after : off a code.
func bareCode(code string) string {
	if i := strings.IndexByte(code, ':'); i >= 0 {
		code = code[:i]
	}
	return code[strings.LastIndexByte(code, '#')+1:]
}

// readAll reads r to its end, or fails when that is beyond most bytes.
func readAll(r io.Reader, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(body)) > most {
		err = fmt.Errorf("more than %d bytes", most)
	}
	return body, err
}
