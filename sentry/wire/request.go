package wire

import (
	"fmt"
	"strings"

	"runsc-recover/sentry/failure"
)

// Verb is the kind of a Request.
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
	// lists the places of Request.Loaded's pages (pageindex.Loaded).
	VerbLoaded Verb = "loaded"
	// VerbRefuse lets a stopped failure take its course.
	VerbRefuse Verb = "refuse"
	// VerbConnections writes the TCP connections of the restored copy's
	// checkpoint into the request's file (package tcpreset), and keeps the copy
	// silent from then on.
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

// DecodeRequest decodes a packet to the agent. A Request that is returned without
// an error has the members of its verb. Errors: ErrTooLarge, ErrMalformed.
func DecodeRequest(b []byte) (Request, error) {
	var r Request
	if err := decode(b, &r); err != nil {
		return Request{}, err
	}
	return r, r.validate()
}

// maxSignal is the highest number of a signal.
const maxSignal = 64

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
