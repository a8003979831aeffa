package supervisor

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// streamFile is the migration stream in a snapshot's folder.
const streamFile = "guest.ferry"

// snapshotDir is a snapshot being written: a folder beside the one asked for,
// which takes its name only when everything in it is durable.
type snapshotDir struct {
	dir, tmp string
	stream   *os.File
}

func newSnapshotDir(dir string) (*snapshotDir, error) {
	if !filepath.IsAbs(dir) {
		return nil, api.Errorf(api.CodeBadRequest, "give an absolute path", "snapshot folder %q is not absolute", dir)
	}
	dir = filepath.Clean(dir)
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, api.Errorf("exists", "choose a folder that does not exist yet", "%s exists and is not empty", dir)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, api.Errorf("snapshot", "choose a folder that does not exist yet", "snapshot: %v", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".partial-")
	if err != nil {
		return nil, api.Errorf("snapshot", "choose a folder whose parent exists and may be written to", "snapshot: %v", err)
	}
	f, err := os.OpenFile(filepath.Join(tmp, streamFile), os.O_CREATE|os.O_EXCL|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		os.RemoveAll(tmp)
		return nil, api.Errorf("snapshot", "choose a folder whose parent exists and may be written to", "snapshot: %v", err)
	}
	return &snapshotDir{dir: dir, tmp: tmp, stream: f}, nil
}

// commit gives the folder its name, durably. The stream is synced already.
func (d *snapshotDir) commit() error {
	if err := syncFolder(d.tmp); err != nil {
		return err
	}
	if err := os.Rename(d.tmp, d.dir); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(d.dir))
}

// close removes what was not committed.
func (d *snapshotDir) close() {
	d.stream.Close()
	os.RemoveAll(d.tmp)
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (v *server) snapshot(w http.ResponseWriter, r *http.Request) {
	var q api.SnapshotRequest
	if err := api.ReadRequest(w, r, &q); err != nil {
		api.WriteError(w, err)
		return
	}
	if v.s.machine() == nil {
		api.WriteError(w, api.Errorf(api.CodeBadState, "wait until a guest has arrived", "no guest runs here yet"))
		return
	}
	d, err := newSnapshotDir(q.Dir)
	if err != nil {
		api.WriteError(w, err)
		return
	}
	defer d.close()
	t, err := v.s.embark(q.Dir, "")
	if err != nil {
		api.WriteError(w, err)
		return
	}
	stream := api.NewStream(w)
	result, err := v.s.transfer(t, stream, func(ctx context.Context, out *vmm.Outcome) error {
		_, err := v.s.call(ctx, vmm.MethodSnapshot, nil, out, d.stream)
		return err
	})
	if err == nil && result.Outcome == api.OutcomeCompleted {
		if err := d.commit(); err != nil {
			result.Outcome, result.Reason = api.OutcomeFailed, "writing the folder"
			result.Error = api.Errorf("snapshot", "check the space and the rights of "+q.Dir, "snapshot: %v", err)
		}
	}
	if err == nil {
		v.s.conclude(t, result)
	}
	answer(stream, result, err)
}

// openSnapshot opens the stream of a snapshot's folder.
func openSnapshot(dir string) (*os.File, error) {
	f, err := os.Open(filepath.Join(dir, streamFile))
	if err != nil {
		return nil, api.Errorf("no_snapshot", "give a folder that vmm snapshot wrote", "%s holds no snapshot: %v", dir, err)
	}
	return f, nil
}
