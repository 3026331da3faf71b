package wire

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"runsc-recover/sentry/failure"
	"runsc-recover/test/expect"
)

// requests are valid ones of each verb, with the number of their files.
var requests = []struct {
	r     Request
	files int
}{
	{Request{Verb: VerbRun}, 0},
	{Request{Verb: VerbRelease, Info: &failure.Info{Attempt: 1, Level: 2}}, 0},
	{Request{Verb: VerbRelease}, 0},
	{Request{Verb: VerbCheckpoint, Take: &TakeCheckpoint{Seq: 2, Parent: 1}}, 4},
	{Request{Verb: VerbCheckpoint, Take: &TakeCheckpoint{Seq: 1, Full: true}}, 5},
	{Request{Verb: VerbCheckpointDone, Done: &CheckpointDone{TID: 1, Failed: true}}, 0},
	{Request{Verb: VerbLoaded, Loaded: 3}, 1},
	{Request{Verb: VerbRefuse}, 0},
	{Request{Verb: VerbConnections}, 1},
	{Request{Verb: VerbReset}, 2},
	{Request{Verb: VerbDrop}, 1},
	{Request{Verb: VerbKept, Link: "eth0"}, 1},
	{Request{Verb: VerbDeliver, Link: "eth0"}, 1},
	{Request{Verb: VerbFail, Failure: &failure.State{Kind: failure.Operator, Key: 1}}, 0},
	{Request{Verb: VerbAnswer, Answer: &Datagram{Address: []byte{10, 0, 0, 1}, Port: 53, Data: []byte{1}}}, 0},
	{Request{Verb: VerbMemory, Memory: 1 << 30}, 0},
	{Request{Verb: VerbForeground, Container: "c", Signo: 2}, 0},
}

func TestRequestsRoundTrip(t *testing.T) {
	for i, c := range requests {
		c.r.ID = uint64(i + 1)
		b, err := Encode(c.r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeRequest(b)
		if err != nil || !reflect.DeepEqual(got, c.r) {
			t.Errorf("%s: decoded %+v, %v", b, got, err)
		}
		expect.Equal(t, string(c.r.Verb)+": files", got.Files(), c.files)
	}
}

func TestDecodeRequestRefuses(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"empty", "", ErrMalformed},
		{"no object", "7", ErrMalformed},
		{"without an id", `{"verb":"run"}`, ErrMalformed},
		{"negative id", `{"id":-1,"verb":"run"}`, ErrMalformed},
		{"unknown member", `{"id":1,"verb":"run","x":1}`, ErrMalformed},
		{"tail", `{"id":1,"verb":"run"}{}`, ErrMalformed},
		{"checkpoint without a number", `{"id":1,"verb":"checkpoint"}`, ErrMalformed},
		{"checkpoint 0", `{"id":1,"verb":"checkpoint","take":{"seq":0}}`, ErrMalformed},
		{"loaded without a number", `{"id":1,"verb":"loaded"}`, ErrMalformed},
		{"done without an outcome", `{"id":1,"verb":"checkpoint-done"}`, ErrMalformed},
		{"fail without a failure", `{"id":1,"verb":"fail"}`, ErrMalformed},
		{"answer without a datagram", `{"id":1,"verb":"answer"}`, ErrMalformed},
		{"answer without an address", `{"id":1,"verb":"answer","answer":{"port":1}}`, ErrMalformed},
		{"long answer", `{"id":1,"verb":"answer","answer":{"address":"AAAAAA==","data":"` + strings.Repeat("A", MaxDatagram*4/3+4) + `"}}`, ErrMalformed},
		{"memory of 0 bytes", `{"id":1,"verb":"memory"}`, ErrMalformed},
		{"signal 0", `{"id":1,"verb":"foreground","container":"c"}`, ErrMalformed},
		{"signal 65", `{"id":1,"verb":"foreground","container":"c","signo":65}`, ErrMalformed},
		{"foreground of no container", `{"id":1,"verb":"foreground","signo":2}`, ErrMalformed},
		{"a container with a blank", `{"id":1,"verb":"foreground","signo":2,"container":"a b"}`, ErrMalformed},
		{"a container with a control character", `{"id":1,"verb":"foreground","signo":2,"container":"a\u0000"}`, ErrMalformed},
		{"a long container", `{"id":1,"verb":"foreground","signo":2,"container":"` + strings.Repeat("x", MaxContainer+1) + `"}`, ErrMalformed},
		{"container where none belongs", `{"id":1,"verb":"run","container":"c"}`, ErrMalformed},
		{"too large", strings.Repeat(" ", MaxMessage+1), ErrTooLarge},
	} {
		if _, err := DecodeRequest([]byte(c.in)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	if _, err := Encode(Request{Link: strings.Repeat("x", MaxMessage)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a message that is too large: %v", err)
	}
	if _, err := Encode(func() {}); err == nil {
		t.Error("a function was encoded")
	}
}

// FuzzDecodeRequest: a request that is accepted can be asked for its files.
func FuzzDecodeRequest(f *testing.F) {
	for i, c := range requests {
		c.r.ID = uint64(i + 1)
		b, err := Encode(c.r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeRequest(b); err == nil && r.Files() > MaxFiles {
			t.Errorf("%d files", r.Files())
		}
	})
}
