package supervisor

import (
	"context"

	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// RestoreConfig is what `vmm restore` was asked for.
type RestoreConfig struct {
	Dir     string // state folder, of Dir
	Name    string // empty: the guest's own name, or NAME-2 if that is taken
	From    string // the snapshot's folder
	Console Console
	Places  Places
	Guard   Guard
	// Confinement is that of the machine process.
	Confinement Confinement
	Started     func(api.Started)

	Tracking vmm.Tracking
}

// Restore runs a guest from a snapshot and supervises it to its end. An error
// means that it never ran and that nothing is left of it.
func Restore(ctx context.Context, c RestoreConfig) (Exit, error) {
	var files handOver
	defer files.close()
	stream, err := openSnapshot(c.From)
	if err != nil {
		return Exit{Code: 1}, err
	}
	files.add(vmm.RoleStream, stream)
	if err := openKVM(&files); err != nil {
		return Exit{Code: 1}, err
	}
	c.Confinement.prepare()
	guard, err := c.Guard.check(c.Dir)
	if err != nil {
		return Exit{Code: 1}, err
	}
	n, err := claimOr(c.Dir, c.Name, "restore")
	if err != nil {
		return Exit{Code: 1}, err
	}
	s, err := newSupervisor(n, c.Console)
	if err != nil {
		return Exit{Code: 1}, err
	}
	s.renames, s.places, s.tracking, s.guard, s.confinement = c.Name == "", c.Places, c.Tracking, guard, c.Confinement
	if err := s.restore(ctx, &files); err != nil {
		s.abandon()
		return Exit{Code: 1}, err
	}
	notifyStarted(c.Started, s.runs(nil))
	return s.wait(ctx), nil
}

// restore starts the machine process and has it run the guest of a stream.
func (s *supervisor) restore(ctx context.Context, files *handOver) error {
	if _, err := s.launch(files, 0, 0); err != nil {
		return err
	}
	_, err := s.call(ctx, vmm.MethodRestore, vmm.Incoming{Roles: files.roles, Tracking: s.tracking}, nil, files.files...)
	s.ends.handedOver()
	return err
}
