package supervisor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// server is the API socket of one supervisor.
type server struct {
	s        *supervisor
	http     *http.Server
	listener *net.UnixListener
}

func newServer(s *supervisor) *server {
	v := &server{s: s}
	mux := http.NewServeMux()
	for pattern, e := range v.endpoints() {
		mux.HandleFunc(pattern, e.serve)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		api.WriteError(w, api.Errorf(api.CodeBadRequest, "see docs/openapi.json", "there is no %s %s", r.Method, r.URL.Path))
	})
	v.http = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	return v
}

// listen opens the socket at path and serves on it.
func (v *server) listen(path string) error {
	if len(path) > api.MaxPath {
		return api.Errorf(api.CodeNoDir, "set FERRY_DIR to a folder with a shorter path",
			"state folder: the path of a socket can have %d bytes, %s has %d", api.MaxPath, path, len(path))
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return noDir(err)
	}
	l.SetUnlinkOnClose(false) // it may have been renamed; the name's release removes it
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return noDir(err)
	}
	v.listener = l
	go func() { _ = v.http.Serve(l) }()
	return nil
}

// unlisten takes no new requests; those under way go on.
func (v *server) unlisten() { v.listener.Close() }

// drain gives the requests under way time to answer.
func (v *server) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := v.http.Shutdown(ctx); err != nil {
		v.http.Close()
	}
}

// endpoints are all that the API can do, by method and path. docs/openapi.json describes them, as a test makes sure.
func (v *server) endpoints() map[string]endpoint {
	s := v.s
	return map[string]endpoint{
		"GET " + api.PathMachine:          exchange(asked(s.info)),
		"GET " + api.PathStatistics:       exchange(asked(s.statistics)),
		"GET " + api.PathReceive:          exchange(asked(s.receiving)),
		"GET " + api.PathMigrate:          exchange(asked(s.moving)),
		"POST " + api.PathPause:           exchange(s.order(vmm.MethodPause)),
		"POST " + api.PathResume:          exchange(s.order(vmm.MethodResume)),
		"POST " + api.PathMigrateCancel:   exchange(s.order(vmm.MethodCancel)),
		"POST " + api.PathMigratePull:     exchange(s.order(vmm.MethodFetch)),
		"POST " + api.PathMigrateContinue: exchange(s.order(vmm.MethodContinue)),
		"POST " + api.PathDirtyRate:       exchange(s.dirtyRate),
		"POST " + api.PathBalloon:         exchange(s.balloon),
		"POST " + api.PathStop:            exchange(v.stop),
		"POST " + api.PathKill:            exchange(v.kill),
		"POST " + api.PathMigrateResolve: exchange(func(ctx context.Context, q api.ResolveRequest) (nothing, error) {
			return nothing{}, s.resolve(ctx, q.Owner)
		}),
		"POST " + api.PathMigrate:  streams[api.MigrateRequest, api.StreamLine](v.migrate),
		"POST " + api.PathSnapshot: streams[api.SnapshotRequest, api.StreamLine](v.snapshot),
		"GET " + api.PathEvents:    streams[nothing, api.Event](v.events),
		"GET " + api.PathMetrics:   streams[nothing, string](v.metrics),
		"GET " + api.PathConsole:   streams[nothing, nothing](v.console),
	}
}

// order passes a call without arguments on to the machine.
func (s *supervisor) order(method string) func(context.Context, nothing) (nothing, error) {
	return func(ctx context.Context, _ nothing) (nothing, error) {
		_, err := s.call(ctx, method, nil, nil)
		return nothing{}, err
	}
}

func (s *supervisor) balloon(ctx context.Context, b api.BalloonRequest) (nothing, error) {
	_, err := s.call(ctx, vmm.MethodBalloon, vmm.Balloon{MemoryBytes: b.MemoryBytes}, nil)
	return nothing{}, err
}

// stop answers when the guest has ended, and so does kill: their requester may have gone by then.
func (v *server) stop(context.Context, nothing) (nothing, error) {
	if !v.s.quitWaiting() {
		if err := v.s.mayStop(); err != nil {
			return nothing{}, err
		}
		go v.s.stop(v.s.machine(), v.s.mayStop)
	}
	<-v.s.finished
	return nothing{}, nil
}

func (v *server) kill(context.Context, nothing) (nothing, error) {
	if !v.s.quitWaiting() {
		v.s.machine().kill()
	}
	<-v.s.finished
	return nothing{}, nil
}

func (v *server) console(w http.ResponseWriter, r *http.Request) {
	if v.s.machine() == nil {
		api.WriteError(w, api.Errorf(api.CodeBadState, "wait until a guest has arrived", "no guest runs here yet"))
		return
	}
	conn, err := api.AcceptConsole(w, r)
	if err != nil {
		return
	}
	defer conn.Close()
	f, err := fileOf(conn)
	if err != nil {
		fmt.Fprintf(conn, "console: %v\r\n", err)
		return
	}
	defer f.Close()
	if _, err := v.s.call(context.Background(), vmm.MethodConsole, nil, nil, f); err != nil {
		fmt.Fprintf(conn, "console: %v\r\n", err)
	}
}
