package supervisor

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vcpu"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (v *server) migrate(w http.ResponseWriter, r *http.Request) {
	var q api.MigrateRequest
	if err := api.ReadRequest(w, r, &q); err != nil {
		api.WriteError(w, err)
		return
	}
	addr, err := secureAddress(q.Target, q.Insecure)
	if err != nil {
		api.WriteError(w, err)
		return
	}
	if p := q.ThrottlePercent; p < 0 || p > vcpu.MaxThrottle {
		api.WriteError(w, api.Errorf(api.CodeBadRequest, "see docs/cli.md for the API", "a throttle of %d percent is not between 0 and %d", p, vcpu.MaxThrottle))
		return
	}
	if q.Compress != "" && !slices.Contains(api.Compressions, q.Compress) {
		api.WriteError(w, api.Errorf(api.CodeBadRequest, "see docs/cli.md for the API", "unknown compression %q", q.Compress))
		return
	}
	if n := q.Channels; n < 0 || n > migration.MaxChannels {
		api.WriteError(w, api.Errorf(api.CodeBadRequest, "see docs/cli.md for the API", "%d channels are not between 1 and %d", n, migration.MaxChannels))
		return
	}
	if addr.Local() && q.Mode == api.ModeRemote {
		api.WriteError(w, errRemoteHere)
		return
	}
	if v.s.machine() == nil {
		api.WriteError(w, api.Errorf(api.CodeBadState, "wait until a guest has arrived", "no guest runs here yet"))
		return
	}
	var files handOver
	defer files.close()
	if addr.Local() {
		if err := v.s.handName(&files); err != nil {
			api.WriteError(w, err)
			return
		}
	}
	for _, role := range []string{vmm.RoleControl, vmm.RoleBulk} {
		f, err := dialMove(r.Context(), addr)
		if err != nil {
			api.WriteError(w, err)
			return
		}
		files.add(role, f)
	}
	d, own, err := v.s.depart(addr)
	if err != nil {
		api.WriteError(w, err)
		return
	}
	files.add(vmm.RoleRecord, own)
	m := vmm.Migrate{
		Move: d.query.Move, Target: q.Target, Mode: q.Mode, Epoch: d.query.Epoch,
		DowntimeLimit: api.Duration(q.DowntimeLimitMS), Timeout: api.Duration(q.TimeoutMS),
		Bandwidth: q.BandwidthBitsPerS, Wait: q.PauseBeforeSwitchover, Throttle: q.ThrottlePercent, Channels: q.Channels, Compress: q.Compress, Local: addr.Local(), Roles: files.roles,
	}
	stream := api.NewStream(w)
	result, err := v.s.transfer(stream, func(ctx context.Context, out *vmm.Outcome) error {
		_, err := v.s.call(ctx, vmm.MethodMigrate, m, out, files.files...)
		if errors.Is(err, ipc.ErrClosed) {
			*out, err = d.killed(q.Mode), nil
			<-v.s.finished // which settles the departure, too
			return nil
		}
		v.s.departed(d)
		return err
	})
	answer(stream, result, err)
}

// errRemoteHere: nothing is left behind by a guest that is handed over.
var errRemoteHere = api.Errorf(api.CodeBadRequest, "leave --mode out", "mode remote leaves the memory at the source; a unix: target gets it as it is")

// answer ends a stream; the requester may have gone away.
func answer(stream *api.Stream, r api.Result, err error) {
	if err != nil {
		_ = stream.Error(err)
		return
	}
	_ = stream.Result(r)
}

// dialMove opens one connection of a move.
func dialMove(ctx context.Context, addr api.Address) (*os.File, error) {
	conn, err := connect(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.File()
}

// transfer runs a move or a snapshot, reporting its progress on stream. It
// returns when its outcome is known: for a guest that left, when its machine
// and all that belongs to it are gone; for one in doubt, after the patience of
// contract.md, while the machine goes on asking; for a guest whose memory stays
// here, when it runs at its target.
func (s *supervisor) transfer(stream *api.Stream, move func(context.Context, *vmm.Outcome) error) (api.Result, error) {
	early := make(chan api.Result, 1) // of a move that goes on without who asked for it
	var mu sync.Mutex                 // guards open: a stream must not be written to behind its request
	open := true
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		open = false
	}()
	s.mu.Lock()
	s.progress = func(p migration.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if !open {
			return
		}
		_ = stream.Progress(toProgress(p))
		if p.Serving != nil {
			select {
			case early <- toResult(vmm.Outcome{Result: *p.Serving}):
			default:
			}
		}
		if p.Undecided {
			select {
			case early <- inDoubt():
			default:
			}
		}
	}
	s.mu.Unlock()
	type ended struct {
		outcome vmm.Outcome
		err     error
	}
	done := make(chan ended, 1)
	go func() {
		var e ended
		// The move goes on when whoever asked for it goes away.
		e.err = move(context.Background(), &e.outcome)
		s.mu.Lock()
		s.progress = nil
		s.mu.Unlock()
		done <- e
	}()
	select {
	case e := <-done:
		if e.err != nil {
			return api.Result{}, e.err
		}
		if e.outcome.Left {
			<-s.finished // the guest has left: so does all that is its own
		}
		return toResult(e.outcome), nil
	case r := <-early:
		return r, nil
	}
}

// noteProgress passes a report of the machine on.
func (s *supervisor) noteProgress(r *ipc.Request) error {
	var p migration.Progress
	if err := r.Decode(&p); err != nil {
		return err
	}
	s.notePhase(p.Phase)
	s.mu.Lock()
	f := s.progress
	s.mu.Unlock()
	if f != nil {
		f(p)
	}
	return nil
}
