package supervisor

import (
	"context"
	"errors"
	"net/http"
	"slices"

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
	to, err := newPlace(q.Target, q.TLS, q.Insecure)
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
	if to.address.Local() && q.Mode == api.ModeRemote {
		api.WriteError(w, errRemoteHere)
		return
	}
	if v.s.machine() == nil {
		api.WriteError(w, api.Errorf(api.CodeBadState, "wait until a guest has arrived", "no guest runs here yet"))
		return
	}
	var files handOver
	defer files.close()
	if to.address.Local() {
		if err := v.s.handName(&files); err != nil {
			api.WriteError(w, err)
			return
		}
	}
	for _, role := range []string{vmm.RoleControl, vmm.RoleBulk} {
		conn, err := to.connect(r.Context())
		if err == nil {
			err = files.addConn(role, conn)
		}
		if err != nil {
			api.WriteError(w, err)
			return
		}
	}
	t, err := v.s.embark(q.Target, q.Mode)
	if err != nil {
		api.WriteError(w, err)
		return
	}
	d, own, err := v.s.depart(to)
	if err != nil {
		v.s.disembark(t)
		api.WriteError(w, err)
		return
	}
	files.add(vmm.RoleRecord, own)
	m := vmm.Migrate{
		Move: d.query.Move, Target: q.Target, Mode: q.Mode, Epoch: d.query.Epoch,
		DowntimeLimit: api.Duration(q.DowntimeLimitMS), Timeout: api.Duration(q.TimeoutMS),
		Bandwidth: q.BandwidthBitsPerS, Wait: q.PauseBeforeSwitchover, Throttle: q.ThrottlePercent, Channels: q.Channels, Compress: q.Compress, Local: to.address.Local(), Roles: files.roles, Sessions: files.sessions,
	}
	stream := api.NewStream(w)
	result, err := v.s.transfer(t, stream, func(ctx context.Context, out *vmm.Outcome) error {
		err := v.s.carry(ctx, t, m, out, files.files)
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
