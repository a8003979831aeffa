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
)

// maxErrorBody bounds what is read of an answer that should be an ErrorBody, in bytes.
const maxErrorBody = 64 << 10

// Client speaks to one machine's API socket. Its methods may be called at the same time.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client of the API socket at path. It does not connect yet.
func NewClient(path string) *Client {
	c := &Client{socket: path}
	c.http = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // a kept connection would hold the supervisor's exit up
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
	}}
	return c
}

// Socket returns the path of the API socket.
func (c *Client) Socket() string { return c.socket }

// Machine returns the machine's description.
func (c *Client) Machine(ctx context.Context) (Machine, error) {
	var m Machine
	err := c.call(ctx, http.MethodGet, PathMachine, nil, &m)
	return m, err
}

// Statistics returns what the guest has done here so far.
func (c *Client) Statistics(ctx context.Context) (Statistics, error) {
	var s Statistics
	err := c.call(ctx, http.MethodGet, PathStatistics, nil, &s)
	return s, err
}

// Receiving returns how a machine fares that waits for a guest; of another the error has code CodeBadState.
func (c *Client) Receiving(ctx context.Context) (Receiving, error) {
	var r Receiving
	err := c.call(ctx, http.MethodGet, PathReceive, nil, &r)
	return r, err
}

// Moving returns how far the move or snapshot under way has come, whoever asked for it, or how the last one ended.
func (c *Client) Moving(ctx context.Context) (Moving, error) {
	var m Moving
	err := c.call(ctx, http.MethodGet, PathMigrate, nil, &m)
	return m, err
}

// Pause stops the guest's vCPUs.
func (c *Client) Pause(ctx context.Context) error { return c.post(ctx, PathPause) }

// Resume lets a paused guest go on.
func (c *Client) Resume(ctx context.Context) error { return c.post(ctx, PathResume) }

// Balloon asks the guest to give memory back, or to take it. It does not wait for the guest: Machine tells how far it is.
func (c *Client) Balloon(ctx context.Context, r BalloonRequest) error {
	return c.call(ctx, http.MethodPost, PathBalloon, r, nil)
}

// DirtyRate measures how much of its memory the guest writes; it takes as long as the request says.
func (c *Client) DirtyRate(ctx context.Context, r DirtyRateRequest) (DirtyRate, error) {
	var rate DirtyRate
	err := c.call(ctx, http.MethodPost, PathDirtyRate, r, &rate)
	return rate, err
}

// Stop asks the guest to end, makes it end after 10 s, and returns when the machine is gone.
func (c *Client) Stop(ctx context.Context) error { return c.post(ctx, PathStop) }

// Kill ends the machine at once.
func (c *Client) Kill(ctx context.Context) error { return c.post(ctx, PathKill) }

// CancelMigrate ends the move or snapshot under way, unless the move has been committed. The move's own answer says how
// it ended.
func (c *Client) CancelMigrate(ctx context.Context) error { return c.post(ctx, PathMigrateCancel) }

// ContinueMigrate lets the move go on that waits with the guest paused.
func (c *Client) ContinueMigrate(ctx context.Context) error { return c.post(ctx, PathMigrateContinue) }

// Pull fetches all of the guest's memory that is still at its source, and returns when it is here.
func (c *Client) Pull(ctx context.Context) error { return c.post(ctx, PathMigratePull) }

// Resolve decides who owns a guest whose move is in doubt. It returns when the guest runs here, or is gone.
func (c *Client) Resolve(ctx context.Context, r ResolveRequest) error {
	return c.call(ctx, http.MethodPost, PathMigrateResolve, r, nil)
}

// Migrate moves the guest and returns when the move ended, one way or another. It calls progress, if not nil, for every
// report, on the calling goroutine. An error is returned only when the move did not begin, or when its end could not be
// learned (code CodeConnectionLost: the move may have completed); a move that failed is a Result with Error set.
func (c *Client) Migrate(ctx context.Context, r MigrateRequest, progress func(Progress)) (Result, error) {
	return c.stream(ctx, PathMigrate, r, progress)
}

// Snapshot writes the guest to a directory; it reports and returns as Migrate does.
func (c *Client) Snapshot(ctx context.Context, r SnapshotRequest, progress func(Progress)) (Result, error) {
	return c.stream(ctx, PathSnapshot, r, progress)
}

func (c *Client) post(ctx context.Context, path string) error {
	return c.call(ctx, http.MethodPost, path, nil, nil)
}

// call sends in (if not nil) and decodes the answer into out (if not nil).
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	answer, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		return c.lost(ctx, err)
	}
	return nil
}

func (c *Client) stream(ctx context.Context, path string, in any, progress func(Progress)) (Result, error) {
	answer, err := c.send(ctx, http.MethodPost, path, in)
	if err != nil {
		return Result{}, err
	}
	defer answer.Body.Close()
	lines := json.NewDecoder(answer.Body)
	for {
		var line StreamLine
		if err := lines.Decode(&line); err != nil {
			return Result{}, c.lost(ctx, err)
		}
		switch {
		case line.Result != nil:
			return *line.Result, nil
		case line.Error != nil:
			return Result{}, line.Error
		case line.Progress != nil && progress != nil:
			progress(*line.Progress)
		}
	}
}

// send returns the answer if it is a success; its body is the caller's to close.
func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("api: encode request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://ferry"+path, body)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer, nil
	}
	defer answer.Body.Close()
	return nil, failure(answer)
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", c.socket)
	if err != nil && ctx.Err() == nil {
		return nil, Errorf(CodeNoSuchMachine, "vmm ps", "no supervisor answers at %s: %v", c.socket, err)
	}
	return conn, err
}

// lost turns an error of the connection into one for people, unless it is one already or ctx has ended.
func (c *Client) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("api: %w", context.Cause(ctx))
	}
	if known, ok := errors.AsType[*Error](err); ok {
		return known
	}
	return Errorf(CodeConnectionLost, "vmm ps", "the supervisor at %s went away before it had answered: %v", c.socket, err)
}

// failure reads the error out of an answer that is no success.
func failure(answer *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxErrorBody))
	if err != nil {
		return Errorf(CodeConnectionLost, "vmm ps", "the supervisor's answer broke off: %v", err)
	}
	var body ErrorBody
	if err := json.Unmarshal(text, &body); err != nil || body.Error == nil {
		return Errorf(CodeInternal, "use the vmm that started the machine, or one of its version", "the supervisor answered %s: %.200q", answer.Status, text)
	}
	return body.Error
}
