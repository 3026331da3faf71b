package lazypages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"gvisor.dev/gvisor/pkg/sentry/state/checkpointfiles"
	"gvisor.dev/gvisor/pkg/sentry/state/stateipc"
	"gvisor.dev/gvisor/pkg/urpc"
)

// maxCall bounds a call of the sandbox's, in bytes: the longest has a setting
// for each gigabyte of its memory. gVisor's own server of such calls would
// read for as long as the sandbox writes.
const maxCall = 1 << 20

// urpcCall and urpcResult are messages of gVisor's package urpc: one JSON value
// each, descriptors with its first byte.
type urpcCall struct {
	Method string          `json:"method"`
	Arg    json.RawMessage `json:"arg"`
}

type urpcResult struct {
	Success bool   `json:"success"`
	Err     string `json:"err"`
	Result  any    `json:"result"`
}

// answer answers one call. It returns an error when the sandbox has hung up or
// sent bytes that aren't a call, which ends the conversation.
func (s *Server) answer() error {
	call, files, err := s.receive()
	defer closeFiles(files)
	if err != nil {
		return err
	}
	result, out, err := s.dispatch(call, files)
	defer closeFiles(out)
	if err != nil {
		return s.reply(urpcResult{Err: err.Error()}, nil)
	}
	return s.reply(urpcResult{Success: true, Result: result}, out)
}

// receive returns the next call and its files, which the caller owns.
func (s *Server) receive() (call urpcCall, files []*os.File, err error) {
	r := s.sock.Reader(true)
	r.EnableFDs(1)
	first := make([]byte, 1)
	n, err := r.ReadVec([][]byte{first})
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		return call, nil, err
	}
	nums, err := r.ExtractFDs()
	for _, fd := range nums {
		files = append(files, os.NewFile(uintptr(fd), "sandbox's"))
	}
	if err != nil {
		return call, files, fmt.Errorf("receive files: %w", err)
	}
	limited := io.LimitReader(io.MultiReader(bytes.NewReader(first), s.sock), maxCall)
	if err := json.NewDecoder(limited).Decode(&call); err != nil {
		return call, files, fmt.Errorf("decode call: %w", err)
	}
	return call, files, nil
}

// dispatch carries out a call. The files that it returns are the caller's.
func (s *Server) dispatch(call urpcCall, files []*os.File) (result any, out []*os.File, err error) {
	switch call.Method {
	case "AsyncFileServer.Open":
		var req stateipc.OpenRequest
		var resp stateipc.OpenResponse
		if err = json.Unmarshal(call.Arg, &req); err == nil {
			err = s.files.Open(&req, &resp)
		}
		if err == nil && req.Path == checkpointfiles.PagesFileName {
			s.noteOpen(resp.Handle)
		}
		return &resp, resp.Files, err
	case "AsyncFileServer.RegisterClientFile":
		req := stateipc.RegisterClientFileRequest{}
		var resp stateipc.RegisterClientFileResponse
		if err = json.Unmarshal(call.Arg, &req); err == nil {
			req.FilePayload = urpc.FilePayload{Files: files}
			err = s.files.RegisterClientFile(&req, &resp)
		}
		return &resp, nil, err
	case "AsyncFileServer.Close":
		var req stateipc.CloseRequest
		var resp stateipc.CloseResponse
		if err = json.Unmarshal(call.Arg, &req); err == nil {
			err = s.files.Close(&req, &resp)
		}
		if err == nil {
			s.noteClose(req.Handle)
		}
		return &resp, nil, err
	}
	return nil, nil, urpc.ErrUnknownMethod
}

// noteOpen notes the handle of the pages file.
func (s *Server) noteOpen(handle uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pagesHandle = &handle
}

// noteClose notes that a file is closed. The sandbox closes the pages file once
// it has loaded all of it; after a failure it doesn't get so far.
func (s *Server) noteClose(handle uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pagesHandle != nil && *s.pagesHandle == handle {
		s.complete = true
	}
}

func (s *Server) reply(r urpcResult, files []*os.File) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	w := s.sock.Writer(true)
	nums := make([]int, len(files))
	for i, f := range files {
		nums[i] = int(f.Fd())
	}
	w.PackFDs(nums...)
	for len(b) > 0 {
		n, err := w.WriteVec([][]byte{b})
		if err != nil {
			return fmt.Errorf("reply to the sandbox: %w", err)
		}
		b = b[n:]
		w.PackFDs()
	}
	return nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
