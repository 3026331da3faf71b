package errdefs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"runsc-recover/test/expect"
)

func TestErrorsAreComparedByCode(t *testing.T) {
	err := fmt.Errorf("create: %w", Errorf(CodeHook, "run hook: %w", io.EOF))
	expect.Equal(t, "code", CodeOf(err), CodeHook)
	expect.Equal(t, "same code", errors.Is(err, &Error{Code: CodeHook}), true)
	expect.Equal(t, "another code", errors.Is(err, ErrNotExist), false)
	expect.Equal(t, "cause", errors.Is(err, io.EOF), true)
	expect.Equal(t, "text", err.Error(), "create: run hook: EOF")
	expect.Equal(t, "no code", CodeOf(io.EOF), CodeInternal)
	expect.Equal(t, "nothing", CodeOf(nil), CodeInternal)
}

func TestAnErrorLeavesTheProcessWithoutItsCause(t *testing.T) {
	e := &Error{Code: CodePaused, Message: "container paused", Next: "resume it", Err: io.EOF}
	expect.Equal(t, "text", e.Error(), "container paused (resume it)")
	b, err := json.Marshal(e)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "JSON", string(b), `{"code":"container-paused","message":"container paused","next":"resume it"}`)
}
