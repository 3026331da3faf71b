package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/errdefs"
)

// Client speaks to the supervisor behind one control socket. Its methods are
// those of Operations. Beside the service's own errors they return errors of code
// errdefs.CodeSupervisorGone when nobody answers. Safe for concurrent use.
type Client struct {
	http *http.Client
}

var _ Operations = (*Client)(nil)

// NewClient returns a client for the socket at path. Each request connects
// anew.
func NewClient(path string) *Client {
	return &Client{http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, path)
		},
		DisableKeepAlives: true,
	}}}
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	short, dir, err := shortenPath(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return (&net.Dialer{}).DialContext(ctx, "unix", short)
}

// Start runs the program of a created container.
func (c *Client) Start(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, pathStart, nil, nil)
}

// Signal sends a signal to the container's first process, or to all.
func (c *Client) Signal(ctx context.Context, r SignalRequest) error {
	return c.call(ctx, http.MethodPost, pathSignal, r, nil)
}

// Pause stops the container's processes.
func (c *Client) Pause(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, pathPause, nil, nil)
}

// Resume lets paused processes run on.
func (c *Client) Resume(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, pathResume, nil, nil)
}

// Processes lists the processes in the container.
func (c *Client) Processes(ctx context.Context) ([]Process, error) {
	return fetch[[]Process](ctx, c, http.MethodGet, pathProcesses)
}

// Stats reads the container's resource use.
func (c *Client) Stats(ctx context.Context) (Stats, error) {
	return fetch[Stats](ctx, c, http.MethodGet, pathStats)
}

// Update changes the container's resource limits.
func (c *Client) Update(ctx context.Context, r specs.LinuxResources) error {
	return c.call(ctx, http.MethodPost, pathUpdate, r, nil)
}

// Generation says where the running sandbox is found.
func (c *Client) Generation(ctx context.Context) (Generation, error) {
	return fetch[Generation](ctx, c, http.MethodGet, pathGeneration)
}

// Checkpoint takes a checkpoint into the container's store.
func (c *Client) Checkpoint(ctx context.Context) (checkpoint.Manifest, error) {
	return fetch[checkpoint.Manifest](ctx, c, http.MethodPost, pathCheckpoints)
}

// SaveImage writes an ordinary image.
func (c *Client) SaveImage(ctx context.Context, r SaveImageRequest) error {
	return c.call(ctx, http.MethodPost, pathImage, r, nil)
}

// Checkpoints lists the checkpoints in the store.
func (c *Client) Checkpoints(ctx context.Context) ([]CheckpointEntry, error) {
	return fetch[[]CheckpointEntry](ctx, c, http.MethodGet, pathCheckpoints)
}

// VerifyCheckpoint reads a checkpoint in full.
func (c *Client) VerifyCheckpoint(ctx context.Context, seq checkpoint.Seq) error {
	return c.call(ctx, http.MethodPost, pathOfSeq(seq)+"/verify", nil, nil)
}

// RemoveCheckpoint deletes a checkpoint.
func (c *Client) RemoveCheckpoint(ctx context.Context, seq checkpoint.Seq) error {
	return c.call(ctx, http.MethodDelete, pathOfSeq(seq), nil, nil)
}

// Fail makes the container fail as if its program had.
func (c *Client) Fail(ctx context.Context, r FailRequest) error {
	return c.call(ctx, http.MethodPost, pathFail, r, nil)
}

// Wait returns when the container is over.
func (c *Client) Wait(ctx context.Context) (ExitStatus, error) {
	return fetch[ExitStatus](ctx, c, http.MethodGet, pathWait)
}

// Shutdown ends the container and everything of it.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, pathShutdown, nil, nil)
}

func pathOfSeq(seq checkpoint.Seq) string {
	return pathCheckpoints + "/" + strconv.FormatUint(uint64(seq), 10)
}

func fetch[T any](ctx context.Context, c *Client, method, path string) (T, error) {
	var v T
	err := c.call(ctx, method, path, nil, &v)
	return v, err
}

// call sends in, unless nil, and decodes the answer into out, unless nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := io.LimitReader(resp.Body, maxAnswer)
	if resp.StatusCode >= http.StatusBadRequest {
		return decodeError(answer, resp.Status)
	}
	if out == nil {
		return nil
	}
	if err := decode(answer, out); err != nil {
		if gone(err) {
			return supervisorGone(err)
		}
		return fmt.Errorf("decode supervisor's answer: %w", err)
	}
	return nil
}

func decodeError(r io.Reader, status string) error {
	var e Error
	if err := decode(r, &e); err != nil || e.Code == "" {
		return errdefs.Errorf(errdefs.CodeInternal, "supervisor answered %s", status)
	}
	return &e
}

// do returns the answer to one request, whose body the caller closes, or an
// error for users.
//
// Once connected, an error means that the supervisor hung up, in whatever
// words: net/http exports no error for a peer that does so before the request
// is written.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	connected := false
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected = true },
	})
	req, err := http.NewRequestWithContext(traced, method, "http://supervisor"+path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	resp, err := c.http.Do(req)
	switch {
	case err == nil:
		return resp, nil
	case ctx.Err() != nil:
		return nil, &Error{Code: errdefs.CodeTimeout, Message: "supervisor didn't answer in time", Err: ctx.Err()}
	case connected || gone(err):
		return nil, supervisorGone(err)
	}
	return nil, fmt.Errorf("speak to supervisor: %w", err)
}

// gone reports whether err is how a supervisor's absence or death looks.
func gone(err error) bool {
	for _, e := range []error{os.ErrNotExist, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func supervisorGone(err error) error {
	return &Error{Code: errdefs.CodeSupervisorGone, Message: "container's supervisor is gone", Next: "delete the container", Err: err}
}
