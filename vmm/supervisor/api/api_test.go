package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers on a socket with handler until the test ends.
func serve(t *testing.T, handler http.HandlerFunc) *api.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener) //nolint:errcheck // ends by Close
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return api.NewClient(path)
}

func TestCallsReachTheirPaths(t *testing.T) {
	var got []string
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.Path)
		if r.Method == http.MethodGet {
			api.WriteAnswer(w, api.Machine{Name: "alpha", State: api.StatePaused, MemoryBytes: 1 << 28})
			return
		}
		api.WriteAnswer(w, nil)
	})
	ctx := t.Context()
	m, err := client.Machine(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(api.Machine{Name: "alpha", State: api.StatePaused, MemoryBytes: 1 << 28}, m); diff != "" {
		t.Errorf("machine (-want +got):\n%s", diff)
	}
	for _, call := range []func(context.Context) error{
		client.Pause, client.Resume, client.Stop, client.Kill, client.CancelMigrate,
		func(ctx context.Context) error { return client.Balloon(ctx, api.BalloonRequest{MemoryBytes: 1 << 27}) },
	} {
		if err := call(ctx); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		"GET /v1/machine", "POST /v1/machine/pause", "POST /v1/machine/resume", "POST /v1/machine/stop",
		"POST /v1/machine/kill", "POST /v1/machine/migrate/cancel", "POST /v1/machine/balloon",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestErrorsArriveWithCodeAndRemedy(t *testing.T) {
	want := api.Errorf(api.CodeBadState, "vmm resume alpha", "alpha is paused")
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		api.WriteError(w, fmt.Errorf("wrapped: %w", want))
	})
	err := client.Pause(t.Context())
	got, ok := errors.AsType[*api.Error](err)
	if !ok {
		t.Fatalf("got %v; want an *api.Error", err)
	}
	if diff := cmp.Diff(&api.Error{Code: want.Code, Message: "wrapped: alpha is paused", Remedy: want.Remedy}, got); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

func TestErrorOfSomethingElse(t *testing.T) {
	client := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "teapot", http.StatusTeapot) })
	err := client.Pause(t.Context())
	if known, ok := errors.AsType[*api.Error](err); !ok || known.Code != api.CodeInternal || !strings.Contains(err.Error(), "teapot") {
		t.Errorf("got %v; want an internal error with the answer's text", err)
	}
}

func TestNobodyListens(t *testing.T) {
	client := api.NewClient(filepath.Join(t.TempDir(), "none.sock"))
	for name, call := range map[string]func() error{
		"pause":   func() error { return client.Pause(t.Context()) },
		"console": func() error { _, err := client.Console(t.Context()); return err },
		"migrate": func() error { _, err := client.Migrate(t.Context(), api.MigrateRequest{}, nil); return err },
	} {
		err := call()
		if known, ok := errors.AsType[*api.Error](err); !ok || known.Code != api.CodeNoSuchMachine || known.Remedy == "" {
			t.Errorf("%s: got %#v; want code no_such_machine with a remedy", name, err)
		}
	}
}

func TestMigrateStreams(t *testing.T) {
	request := api.MigrateRequest{Target: "tcp:127.0.0.1:1", Mode: api.ModePrecopy, DowntimeLimitMS: 50}
	result := api.Result{
		Outcome: api.OutcomeCompleted, Mode: api.ModePrecopy, TargetName: "alpha", Rounds: []api.Round{{Pages: 1, Bytes: 4096}},
		Downtime: api.Downtime{PauseMS: 0.5},
	}
	reports := []api.Progress{{Phase: "push", SentBytes: 1}, {Phase: "push", Round: 1, SentBytes: 2}}
	sent := make(chan struct{})
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var got api.MigrateRequest
		if err := api.ReadRequest(w, r, &got); err != nil {
			api.WriteError(w, err)
			return
		}
		if diff := cmp.Diff(request, got); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
		stream := api.NewStream(w)
		for _, p := range reports {
			stream.Progress(p) //nolint:errcheck
			<-sent             // the report must arrive before the next is written
		}
		stream.Result(result) //nolint:errcheck
	})
	var got []api.Progress
	end, err := client.Migrate(t.Context(), request, func(p api.Progress) {
		got = append(got, p)
		sent <- struct{}{}
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(result, end); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(reports, got); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestMigrateStreamThatBreaksOff(t *testing.T) {
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		api.NewStream(w).Progress(api.Progress{Phase: "push"}) //nolint:errcheck
		panic(http.ErrAbortHandler)
	})
	_, err := client.Migrate(t.Context(), api.MigrateRequest{}, nil)
	if known, ok := errors.AsType[*api.Error](err); !ok || known.Code != api.CodeConnectionLost {
		t.Errorf("got %v; want code connection_lost", err)
	}
}

