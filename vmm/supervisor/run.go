package supervisor

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vcpu"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// RunConfig is what `vmm run` was asked for.
type RunConfig struct {
	Dir         string // state folder, of Dir
	Name        string // empty: guest, or the first free of guest-2, guest-3, …
	MemoryBytes uint64
	HugePages   bool // of 2 MiB
	CPUs        int
	Kernel      string // path of a PVH ELF; empty: loadgen
	Initrd      string // path; empty: none
	Cmdline     string
	CmdlineSet  bool // Cmdline was given, even if empty
	Console     Console
	Clock       string // advance or freeze
	Devices     Devices
	Guard       Guard
	Confinement Confinement
	CPU         string // host, baseline, or the path of a file that vmm cpu made
	Tracking    vmm.Tracking
	// Started is called once the guest runs.
	Started func(api.Started)
}

// Run boots a guest and supervises it to its end. An error means that the
// guest never ran and that nothing is left of it; ctx asks the guest to stop.
func Run(ctx context.Context, c RunConfig) (Exit, error) {
	config := vmm.Config{
		MemoryBytes: c.MemoryBytes, HugePages: c.HugePages, CPUs: c.CPUs, Kernel: c.Kernel, Initrd: c.Initrd,
		Cmdline: c.Cmdline, CmdlineSet: c.CmdlineSet, Clock: c.Clock, CPU: c.CPU, Tracking: c.Tracking,
	}
	if c.CPU != vcpu.ModelHost && c.CPU != vcpu.ModelBaseline {
		var err error
		if config.CPUModel, err = readModel(c.CPU); err != nil {
			return Exit{Code: 1}, err
		}
	}
	if err := config.Check(); err != nil {
		return Exit{Code: 1}, fromMachine(err)
	}
	if err := checkCapacity(c.MemoryBytes, c.HugePages); err != nil {
		return Exit{Code: 1}, err
	}
	c.Confinement.prepare()
	guard, err := c.Guard.check(c.Dir)
	if err != nil {
		return Exit{Code: 1}, err
	}
	var files handOver
	defer files.close()
	if err := openBootFiles(&files, c); err != nil {
		return Exit{Code: 1}, err
	}
	n, err := claimOr(c.Dir, c.Name, "guest")
	if err != nil {
		return Exit{Code: 1}, err
	}
	config.Name = n.name
	s, err := newSupervisor(n, c.Console)
	if err != nil {
		return Exit{Code: 1}, err
	}
	s.guard, s.confinement = guard, c.Confinement
	if err := s.boot(ctx, config, c.Devices, &files); err != nil {
		s.abandon()
		return Exit{Code: 1}, err
	}
	s.setState(api.StateRunning)
	notifyStarted(c.Started, s.runs(nil))
	return s.wait(ctx), nil
}

// readModel reads the file of a CPU. What is too long is left for the machine to refuse.
func readModel(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe that nobody writes to is empty
	if err != nil {
		return nil, api.Errorf("cpu", "use --cpu host, --cpu baseline, or a file that vmm cpu made", "cpu: %v", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, vcpu.MaxModelFile+1))
	if err != nil {
		return nil, api.Errorf("cpu", "use --cpu host, --cpu baseline, or a file that vmm cpu made", "cpu: %v", err)
	}
	return b, nil
}

// boot opens what the guest works on, starts the machine process and has it run
// the guest.
func (s *supervisor) boot(ctx context.Context, config vmm.Config, devices Devices, files *handOver) error {
	a, err := devices.open(ctx, s.hooks)
	if err != nil {
		return err
	}
	s.attach(a)
	config.Devices = a.devices
	if err := config.Check(); err != nil {
		return fromMachine(err)
	}
	if err := a.network().reserve(config.Name); err != nil {
		return err
	}
	files.take(&a.files)
	if _, err := s.launch(files, config.CPUs, config.MemoryBytes); err != nil {
		return err
	}
	_, err = s.call(ctx, vmm.MethodBoot, vmm.Boot{Config: config, Roles: files.roles}, nil, files.files...)
	// The machine has its own copies of the console now; ours would keep a
	// reader from seeing the end.
	s.ends.handedOver()
	a.handedOver()
	if err != nil {
		return err
	}
	a.network().activate(config.Name, s.log)
	return a.serve(s)
}

// openBootFiles opens all that the machine may not open by itself.
func openBootFiles(h *handOver, c RunConfig) error {
	if err := openKVM(h); err != nil {
		return err
	}
	for _, f := range []struct{ role, path, what string }{
		{vmm.RoleKernel, c.Kernel, "kernel"},
		{vmm.RoleInitrd, c.Initrd, "initrd"},
	} {
		if f.path == "" {
			continue
		}
		file, err := os.OpenFile(f.path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) // a pipe would hold us up
		if err != nil {
			return api.Errorf(f.what, "check --"+f.what, "%s: %v", f.what, err)
		}
		st, err := file.Stat()
		if err != nil || !st.Mode().IsRegular() {
			file.Close()
			return api.Errorf(f.what, "check --"+f.what, "%s: %s is not a regular file", f.what, f.path)
		}
		h.add(f.role, file)
	}
	return nil
}

// openKVM opens the KVM device.
func openKVM(h *handOver) error {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return api.Errorf("no_kvm", "load the kvm_intel or kvm_amd module, or enable virtualization in the firmware or in the host of this virtual machine", "this host has no /dev/kvm")
	case errors.Is(err, os.ErrPermission):
		return api.Errorf("no_kvm", "run as root, or join the group that owns it: usermod -aG kvm $USER", "/dev/kvm may not be opened by this user")
	case err != nil:
		return api.Errorf("no_kvm", "check that the kvm module works on this host", "/dev/kvm cannot be used: %v", err)
	}
	h.add(vmm.RoleKVM, f)
	return nil
}

// claimOr claims the name given, or the first free one of base, base-2, ….
func claimOr(dir, given, base string) (*name, error) {
	if given != "" {
		return claim(dir, given)
	}
	return claimAny(dir, base, base+"-%d")
}
