// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"context"
	"fmt"
	"net/http"
)

// The constraints below are what generated types offer. *T is the type itself.

type input[T any] interface {
	*T
	Validate(*Check)
}

type jsonInput[T any] interface {
	input[T]
	DecodeJSON(*JSONReader)
	AppendJSON([]byte) []byte
}

type jsonOutput[T any] interface {
	*T
	DecodeJSON(*JSONReader)
	AppendJSON([]byte) []byte
}

type queryInput[T any] interface {
	input[T]
	DecodeForm(*Form)
}

type queryOutput[T any] interface {
	*T
	AppendXML([]byte) []byte
}

// headerOutput is an output with members in headers.
type headerOutput interface {
	EncodeHeader(http.Header)
	DecodeHeader(http.Header)
}

// streamOutput is an output with a streaming payload.
type streamOutput interface{ Stream() Stream }

// JSONOperation makes the row of an operation of JSON 1.1 or REST-JSON.
func JSONOperation[I, O any, PI jsonInput[I], PO jsonOutput[O]](op Operation, call func(context.Context, PI) (PO, error)) *Operation {
	_, op.StreamsOut = any(PO(nil)).(streamOutput)
	op.Decode = func(r *Request) (any, error) { return decodeJSON[I, PI](&op, r) }
	op.Call = typed(op.Name, call)
	op.Encode = func(w http.ResponseWriter, requestID string, out any) error {
		v, ok := out.(PO)
		if !ok || v == nil {
			return fmt.Errorf("%s: no output to encode", op.Name)
		}
		return encodeJSON(&op, w, requestID, v.AppendJSON, v)
	}
	op.encodeInput = func(in any) (*Binding, []byte, error) {
		v, ok := in.(PI)
		if !ok || v == nil {
			return nil, nil, fmt.Errorf("%s: input is %T", op.Name, in)
		}
		b := NewBinding()
		if v, ok := in.(bound); ok {
			v.Bind(b)
		}
		return b, v.AppendJSON(nil), nil
	}
	op.decodeOutput = func(r *http.Response, body []byte, out any) error {
		v, ok := out.(PO)
		if !ok || v == nil {
			return fmt.Errorf("%s: output is %T", op.Name, out)
		}
		if h, ok := out.(headerOutput); ok {
			h.DecodeHeader(r.Header)
		}
		return readJSON(body, v.DecodeJSON)
	}
	return &op
}

// QueryOperation makes the row of an operation of the query protocol.
func QueryOperation[I, O any, PI queryInput[I], PO queryOutput[O]](op Operation, wrapper string, call func(context.Context, PI) (PO, error)) *Operation {
	op.Decode = func(r *Request) (any, error) { return decodeQuery[I, PI](&op, r) }
	op.Call = typed(op.Name, call)
	op.Encode = func(w http.ResponseWriter, requestID string, out any) error {
		v, ok := out.(PO)
		if !ok || v == nil {
			return fmt.Errorf("%s: no output to encode", op.Name)
		}
		encodeQuery(&op, w, requestID, wrapper, v.AppendXML)
		return nil
	}
	return &op
}

// typed checks the type of what Call is given.
func typed[PI, PO any](name string, call func(context.Context, PI) (PO, error)) func(context.Context, any) (any, error) {
	return func(ctx context.Context, in any) (any, error) {
		v, ok := in.(PI)
		if !ok {
			return nil, fmt.Errorf("%s: input is %T", name, in)
		}
		out, err := call(ctx, v)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

func readJSON(body []byte, decode func(*JSONReader)) error {
	if len(body) == 0 {
		return nil
	}
	r := NewJSONReader(body)
	decode(r)
	return r.Finish()
}

func decodeJSON[I any, PI jsonInput[I]](op *Operation, r *Request) (any, error) {
	in := PI(new(I))
	if err := readJSON(r.Body, in.DecodeJSON); err != nil {
		return nil, op.Service.Error(Serialization, err.Error())
	}
	if v, ok := any(in).(bound); ok {
		b, err := op.Bound(r.HTTP)
		if err != nil {
			return nil, err
		}
		if v.Bind(b); b.fault != "" {
			return nil, op.Service.Error(Serialization, b.fault)
		}
	}
	return in, op.validate(in.Validate)
}

func (op *Operation) validate(check func(*Check)) error {
	var c Check
	check(&c)
	if text := c.Err(); text != "" {
		return op.Service.Error(Validation, text)
	}
	return nil
}

func encodeJSON(op *Operation, w http.ResponseWriter, requestID string, add func([]byte) []byte, out any) error {
	h := w.Header()
	typ := "application/json"
	if op.Service.Protocol == JSON11 {
		typ = "application/x-amz-json-1.1"
	}
	stream, streams := out.(streamOutput)
	if streams {
		op.Service.SetRequestID(h, requestID)
		typ = "application/octet-stream"
	}
	h["Content-Type"] = []string{typ}
	if v, ok := out.(headerOutput); ok {
		v.EncodeHeader(h)
	}
	if streams {
		return sendStream(w, stream.Stream())
	}
	op.Service.sendMade(w, requestID, add)
	return nil
}

// sendMade is send of what add makes, in room that is used again.
func (s *Service) sendMade(w http.ResponseWriter, requestID string, add func([]byte) []byte) {
	room := s.rooms.Get().(*[]byte)
	body := add((*room)[:0])
	s.send(w, requestID, http.StatusOK, body)
	clear(body) // it may hold a key
	if *room = body; cap(body) <= trusted {
		s.rooms.Put(room)
	}
}

func decodeQuery[I any, PI queryInput[I]](op *Operation, r *Request) (any, error) {
	values, err := op.Service.values(r.HTTP, r.Body)
	if err != nil {
		return nil, err
	}
	form, err := ParseForm(values)
	if err != nil {
		return nil, op.Service.Error(Serialization, err.Error())
	}
	in := PI(new(I))
	in.DecodeForm(form)
	if err := form.Err(); err != nil {
		return nil, op.Service.Error(Serialization, err.Error())
	}
	return in, op.validate(in.Validate)
}

func encodeQuery(op *Operation, w http.ResponseWriter, requestID, wrapper string, add func([]byte) []byte) {
	s := op.Service
	b := append([]byte("<"), op.Name...)
	b = append(b, `Response xmlns="`...)
	b = append(b, s.Namespace...)
	b = append(b, `">`...)
	if wrapper != "" {
		b = closeTag(add(openTag(b, wrapper)), wrapper)
	}
	b = openTag(b, "ResponseMetadata")
	b = XMLString(b, "RequestId", &requestID)
	b = closeTag(b, "ResponseMetadata")
	b = closeTag(b, op.Name+"Response")
	w.Header().Set("Content-Type", "text/xml")
	s.send(w, requestID, http.StatusOK, b)
}
