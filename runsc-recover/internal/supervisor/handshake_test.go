package supervisor

import (
	"errors"
	"io"
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
	expect.Equal(t, "death of the other side", errors.Is(readMessage(strings.NewReader(""), &got), io.EOF), true)
	expect.Equal(t, "death in the middle", errors.Is(readMessage(strings.NewReader("{\"pid\""), &got), io.EOF), true)
	if err := readMessage(io.LimitReader(zeros{}, 2*maxHandshake), &got); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a message without end: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// shake runs both sides of a handshake.
func shake(t *testing.T, reply *created) (created, error) {
	t.Helper()
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	go func() {
		defer theirs.Close()
		var opts SpawnOptions
		if readMessage(theirs, &opts) == nil && reply != nil {
			sendReply(theirs, *reply)
		}
	}()
	return shakeHands(ours, SpawnOptions{ID: "c", Dir: "/run/c", Policy: config.Config{Retain: 3}})
}

func TestHandshake(t *testing.T) {
	reply, err := shake(t, &created{Pid: 9, Warnings: []string{"beware"}})
	expect.Equal(t, "pid", reply.Pid, 9)
	expect.Equal(t, "warnings", strings.Join(reply.Warnings, ";"), "beware")
	expect.Equal(t, "error", err, nil)
	_, err = shake(t, &created{Error: errdefs.Errorf(errdefs.CodeHook, "hook said no")})
	expect.Equal(t, "code", errdefs.CodeOf(err), errdefs.CodeHook)
	_, err = shake(t, nil)
	if err == nil || !strings.Contains(err.Error(), "/run/c/supervisor.log") {
		t.Errorf("death must name the log: %v", err)
	}
}
