package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
)

// maxMessage bounds a message of the handshake, in bytes.
const maxMessage = 1 << 20

// Options are the creator's wishes, of which it tells the supervisor.
//
//	creator                               supervisor
//	   | ----------- Options ---------------> |  fork, setsid; JSON
//	   |                                      |  cgroup, terminal, store, hooks, sandbox
//	   | <---------- created ---------------- |  JSON; then both close
//
// Either side finds out by end of file that the other died.
type Options struct {
	ID     string        `json:"id"`
	Dir    statedir.Dir  `json:"dir"`    // exists
	Bundle string        `json:"bundle"` // absolute
	Config config.Config `json:"config"`
	// Network is the network stack that is asked for; Spawn settles it.
	Network config.Network `json:"network"`
	// Owner is the name of the user who creates the container. Spawn sets it: in a
	// user namespace of its own the supervisor would find root.
	Owner string `json:"owner"`
	// PidFile is written when the container is created; empty for none.
	PidFile string `json:"pid_file"`
	// ConsoleSocket is where the terminal's master goes. It is required when
	// the spec asks for a terminal.
	ConsoleSocket string `json:"console_socket"`
	// ImagePath is a directory with a gVisor image that the program is
	// restored from at start; empty to run it from its beginning.
	ImagePath string `json:"image_path"`
	// FromStore makes the program go on from the store's checkpoint FromSeq, 0
	// for the last that it went on from.
	FromStore bool           `json:"from_store,omitempty"`
	FromSeq   checkpoint.Seq `json:"from_seq,omitempty"`
	// PreserveFDs is the number of descriptors from 3 on that the program
	// inherits.
	PreserveFDs int `json:"preserve_fds"`
	// Notify gives the program a socket to say that it is ready.
	Notify        bool `json:"notify"`
	SystemdCgroup bool `json:"systemd_cgroup"`
	Rootless      bool `json:"rootless"`
	Debug         bool `json:"debug"`
	// LogFile is the supervisor's log; empty for the one in the state directory.
	LogFile   string `json:"log_file"`
	LogFormat string `json:"log_format"` // text or json
}

// log is the path of the supervisor's log.
func (o Options) log() string {
	if o.LogFile != "" {
		return o.LogFile
	}
	return o.Dir.LogFile()
}

// created is the supervisor's side of the handshake.
type created struct {
	Pid int `json:"pid"`
	// Warnings name parts of the container that can't be had, or not be rolled
	// back.
	Warnings []string       `json:"warnings,omitempty"`
	Error    *errdefs.Error `json:"error,omitempty"` // nil for a container that was created
}

// shakeHands is the creator's side of the handshake.
func shakeHands(conn io.ReadWriter, opts Options) (reply created, err error) {
	if err := sendMessage(conn, opts); err != nil {
		return reply, fmt.Errorf("send supervisor's options: %w", err)
	}
	if err := readMessage(conn, &reply); err != nil {
		if errors.Is(err, io.EOF) {
			return reply, fmt.Errorf("supervisor died while it created the container; see %s", opts.log())
		}
		return reply, fmt.Errorf("wait for supervisor: %w", err)
	}
	if reply.Error != nil {
		return reply, reply.Error
	}
	return reply, nil
}

// sendMessage encodes one JSON value, ended by a newline.
func sendMessage(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// readMessage decodes one JSON value, ended by a newline. It returns io.EOF when
// the other side died before that.
func readMessage(r io.Reader, v any) error {
	var b []byte
	chunk := make([]byte, 4096)
	for !bytes.HasSuffix(b, []byte("\n")) {
		n, err := r.Read(chunk)
		b = append(b, chunk[:n]...)
		if len(b) > maxMessage {
			return fmt.Errorf("message exceeds %d bytes", maxMessage)
		}
		if err != nil && !bytes.HasSuffix(b, []byte("\n")) {
			return err
		}
	}
	return json.Unmarshal(b, v)
}
