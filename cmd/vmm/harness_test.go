package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ferryvmm/ferry/vcpu"
	"github.com/ferryvmm/ferry/vmm/supervisor"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
	"github.com/ferryvmm/ferry/vmm/supervisor/doctor"
	"github.com/ferryvmm/ferry/vmm/supervisor/identity"
)

func TestMain(m *testing.M) {
	if os.Getenv(fakeVMM) != "" {
		os.Exit(fakeMain(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// harness is an app whose supervisor package is a fake: what it was asked for is recorded.
type harness struct {
	*app
	t              *testing.T
	stdout, stderr *buffer
	state          string // the state folder
	sent           chan os.Signal

	calls    []any // the configs of run, receive and restore; the arguments of detach; the names of kill
	machines []api.Machine
	openErr  error
	end      supervisor.Exit
	failure  error // of run, receive, restore, detach and kill
	begun    api.Started
	told     error // to a waiting parent
	waited   bool
	waitErr  error
	model    vcpu.Model // the host's
	found    doctor.Report
	offer    []byte // of a peer
	issued   []identity.Issued
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	h := &harness{
		t: t, stdout: &buffer{}, stderr: &buffer{}, state: t.TempDir(), sent: make(chan os.Signal, 2),
		begun: api.Started{Name: "alpha", PID: 42, Socket: "/run/x/alpha.sock"},
	}
	h.app = &app{
		stdin: null, stdout: h.stdout, stderr: h.stderr,
		signals: func(...os.Signal) (<-chan os.Signal, func()) { return h.sent, func() {} },
		backend: backend{
			dir:  func() (string, error) { return h.state, nil },
			list: func(string) ([]api.Machine, error) { return h.machines, nil },
			open: func(dir, name string) (*api.Client, error) {
				if h.openErr != nil {
					return nil, h.openErr
				}
				return api.NewClient(filepath.Join(dir, name+".sock")), nil
			},
			kill: func(_, name string) error { return h.record(name) },
			resolve: func(_ context.Context, _, name string, owner api.Owner) error {
				return h.record(name + " to " + string(owner))
			},
			watch: func(*api.Client) (watch, error) { return fakeWatch{h}, nil },
			run: func(_ context.Context, c supervisor.RunConfig) (supervisor.Exit, error) {
				return h.began(c.Started, func() { c.Started = nil; h.record(c) })
			},
			receive: func(_ context.Context, c supervisor.ReceiveConfig) (supervisor.Exit, error) {
				if h.failure == nil {
					c.Listening("tcp:127.0.0.1:4444")
				}
				return h.began(c.Started, func() { c.Started, c.Listening = nil, nil; h.record(c) })
			},
			restore: func(_ context.Context, c supervisor.RestoreConfig) (supervisor.Exit, error) {
				return h.began(c.Started, func() { c.Started = nil; h.record(c) })
			},
			detach:  func(args []string) (api.Started, error) { return h.begun, h.record(args) },
			failed:  func(err error) { h.told = err },
			cpu:     func() (vcpu.Model, error) { return h.model, h.failure },
			examine: func(string) (doctor.Report, vcpu.Model) { return h.found, h.model },
			probe:   func(_ context.Context, address, _ string, _ bool) ([]byte, error) { return h.offer, h.record(address) },
			certs: func(dir string, hosts [][]string, valid time.Duration) ([]identity.Issued, error) {
				return h.issued, h.record(certsCall{dir, hosts, valid})
			},
		},
	}
	return h
}

func (h *harness) record(call any) error {
	h.calls = append(h.calls, call)
	return h.failure
}

func (h *harness) began(started func(api.Started), record func()) (supervisor.Exit, error) {
	record()
	if h.failure != nil {
		return supervisor.Exit{Code: 1}, h.failure
	}
	started(h.begun)
	return h.end, nil
}

// run runs a command line and returns its exit code.
func (h *harness) run(args ...string) int {
	h.t.Helper()
	return h.main(h.t.Context(), args)
}

// objects decodes what stdout has, which must be one JSON object a line.
func (h *harness) objects() []map[string]any {
	h.t.Helper()
	var all []map[string]any
	for line := range strings.Lines(h.stdout.String()) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			h.t.Fatalf("stdout has %q: %v", line, err)
		}
		all = append(all, one)
	}
	return all
}

// serve makes a machine of that name which answers with handler.
func (h *harness) serve(name string, handler http.HandlerFunc) {
	h.t.Helper()
	listener, err := net.Listen("unix", filepath.Join(h.state, name+".sock"))
	if err != nil {
		h.t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener) //nolint:errcheck // ends by Close
	}()
	h.t.Cleanup(func() {
		server.Close()
		<-done
	})
}

type fakeWatch struct{ h *harness }

func (w fakeWatch) Wait(context.Context) error {
	w.h.waited = true
	return w.h.waitErr
}

func (fakeWatch) Close() error { return nil }

// buffer is a bytes.Buffer for several goroutines, which tells of its growth.
type buffer struct {
	mu   sync.Mutex // guards all
	text bytes.Buffer
	grew chan struct{}
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.grew != nil {
		close(b.grew)
		b.grew = nil
	}
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// wait returns when the text contains part.
func (b *buffer) wait(t *testing.T, part string) {
	t.Helper()
	for {
		b.mu.Lock()
		if strings.Contains(b.text.String(), part) {
			b.mu.Unlock()
			return
		}
		if b.grew == nil {
			b.grew = make(chan struct{})
		}
		grew := b.grew
		b.mu.Unlock()
		select {
		case <-grew:
		case <-t.Context().Done():
			t.Fatalf("got %q; want it to contain %q", b, part)
		}
	}
}

var errTest = errors.New("it broke")
