package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
)

// Command is the hidden command under which this binary re-executes itself as
// a supervisor. Its only argument is the container's id, for people who look
// at ps.
const Command = "supervise"

// SpawnOptions are what a supervisor is told.
//
//	creator                               supervisor
//	   | ------- SpawnOptions --------------> |  fork, setsid; JSON
//	   |                                      |  cgroup, terminal, store, hooks, sandbox
//	   | <------ created, or an error ------- |  JSON; then both close
//
// Either side finds out by end of file that the other died.
type SpawnOptions struct {
	ID   string       `json:"id"`
	Dir  statedir.Dir `json:"dir"`    // exists
	Path string       `json:"bundle"` // absolute
	// Owner is who creates the container, by name. Spawn sets it: in a user
	// namespace of its own the supervisor would say root.
	Owner string `json:"owner"`
	// Policy is what annotations and flags add up to.
	Policy config.Config `json:"policy"`
	// PidFile is written when the container is created; empty for none.
	PidFile string `json:"pid_file"`
	// ConsoleSocket is where the terminal's master goes. It is required when
	// the spec asks for a terminal.
	ConsoleSocket string `json:"console_socket"`
	// ImagePath is a directory with a gVisor image that the program is
	// restored from at start; empty to run it from its beginning.
	ImagePath string `json:"image_path"`
	// FromStore makes the program go on from the store's checkpoint FromSeq, 0
	// for where it was last.
	FromStore bool           `json:"from_store,omitempty"`
	FromSeq   checkpoint.Seq `json:"from_seq,omitempty"`
	// PreserveFDs is how many descriptors from 3 on the program inherits.
	PreserveFDs int `json:"preserve_fds"`
	// Notify gives the program a socket to say that it is ready.
	Notify        bool           `json:"notify"`
	SystemdCgroup bool           `json:"systemd_cgroup"`
	Rootless      bool           `json:"rootless"`
	Network       config.Network `json:"network"`
	Debug         bool           `json:"debug"`
	// LogFile is the supervisor's log; empty for the one in the state directory.
	LogFile   string `json:"log_file"`
	LogFormat string `json:"log_format"` // text or json
}

// created is the supervisor's side of the handshake.
type created struct {
	Pid int `json:"pid"`
	// Warnings say what of the container can't be had, or not be rolled back.
	Warnings []string       `json:"warnings,omitempty"`
	Error    *errdefs.Error `json:"error,omitempty"`
}

// readMessage decodes one JSON value, ended by a newline.
func readMessage(r io.Reader, v any) error {
	var b []byte
	chunk := make([]byte, 4096)
	for !bytes.HasSuffix(b, []byte("\n")) {
		n, err := r.Read(chunk)
		b = append(b, chunk[:n]...)
		if len(b) > maxHandshake {
			return fmt.Errorf("message exceeds %d bytes", maxHandshake)
		}
		if err != nil && !bytes.HasSuffix(b, []byte("\n")) {
			return err
		}
	}
	return json.Unmarshal(b, v)
}

func logFile(opts SpawnOptions) string {
	if opts.LogFile != "" {
		return opts.LogFile
	}
	return opts.Dir.LogFile()
}

func sendReply(handshake *os.File, r created) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode handshake: %w", err)
	}
	if _, err := handshake.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("answer creator: %w", err)
	}
	return nil
}

func shakeHands(conn *os.File, opts SpawnOptions) (reply created, err error) {
	b, err := json.Marshal(opts)
	if err != nil {
		return reply, fmt.Errorf("encode supervisor's options: %w", err)
	}
	if _, err := conn.Write(append(b, '\n')); err != nil {
		return reply, fmt.Errorf("send supervisor's options: %w", err)
	}
	if err := readMessage(conn, &reply); err != nil {
		if errors.Is(err, io.EOF) {
			return reply, fmt.Errorf("supervisor died while it created the container; see %s", logFile(opts))
		}
		return reply, fmt.Errorf("wait for supervisor: %w", err)
	}
	if reply.Error != nil {
		return reply, reply.Error
	}
	return reply, nil
}
