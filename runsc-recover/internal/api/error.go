package api

import (
	"context"
	"errors"
	"net/http"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/errdefs"
)

// Error is an error that keeps its stable code across the socket. The codes are
// package errdefs', as are those of every error that a user meets.
type Error = errdefs.Error

// Classify gives err the code under which it crosses the socket. It returns
// nil for nil.
func Classify(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		// The wrapping text says where the error happened.
		return &Error{Code: e.Code, Message: withoutNext(err, e), Next: e.Next, Err: err}
	}
	return &Error{Code: codeFor(err), Message: err.Error(), Err: err}
}

// codeFor maps the errors of other packages that have no code of their own.
func codeFor(err error) errdefs.Code {
	for _, m := range []struct {
		err  error
		code errdefs.Code
	}{
		{checkpoint.ErrNotFound, errdefs.CodeCheckpointMissing},
		{checkpoint.ErrDamaged, errdefs.CodeCheckpointDamaged},
		{checkpoint.ErrVersion, errdefs.CodeCheckpointVersion},
		{checkpoint.ErrFull, errdefs.CodeStoreFull},
		{checkpoint.ErrLimit, errdefs.CodeStoreLimit},
		{checkpoint.ErrReadOnly, errdefs.CodeStoreReadOnly},
		{checkpoint.ErrClosed, errdefs.CodeNotRunning},
		{context.DeadlineExceeded, errdefs.CodeTimeout},
		{context.Canceled, errdefs.CodeTimeout},
	} {
		if errors.Is(err, m.err) {
			return m.code
		}
	}
	return errdefs.CodeInternal
}

// withoutNext is err's text without the advice of e, which travels in a member
// of its own.
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
func statusOf(c errdefs.Code) int {
	switch c {
	case errdefs.CodeRequest:
		return http.StatusBadRequest
	case errdefs.CodeNotFound, errdefs.CodeCheckpointMissing:
		return http.StatusNotFound
	case errdefs.CodeNotRunning, errdefs.CodeRunning, errdefs.CodePaused, errdefs.CodeNotPaused, errdefs.CodeNotCreated, errdefs.CodeUnsavable, errdefs.CodeRecoveryOff:
		return http.StatusConflict
	case errdefs.CodeStoreFull, errdefs.CodeStoreLimit, errdefs.CodeStoreReadOnly:
		return http.StatusInsufficientStorage
	case errdefs.CodeTimeout:
		return http.StatusGatewayTimeout
	case errdefs.CodeUnsupported:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}
