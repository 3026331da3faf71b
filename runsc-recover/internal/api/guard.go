package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Engines may kill the process that stands for an exec on the host, which then
// can't take its process in the sandbox along. So the host's process keeps a
// request open. The body is an ExecProcess and, when that has ended by itself,
// endedWord:
//
//	client                          supervisor
//	   | ---- POST, ExecProcess ------> |
//	   | <--- 200 --------------------- |  on guard
//	   | ---- endedWord, end of body -> |
//	   | <--- end of answer ----------- |
//
// A body that ends without endedWord makes the supervisor kill the process.
const endedWord = "ended"

// Guard is an open request that stands for a process of exec. Not safe for
// concurrent use.
type Guard struct {
	body *io.PipeWriter
	resp *http.Response
}

// Guard makes the supervisor kill p when this process ends without a call of
// Ended.
func (c *Client) Guard(p ExecProcess) (*Guard, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	r, w := io.Pipe()
	body := io.MultiReader(bytes.NewReader(append(b, '\n')), r)
	resp, err := c.do(context.Background(), http.MethodPost, pathExecGuard, body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer resp.Body.Close()
		return nil, decodeError(io.LimitReader(resp.Body, maxAnswer), resp.Status)
	}
	return &Guard{body: w, resp: resp}, nil
}

// Ended tells the supervisor that the process has ended by itself, and returns
// when the supervisor knows. A pid that another process has by then must not be
// killed.
func (g *Guard) Ended() {
	defer g.resp.Body.Close()
	// A supervisor that has gone away guards nothing any more.
	_, _ = io.WriteString(g.body, endedWord)
	_ = g.body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(g.resp.Body, maxAnswer))
}

// guardExec is the far side of Guard.
func guardExec(w http.ResponseWriter, r *http.Request, s Service) {
	in := json.NewDecoder(io.LimitReader(r.Body, maxRequest))
	var p ExecProcess
	if err := in.Decode(&p); err != nil {
		answerError(w, badRequest("decode request: %v", err))
		return
	}
	answer := http.NewResponseController(w)
	// Otherwise the server would read the whole body before it answers.
	if err := answer.EnableFullDuplex(); err != nil {
		answerError(w, Classify(fmt.Errorf("answer ahead of the body: %w", err)))
		return
	}
	w.WriteHeader(http.StatusOK)
	_ = answer.Flush()
	rest, _ := io.ReadAll(io.LimitReader(io.MultiReader(in.Buffered(), r.Body), maxRequest))
	if string(bytes.TrimSpace(rest)) == endedWord {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), requestTime)
	defer cancel()
	// An error would have nobody to go to: the guard's process is gone.
	_ = s.KillExec(ctx, p)
}
