package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"runsc-recover/checkpoint"
	"runsc-recover/sentry/failure"
	"runsc-recover/test/expect"
)

func TestTextIsBounded(t *testing.T) {
	f := Of(fmt.Errorf("%s: %w", strings.Repeat("x", 2*failure.MaxMessage), checkpoint.ErrFull))
	expect.Equal(t, "bytes", len(f.Error()), failure.MaxMessage)
	expect.Equal(t, "full", errors.Is(f, checkpoint.ErrFull), true)
}

func TestFaultSurvivesALog(t *testing.T) {
	expect.Equal(t, "no error", Of(nil) == nil, true)
	expect.Equal(t, "no fault", (*Fault)(nil).AsError() == nil, true)
	err := errors.Join(errors.New("pages gone"), checkpoint.ErrDamaged)
	live, read := Of(err), &Fault{}
	b, jsonErr := json.Marshal(live)
	if err := errors.Join(jsonErr, json.Unmarshal(b, read)); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]*Fault{"live": live, "read": read} {
		expect.Equal(t, name+": damaged", errors.Is(f, checkpoint.ErrDamaged), true)
		expect.Equal(t, name+": version", errors.Is(f, checkpoint.ErrVersion), false)
		expect.Equal(t, name+": text", f.Error(), err.Error())
	}
}