func TestMigrateStreamThatEndsInAnError(t *testing.T) {
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		stream := api.NewStream(w)
		stream.Progress(api.Progress{Phase: "push"})              //nolint:errcheck
		stream.Error(api.Errorf(api.CodeInternal, "", "it died")) //nolint:errcheck
	})
	_, err := client.Migrate(t.Context(), api.MigrateRequest{}, nil)
	if known, ok := errors.AsType[*api.Error](err); !ok || known.Code != api.CodeInternal || known.Message != "it died" {
		t.Errorf("got %v; want the error", err)
	}
}

func TestRequestsWithUnknownFieldsAreRefused(t *testing.T) {
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var snapshot api.SnapshotRequest
		if err := api.ReadRequest(w, r, &snapshot); err != nil {
			api.WriteError(w, err)
			return
		}
		t.Error("got no error; want bad_request")
	})
	_, err := client.Migrate(t.Context(), api.MigrateRequest{}, nil)
	if known, ok := errors.AsType[*api.Error](err); !ok || known.Code != api.CodeBadRequest {
		t.Errorf("got %v; want code bad_request", err)
	}
}

func TestConsole(t *testing.T) {
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := api.AcceptConsole(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, ok := conn.(*net.UnixConn); !ok {
			t.Errorf("got a %T; want a *net.UnixConn, whose descriptor can be passed on", conn)
		}
		if _, err := io.WriteString(conn, "READY\n"); err != nil {
			t.Error(err)
		}
		typed := make([]byte, 4)
		if _, err := io.ReadFull(conn, typed); err != nil {
			t.Error(err)
		}
		conn.Write(typed) //nolint:errcheck
	})
	conn, err := client.Console(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "ping"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if want := "READY\nping"; string(got) != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestConsoleRefused(t *testing.T) {
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		api.WriteError(w, api.Errorf(api.CodeBadState, "", "no console"))
	})
	_, err := client.Console(t.Context())
	if known, ok := errors.AsType[*api.Error](err); !ok || known.Code != api.CodeBadState {
		t.Errorf("got %v; want code bad_state", err)
	}
}

func TestCancelledCallSaysSo(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-leave
	})
	defer close(leave)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	if err := client.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want context.Canceled", err)
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]api.Address{
		"tcp:127.0.0.1:4444": {Host: "127.0.0.1", Port: 4444},
		"tcp:[::1]:0":        {Host: "::1"},
		"tcp::65535":         {Port: 65535},
		"tcp:host.test:1":    {Host: "host.test", Port: 1},
		"unix:/tmp/a b":      {Path: "/tmp/a b"},
		"unix:/tmp//x/../y":  {Path: "/tmp/y"},
	} {
		got, err := api.ParseAddress(text)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
			continue
		}
		if again, err := api.ParseAddress(got.String()); err != nil || again != got {
			t.Errorf("%s: its text %s reads as %v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{
		"", "tcp:", "tcp:host", "127.0.0.1:4444", "unix:", "unix:/" + strings.Repeat("x", 107), "tcp:h:65536", "tcp:h:-1", "tcp:h:http", "tcp:a b:1", "tcp:::1:5",
	} {
		_, err := api.ParseAddress(text)
		if known, ok := errors.AsType[*api.Error](err); !ok || known.Code != api.CodeUsage || known.Remedy == "" {
			t.Errorf("%q: got %v; want a usage error with a remedy", text, err)
		}
	}
}

func TestCheckSecure(t *testing.T) {
	for host, safe := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "localhost": true, "::ffff:127.0.0.1": true,
		"": false, "0.0.0.0": false, "10.77.0.1": false, "host.test": false, "fe80::1": false,
	} {
		address := api.Address{Host: host, Port: 1}
		if got := address.CheckSecure("", false) == nil; got != safe {
			t.Errorf("%q: got %v; want %v", host, got, safe)
		}
		for tls, insecure := range map[string]bool{"": true, "/tls": false} {
			if err := address.CheckSecure(tls, insecure); err != nil {
				t.Errorf("%q, tls %q, insecure %v: got %v; want nil", host, tls, insecure, err)
			}
		}
		if err := address.CheckSecure("/tls", true); err == nil {
			t.Errorf("%q with both: got nil; want an error", host)
		}
	}
	if err := (api.Address{Path: "/x"}).CheckSecure("/tls", false); err == nil {
		t.Error("TLS over a socket of this host: got nil; want an error")
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "receive-4444", "A.b_c-9", strings.Repeat("x", 63)} {
		if err := api.CheckName(name); err != nil {
			t.Errorf("%q: got %v; want nil", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "-a", "a/b", "a b", "a\n", strings.Repeat("x", 64)} {
		if err := api.CheckName(name); err == nil {
			t.Errorf("%q: got nil; want an error", name)
		}
	}
}
