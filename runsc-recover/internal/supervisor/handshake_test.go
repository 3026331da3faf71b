package supervisor

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/test/expect"
)

func TestReadMessage(t *testing.T) {
	var got created
	if err := readMessage(iotest.OneByteReader(strings.NewReader("{\"pid\":7}\n")), &got); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "pid", got.Pid, 7)
	for name, c := range map[string]struct {
		in  string
		eof bool // the other side died
	}{
		"nothing":           {"", true},
		"half":              {"{\"pid\"", true},
		"without its end":   {"{\"pid\":7}", true},
		"an empty line":     {"\n", false},
		"no JSON":           {"pid 7\n", false},
		"another type":      {"{\"pid\":\"7\"}\n", false},
		"more than one":     {"{}\n{}\n", false},
		"a number too long": {"{\"pid\":99999999999999999999}\n", false},
	} {
		err := readMessage(strings.NewReader(c.in), &got)
		if err == nil || errors.Is(err, io.EOF) != c.eof {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := readMessage(io.LimitReader(zeros{}, 2*maxMessage), &got); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a message without end: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// shake runs both sides of a handshake, and returns the options as they arrived.
// Without a reply the supervisor dies.
func shake(t *testing.T, opts Options, reply *created) (arrived Options, got created, err error) {
	t.Helper()
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	done := make(chan error, 1)
	go func() {
		defer theirs.Close()
		err := readMessage(theirs, &arrived)
		if err == nil && reply != nil {
			err = sendMessage(theirs, *reply)
		}
		done <- err
	}()
	got, err = shakeHands(ours, opts)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return arrived, got, err
}

func TestHandshake(t *testing.T) {
	opts := Options{ID: "c", Dir: "/run/c", Config: config.Config{Retain: 3, Store: "/s"}, Network: config.NetworkNone, FromSeq: 7, Rootless: true}
	arrived, reply, err := shake(t, opts, &created{Pid: 9, Warnings: []string{"beware"}})
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "options", arrived, opts)
	expect.Equal(t, "reply", reflect.DeepEqual(reply, created{Pid: 9, Warnings: []string{"beware"}}), true)
	_, _, err = shake(t, opts, &created{Error: errdefs.Errorf(errdefs.CodeHook, "hook said no")})
	expect.Equal(t, "code", errdefs.CodeOf(err), errdefs.CodeHook)
	_, _, err = shake(t, opts, nil)
	if err == nil || !strings.Contains(err.Error(), "/run/c/supervisor.log") {
		t.Errorf("death must name the log: %v", err)
	}
}
