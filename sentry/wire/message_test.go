package wire

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"runsc-recover/sentry/failure"
)

func TestRoundTrip(t *testing.T) {
	at := time.Unix(1, 2).UTC()
	for _, m := range []Message{
		{Reply: &Reply{ID: 1, Err: &Error{Code: CodeUnsavable, Text: "a host file"}}},
		{Reply: &Reply{ID: 2, Checkpoint: &CheckpointCost{Stop: 1, Kernel: 2, Copy: 3}}},
		{Failure: &failure.State{Kind: failure.Signal, Signo: 11, Key: 1, Time: at, Program: "redis"}},
		{Checkpoint: &CheckpointRequest{TID: 7}},
		{Resolved: &Resolved{}},
	} {
		b, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeMessage(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: got %+v, %v", b, got, err)
		}
	}
}

// The largest failure that a program may report must fit into a packet,
// however badly its bytes escape.
func TestLargestFailureFits(t *testing.T) {
	b, err := Encode(Message{Failure: &failure.State{
		Kind: failure.Reported, Key: ^uint64(0),
		Message: strings.Repeat("\x01", failure.MaxMessage),
		Data:    bytes.Repeat([]byte{0xff}, failure.MaxData),
		Program: strings.Repeat("\x01", 15),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeMessage(b); err != nil {
		t.Fatal(err)
	}
}

func TestDecodeMessageRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     error
	}{
		{"empty", "", ErrMalformed},
		{"no member", "{}", ErrMalformed},
		{"two members", `{"resolved":{},"checkpoint_request":{"tid":1}}`, ErrMalformed},
		{"unknown member", `{"resolved":{"x":2}}`, ErrMalformed},
		{"tail", `{"resolved":{}} {}`, ErrMalformed},
		{"kind", `{"failure":{"kind":99,"key":1}}`, ErrMalformed},
		{"no key", `{"failure":{"kind":1}}`, ErrMalformed},
		{"signal", `{"failure":{"kind":2,"key":1,"signo":65}}`, ErrMalformed},
		{"long name", `{"failure":{"kind":2,"key":1,"program":"` + strings.Repeat("x", 65) + `"}}`, ErrMalformed},
		{"long message", `{"failure":{"kind":2,"key":1,"message":"` + strings.Repeat("x", failure.MaxMessage+1) + `"}}`, ErrMalformed},
		{"long query", `{"query":{"address":"AAAAAA==","port":1,"data":"` + strings.Repeat("A", MaxDatagram*4/3+4) + `"}}`, ErrMalformed},
		{"query without an address", `{"query":{"port":1,"data":"AAAA"}}`, ErrMalformed},
		{"too large", strings.Repeat(" ", MaxMessage+1), ErrTooLarge},
	} {
		if _, err := DecodeMessage([]byte(tc.in)); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte(`{"failure":{"kind":2,"key":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(b)
		if err == nil && m.Failure != nil && len(m.Failure.Data) > failure.MaxData {
			t.Fatal("limit exceeded")
		}
	})
}
