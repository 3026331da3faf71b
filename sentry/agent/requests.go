package agent

import (
	"errors"
	"fmt"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/log"

	"runsc-recover/sentry/wire"
)

// serve answers requests until the supervisor is gone, which ends the process.
func (a *Agent) serve(ch *channel) {
	buf := make([]byte, wire.MaxMessage)
	for {
		req, files, err := ch.receive(buf)
		if errors.Is(err, wire.ErrMalformed) || errors.Is(err, wire.ErrTooLarge) {
			log.Warningf("recover: request refused: %v", err)
			continue
		}
		if err != nil {
			log.Warningf("recover: channel to the supervisor closed: %v", err)
			return
		}
		go a.handle(req, files)
	}
}

// handle carries out a request and replies. It takes ownership of files.
func (a *Agent) handle(req wire.Request, files []*fd.FD) {
	reply := wire.Reply{ID: req.ID}
	if len(files) == req.Files() {
		reply.Checkpoint, reply.Err = a.carryOut(req, files)
	} else {
		reply.Err = wireError(wire.CodeMalformed, fmt.Errorf("%s with %d files", req.Verb, len(files)))
	}
	closeFiles(files) // before the supervisor goes on
	a.send(wire.Message{Reply: &reply})
}

// carryOut carries out a request.
//
// Preconditions: req is valid, and has as many files as req.Files says.
func (a *Agent) carryOut(req wire.Request, files []*fd.FD) (*wire.CheckpointCost, *wire.Error) {
	switch req.Verb {
	case wire.VerbRun:
		return nil, a.run()
	case wire.VerbRelease:
		return nil, a.release(req.Info)
	case wire.VerbCheckpoint:
		return a.checkpoint(*req.Take, files)
	case wire.VerbLoaded:
		return nil, a.loaded(req.Loaded, files[0])
	case wire.VerbCheckpointDone:
		return nil, a.checkpointDone(*req.Done)
	case wire.VerbRefuse:
		return nil, a.refuse()
	case wire.VerbConnections:
		return nil, a.listConnections(files[0])
	case wire.VerbReset:
		return nil, a.resetConnections(files[0], files[1])
	case wire.VerbDrop:
		return nil, a.dropConnections(files[0])
	case wire.VerbKept:
		return nil, a.takePackets(req.Link, files[0])
	case wire.VerbDeliver:
		return nil, a.deliverPackets(req.Link, files[0])
	case wire.VerbFail:
		return nil, a.fail(*req.Failure)
	case wire.VerbAnswer:
		return nil, a.answer(*req.Answer)
	case wire.VerbMemory:
		return nil, setMemory(req.Memory)
	case wire.VerbForeground:
		return nil, a.signalForeground(req.Container, linux.Signal(req.Signo))
	}
	return nil, wireError(wire.CodeMalformed, fmt.Errorf("unknown request %q", req.Verb))
}

// run serves VerbRun.
func (a *Agent) run() *wire.Error {
	a.gate.Open()
	a.saver.Collector.Booted()
	return nil
}

// wireError makes err fit into a Reply.
func wireError(code wire.Code, err error) *wire.Error {
	text := err.Error()
	return &wire.Error{Code: code, Text: text[:min(len(text), wire.MaxErrorText)]}
}

// writeFile writes a reply's bytes into a request's file.
func writeFile(f *fd.FD, b []byte) *wire.Error {
	if len(b) == 0 {
		return nil
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		return wireError(wire.CodeInternal, fmt.Errorf("write the request's file: %w", err))
	}
	return nil
}
