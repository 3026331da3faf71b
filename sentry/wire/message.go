package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"runsc-recover/sentry/failure"
)

// Verb says what a Request asks of the agent.
type Verb string

// The verbs.
const (
	// VerbRun opens the gate that every sandbox starts behind: before it no
	// instruction of the program runs.
	VerbRun Verb = "run"
	// VerbRelease delivers the failure interrupt of Request.Info to a
	// restored copy, then opens the gate.
	VerbRelease Verb = "release"
	// VerbCheckpoint writes kernel and memory into the request's files:
	// kernel, memory metadata, page index, staged pages, and, if it is there,
	// all pages.
	VerbCheckpoint Verb = "checkpoint"
	// VerbCheckpointDone answers a CheckpointRequest.
	VerbCheckpointDone Verb = "checkpoint-done"
	// VerbLoaded tells a copy that its memory is loaded. The request's file
	// says what of Request.Loaded is where (pageindex.Loaded).
	VerbLoaded Verb = "loaded"
	// VerbRefuse lets a stopped failure take its course.
	VerbRefuse Verb = "refuse"
	// VerbConnections writes what the restored copy's checkpoint knows of its
	// TCP connections into the request's file.
	VerbConnections Verb = "connections"
	// VerbReset makes a stopped sandbox reset, towards their peers, those
	// connections that carried anything since the checkpoint whose connections
	// the first file holds, and write them into the second.
	VerbReset Verb = "reset"
	// VerbDrop makes a held copy forget the connections in the request's file.
	VerbDrop Verb = "drop"
	// VerbKept writes the frames that have arrived at the interface
	// Request.Link of a stopped sandbox, since the last time, into the
	// request's file.
	VerbKept Verb = "kept"
	// VerbDeliver lets the frames in the request's file come in at the
	// interface Request.Link.
	VerbDeliver Verb = "deliver"
	// VerbFail stops the sandbox as at a failure and reports Request.Failure.
	VerbFail Verb = "fail"
	// VerbAnswer hands a program the resolver's answer to a Message.Query.
	VerbAnswer Verb = "answer"
	// VerbMemory sets how much memory the program finds that it has.
	VerbMemory Verb = "memory"
	// VerbForeground sends Request.Signo to the foreground process group of
	// the first process's terminal.
	VerbForeground Verb = "foreground"
)

// MaxFiles is the most files that come with a request.
const MaxFiles = 5

// Files returns how many files come with a request.
func (r Request) Files() int {
	switch r.Verb {
	case VerbCheckpoint:
		if r.Take.Full {
			return MaxFiles
		}
		return MaxFiles - 1
	case VerbReset:
		return 2
	case VerbConnections, VerbDrop, VerbLoaded, VerbKept, VerbDeliver:
		return 1
	}
	return 0
}

// MaxContainer bounds a container's name, in bytes.
const MaxContainer = 255

// ValidateContainer refuses a name that no container may have: it must be
// printable ASCII without blanks. Errors: ErrMalformed.
func ValidateContainer(name string) error {
	printable := func(c rune) bool { return c > ' ' && c <= '~' }
	if name == "" || len(name) > MaxContainer || strings.ContainsFunc(name, func(c rune) bool { return !printable(c) }) {
		return fmt.Errorf("container name of %d bytes: %w", len(name), ErrMalformed)
	}
	return nil
}

// Request is a message to the agent.
type Request struct {
	ID   uint64 `json:"id"`
	Verb Verb   `json:"verb"`
	// Info belongs to VerbRelease; nil releases without an interrupt.
	Info *failure.Info `json:"info,omitempty"`
	// Take belongs to VerbCheckpoint.
	Take *TakeCheckpoint `json:"take,omitempty"`
	// Loaded belongs to VerbLoaded: the checkpoint.
	Loaded uint64 `json:"loaded,omitempty"`
	// Done belongs to VerbCheckpointDone.
	Done *CheckpointDone `json:"done,omitempty"`
	// Failure belongs to VerbFail.
	Failure *failure.State `json:"failure,omitempty"`
	// Link belongs to VerbKept and VerbDeliver.
	Link string `json:"link,omitempty"`
	// Container names the container that the request concerns. It belongs to
	// VerbForeground; the other verbs concern the sandbox.
	Container string `json:"container,omitempty"`
	// Signo belongs to VerbForeground.
	Signo int32 `json:"signo,omitempty"`
	// Answer belongs to VerbAnswer.
	Answer *Datagram `json:"answer,omitempty"`
	// Memory belongs to VerbMemory, in bytes.
	Memory uint64 `json:"memory,omitempty"`
}

