// Package errdefs holds the errors that users see: a stable code, a message and
// the next step.
//
// It must not know any other package of the program. It has no state.
package errdefs

import (
	"errors"
	"fmt"
)

// Code names a kind of error. Codes are stable: programs may match on them.
type Code string

// The codes, each with the user's next step.
const (
	CodeInvalidID         Code = "invalid-id"          // choose letters, digits and _ + - .
	CodeExists            Code = "container-exists"    // choose another id, or delete the container
	CodeNotFound          Code = "container-not-found" // look at list, and at --root
	CodeNotRunning        Code = "container-not-running"
	CodeRunning           Code = "container-running" // kill it first, or delete --force
	CodePaused            Code = "container-paused"  // resume it first
	CodeNotPaused         Code = "container-not-paused"
	CodeNotCreated        Code = "container-not-created"  // start takes a container that was created and not started yet
	CodeSupervisorGone    Code = "supervisor-gone"        // delete the container
	CodeBundle            Code = "bundle-not-found"       // check --bundle
	CodeConfigMissing     Code = "config-missing"         // write one: spec
	CodeConfigInvalid     Code = "config-invalid"         // correct the field that the message names
	CodeRootfsMissing     Code = "rootfs-missing"         // correct root.path
	CodeExecutable        Code = "executable-not-found"   // correct process.args, PATH or the rootfs
	CodeNotExecutable     Code = "executable-not-allowed" // correct the file's mode
	CodeAnnotation        Code = "annotation-invalid"     // correct the annotation or the --recover-… flag
	CodeHook              Code = "hook-failed"            // see the hook's own output
	CodeRequest           Code = "bad-request"            // correct the request
	CodeCheckpointMissing Code = "checkpoint-not-found"   // look at checkpoints list
	CodeCheckpointDamaged Code = "checkpoint-damaged"     // take an older one
	CodeCheckpointVersion Code = "checkpoint-version"     // another version wrote the checkpoint
	CodeStoreFull         Code = "store-full"             // make room in the store's directory
	CodeStoreLimit        Code = "store-limit"            // raise dev.runsc-recover.store-limit
	CodeStoreReadOnly     Code = "store-read-only"        // make the store's directory writable
	CodeLimit             Code = "limit-too-small"        // raise the limit in linux.resources
	CodeNetworkTaken      Code = "network-taken"          // run all that share a network with network=host
	CodeUnsavable         Code = "unsavable"              // the program holds something that can't be saved; try again
	CodeRecoveryOff       Code = "recovery-disabled"      // set dev.runsc-recover.enabled
	CodeTimeout           Code = "timeout"                // try again
	CodeInterrupted       Code = "interrupted"            // nothing was left behind
	CodeUnsupported       Code = "unsupported"
	CodeInternal          Code = "internal" // see the supervisor's log
)

// Error is a refusal or failure that a user sees. Two errors are the same to
// errors.Is when their codes are equal.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	// Next is the user's next step; empty when the message already says it.
	Next string `json:"next,omitempty"`
	// Err is the cause, which doesn't leave the process.
	Err error `json:"-"`
}

// Error returns message and advice in one line.
func (e *Error) Error() string {
	if e.Next == "" {
		return e.Message
	}
	return e.Message + " (" + e.Next + ")"
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an *Error with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Errorf makes an Error of the code. A %w in format becomes its cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// CodeOf returns the code of the first *Error in err's tree, CodeInternal when
// there is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// The refusals whose texts callers match on: they are runc's, word for word.
var (
	ErrInvalidID  = &Error{Code: CodeInvalidID, Message: "invalid container ID format"}
	ErrExist      = &Error{Code: CodeExists, Message: "container with given ID already exists"}
	ErrNotExist   = &Error{Code: CodeNotFound, Message: "container does not exist"}
	ErrNotRunning = &Error{Code: CodeNotRunning, Message: "container not running"}
	ErrRunning    = &Error{Code: CodeRunning, Message: "container still running"}
	ErrPaused     = &Error{Code: CodePaused, Message: "container paused"}
	ErrNotPaused  = &Error{Code: CodeNotPaused, Message: "container not paused"}
)
