package supervisor

import (
	"context"
	"errors"
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
	mux.HandleFunc("GET "+api.PathMachine, v.machine)
	mux.HandleFunc("POST "+api.PathPause, v.ask(vmm.MethodPause))
	mux.HandleFunc("POST "+api.PathResume, v.ask(vmm.MethodResume))
	mux.HandleFunc("POST "+api.PathMigrateCancel, v.ask(vmm.MethodCancel))
	mux.HandleFunc("POST "+api.PathMigratePull, v.ask(vmm.MethodFetch))
	mux.HandleFunc("POST "+api.PathMigrateContinue, v.ask(vmm.MethodContinue))
	mux.HandleFunc("POST "+api.PathDirtyRate, v.dirtyRate)
	mux.HandleFunc("POST "+api.PathBalloon, v.balloon)
	mux.HandleFunc("POST "+api.PathStop, v.stop)
	mux.HandleFunc("POST "+api.PathKill, v.kill)
	mux.HandleFunc("POST "+api.PathMigrate, v.migrate)
	mux.HandleFunc("POST "+api.PathMigrateResolve, v.resolve)
	mux.HandleFunc("POST "+api.PathSnapshot, v.snapshot)
	mux.HandleFunc("GET "+api.PathConsole, v.console)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		api.WriteError(w, api.Errorf(api.CodeBadRequest, "see docs/cli.md for the API", "there is no %s %s", r.Method, r.URL.Path))
	})
	v.http = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	return v
}

// listen opens the socket at path and serves on it.
func (v *server) listen(path string) error {
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

func (v *server) machine(w http.ResponseWriter, r *http.Request) {
	m, err := v.s.info(r.Context())
	if err != nil {
		api.WriteError(w, err)
		return
	}
	api.WriteAnswer(w, m)
}

// ask passes a call without arguments on to the machine.
func (v *server) ask(method string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := v.s.call(r.Context(), method, nil, nil); err != nil {
			api.WriteError(w, err)
			return
		}
		api.WriteAnswer(w, nil)
	}
}

func (v *server) balloon(w http.ResponseWriter, r *http.Request) {
	var b api.BalloonRequest
	err := api.ReadRequest(w, r, &b)
	if err == nil {
		_, err = v.s.call(r.Context(), vmm.MethodBalloon, vmm.Balloon{MemoryBytes: b.MemoryBytes}, nil)
	}
	if err != nil {
		api.WriteError(w, err)
		return
	}
	api.WriteAnswer(w, nil)
}

func (v *server) stop(w http.ResponseWriter, r *http.Request) {
	if !v.s.quitWaiting() {
		if err := v.s.mayStop(); err != nil {
			api.WriteError(w, err)
			return
		}
		go v.s.stop(v.s.machine(), v.s.mayStop)
	}
	<-v.s.finished
	api.WriteAnswer(w, nil)
}

func (v *server) kill(w http.ResponseWriter, r *http.Request) {
	if !v.s.quitWaiting() {
		v.s.machine().kill()
	}
	<-v.s.finished
	api.WriteAnswer(w, nil)
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

// fileOf duplicates the socket below conn.
func fileOf(conn net.Conn) (*os.File, error) {
	u, ok := conn.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errors.New("not a socket")
	}
	return u.File()
}