// TakeCheckpoint names the checkpoint that VerbCheckpoint takes.
type TakeCheckpoint struct {
	Seq uint64 `json:"seq"`
	// Parent is the checkpoint whose pages the new one may refer to. It was
	// published; 0 for none.
	Parent uint64 `json:"parent"`
	// Full asks for all pages beside those that changed.
	Full bool `json:"full,omitempty"`
}

// CheckpointDone is the outcome of a program's CheckpointRequest.
type CheckpointDone struct {
	TID int32 `json:"tid"`
	// Failed makes the program's call fail with EAGAIN.
	Failed bool `json:"failed,omitempty"`
}

// Code classifies an error in a Reply.
type Code string

// The codes.
const (
	CodeInternal  Code = "internal"
	CodeUnsavable Code = "unsavable" // the program holds what can't be saved
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

// CheckpointCost is what VerbCheckpoint took. Durations are nanoseconds.
type CheckpointCost struct {
	TakenAt time.Time     `json:"taken_at"`
	Stop    time.Duration `json:"stop_ns"`
	Kernel  time.Duration `json:"kernel_ns"`
	Copy    time.Duration `json:"copy_ns"`
	// Tracking is how the sandbox knew what had changed.
	Tracking string `json:"tracking,omitempty"` // at most MaxTracking bytes
}

// MaxTracking bounds the name of a way of tracking, in bytes.
const MaxTracking = 64

// Message is what the agent sends: exactly one member is set.
type Message struct {
	Reply      *Reply             `json:"reply,omitempty"`
	Failure    *failure.State     `json:"failure,omitempty"`
	Checkpoint *CheckpointRequest `json:"checkpoint_request,omitempty"`
	Resolved   *Resolved          `json:"resolved,omitempty"`
	// Query is what a program asks the resolver of its network namespace. It may
	// be dropped, as any datagram.
	Query *Datagram `json:"query,omitempty"`
}

// MaxDatagram bounds the payload of a Datagram, in bytes.
const MaxDatagram = 4096

// Datagram is one between a program and a resolver.
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

// Resolved says that the program called RECOVER_RESOLVED.
type Resolved struct{}

// Errors of Decode and Validate. They are wrapped; test with errors.Is.
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

// DecodeRequest decodes a packet to the agent.
func DecodeRequest(b []byte) (Request, error) {
	var r Request
	if err := decode(b, &r); err != nil {
		return Request{}, err
	}
	return r, r.validate()
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

func (r Request) validate() error {
	if r.ID == 0 {
		return fmt.Errorf("request without an id: %w", ErrMalformed)
	}
	if r.Container != "" && r.Verb != VerbForeground {
		return fmt.Errorf("%s with a container: %w", r.Verb, ErrMalformed)
	}
	switch r.Verb {
	case VerbFail:
		if r.Failure == nil {
			return fmt.Errorf("%s without a failure: %w", r.Verb, ErrMalformed)
		}
	case VerbForeground:
		if r.Signo < 1 || r.Signo > maxSignal {
			return fmt.Errorf("%s with signal %d: %w", r.Verb, r.Signo, ErrMalformed)
		}
		return ValidateContainer(r.Container)
	case VerbAnswer:
		if r.Answer == nil {
			return fmt.Errorf("%s without a datagram: %w", r.Verb, ErrMalformed)
		}
		return r.Answer.validate()
	case VerbMemory:
		if r.Memory == 0 {
			return fmt.Errorf("%s without a size: %w", r.Verb, ErrMalformed)
		}
	case VerbCheckpoint:
		if r.Take == nil || r.Take.Seq == 0 {
			return fmt.Errorf("%s without a number: %w", r.Verb, ErrMalformed)
		}
	case VerbLoaded:
		if r.Loaded == 0 {
			return fmt.Errorf("%s without a number: %w", r.Verb, ErrMalformed)
		}
	case VerbCheckpointDone:
		if r.Done == nil {
			return fmt.Errorf("%s without an outcome: %w", r.Verb, ErrMalformed)
		}
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

const maxSignal = 64
