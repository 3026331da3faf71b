package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"runsc-recover/sentry/failure"
)

// Code classifies an error in a Reply.
type Code string

// The codes.
const (
	CodeInternal  Code = "internal"
	CodeUnsavable Code = "unsavable" // the program holds an object that can't be saved
	CodeFull      Code = "full"      // no room in the files of the request
	CodeFailing   Code = "failing"   // the sandbox is stopped at a failure
	CodeState     Code = "state"     // the request doesn't fit the sandbox's state
	CodeMalformed Code = "malformed"
)

// MaxErrorText bounds the text of an error in a Reply, in bytes.
const MaxErrorText = 1024

// Error is an error of the agent.
type Error struct {
	Code Code   `json:"code"`
	Text string `json:"text"`
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Reply answers a Request.
type Reply struct {
	ID         uint64          `json:"id"`
	Err        *Error          `json:"err,omitempty"`
	Checkpoint *CheckpointCost `json:"checkpoint,omitempty"`
}

// CheckpointCost is the time that VerbCheckpoint took. Durations are
// nanoseconds.
type CheckpointCost struct {
	Stop   time.Duration `json:"stop_ns"`
	Kernel time.Duration `json:"kernel_ns"`
	Copy   time.Duration `json:"copy_ns"`
	// Tracking names the way in which changed pages were found.
	Tracking string `json:"tracking,omitempty"` // at most MaxTracking bytes
}

// MaxTracking bounds the name of a way of tracking, in bytes.
const MaxTracking = 64

// Message is a message from the agent: exactly one member is set.
type Message struct {
	Reply      *Reply             `json:"reply,omitempty"`
	Failure    *failure.State     `json:"failure,omitempty"`
	Checkpoint *CheckpointRequest `json:"checkpoint_request,omitempty"`
	Resolved   *Resolved          `json:"resolved,omitempty"`
	// Query is a program's question to the resolver of its network namespace. It
	// may be dropped, as any datagram.
	Query *Datagram `json:"query,omitempty"`
}

// MaxDatagram bounds the payload of a Datagram, in bytes.
const MaxDatagram = 4096

// Datagram is a datagram between a program and a resolver.
type Datagram struct {
	// Address and Port are the program's.
	Address []byte `json:"address"`
	Port    uint16 `json:"port"`
	Data    []byte `json:"data"` // at most MaxDatagram bytes
}

func (d *Datagram) validate() error {
	if len(d.Address) != 4 || len(d.Data) > MaxDatagram {
		return fmt.Errorf("datagram of %d bytes with an address of %d: %w", len(d.Data), len(d.Address), ErrMalformed)
	}
	return nil
}

// CheckpointRequest is a program waiting in RECOVER_CHECKPOINT.
type CheckpointRequest struct {
	TID int32 `json:"tid"`
}

// Resolved says that the program called RECOVER_RESOLVED.
type Resolved struct{}

// Errors of encoding and decoding. They are wrapped.
var (
	ErrTooLarge  = errors.New("message exceeds the size limit")
	ErrMalformed = errors.New("message is malformed")
)

// Encode returns a packet for v, a Request or a Message. Errors: ErrTooLarge.
func Encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("encode message of %d bytes: %w", len(b), ErrTooLarge)
	}
	return b, nil
}

// DecodeMessage decodes a packet from the agent, which is as trustworthy as
// the program in its sandbox. Errors: ErrTooLarge, ErrMalformed.
func DecodeMessage(b []byte) (Message, error) {
	var m Message
	if err := decode(b, &m); err != nil {
		return Message{}, err
	}
	return m, m.validate()
}

func decode(b []byte, v any) error {
	if len(b) > MaxMessage {
		return fmt.Errorf("decode message of %d bytes: %w", len(b), ErrTooLarge)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("decode message: %w: %w", ErrMalformed, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("decode message: %w: data after it", ErrMalformed)
	}
	return nil
}

func (m Message) validate() error {
	set := 0
	for _, is := range []bool{m.Reply != nil, m.Failure != nil, m.Checkpoint != nil, m.Resolved != nil, m.Query != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf("message with %d members: %w", set, ErrMalformed)
	}
	if m.Failure != nil {
		if err := m.Failure.Validate(); err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		return nil
	}
	if m.Query != nil {
		return m.Query.validate()
	}
	if m.Reply != nil {
		return m.Reply.validate()
	}
	return nil
}

func (r *Reply) validate() error {
	if r.Err != nil && len(r.Err.Text) > MaxErrorText {
		return fmt.Errorf("error text of %d bytes: %w", len(r.Err.Text), ErrMalformed)
	}
	if r.Checkpoint != nil && len(r.Checkpoint.Tracking) > MaxTracking {
		return fmt.Errorf("tracking of %d bytes: %w", len(r.Checkpoint.Tracking), ErrMalformed)
	}
	return nil
}
