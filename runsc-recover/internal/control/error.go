package control

import (
	"context"
	"errors"
	"net/http"

	"runsc-recover/checkpoint"
	"runsc-recover/oci"
)

// Error is an error that keeps its stable code across the socket. The codes
// are package oci's: one table for all that a user meets.
type Error = oci.Error

// Classify gives err the code under which it crosses the socket. It returns
// nil for nil.
func Classify(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		// What wraps it says where it happened.
		return &Error{Code: e.Code, Message: withoutNext(err, e), Next: e.Next, Err: err}
	}
	return &Error{Code: codeFor(err), Message: err.Error(), Err: err}
}

// codeFor maps the errors of other packages that have no code of their own.
func codeFor(err error) oci.Code {
	for _, m := range []struct {
		err  error
		code oci.Code
	}{
		{checkpoint.ErrNotFound, oci.CodeCheckpointMissing},
		{checkpoint.ErrDamaged, oci.CodeCheckpointDamaged},
		{checkpoint.ErrVersion, oci.CodeCheckpointVersion},
		{checkpoint.ErrFull, oci.CodeStoreFull},
		{checkpoint.ErrLimit, oci.CodeStoreLimit},
		{checkpoint.ErrReadOnly, oci.CodeStoreReadOnly},
		{checkpoint.ErrClosed, oci.CodeNotRunning},
		{context.DeadlineExceeded, oci.CodeTimeout},
		{context.Canceled, oci.CodeTimeout},
	} {
		if errors.Is(err, m.err) {
			return m.code
		}
	}
	return oci.CodeInternal
}

// withoutNext is err's text without the advice, which travels by itself.
func withoutNext(err error, e *Error) string {
	if err == error(e) {
		return e.Message
	}
	text, full := err.Error(), e.Error()
	if n := len(text) - len(full); n >= 0 && text[n:] == full {
		return text[:n] + e.Message
	}
	return text
}

// statusOf is the HTTP status of a code.
func statusOf(c oci.Code) int {
	switch c {
	case oci.CodeRequest:
		return http.StatusBadRequest
	case oci.CodeNotFound, oci.CodeCheckpointMissing:
		return http.StatusNotFound
	case oci.CodeNotRunning, oci.CodeRunning, oci.CodePaused, oci.CodeNotPaused, oci.CodeNotCreated, oci.CodeUnsavable, oci.CodeRecoveryOff:
		return http.StatusConflict
	case oci.CodeStoreFull, oci.CodeStoreLimit, oci.CodeStoreReadOnly:
		return http.StatusInsufficientStorage
	case oci.CodeTimeout:
		return http.StatusGatewayTimeout
	case oci.CodeUnsupported:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}
