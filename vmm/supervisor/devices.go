package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/image"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// Devices are the virtio devices that a guest was asked to have.
type Devices struct {
	Disks   []image.Spec
	Nets    []netmig.Spec
	Balloon bool
	RNG     bool
	Console *Console // nil: none
	Vsock   *vmm.Vsock
}

// Places say where a guest that arrives finds its disks and networks here. What
// is not named is expected under the same path or name as where it came from.
type Places struct {
	Disks []Mapping
	Nets  []netmig.Spec
}

// Mapping names the path of a disk.
type Mapping struct{ ID, Path string }

// attachments are what a guest's devices work on at this host, as the supervisor
// keeps it: what has to be given back when the guest is no more.
type attachments struct {
	devices []vmm.Device
	files   handOver // for the machine; closed once it has them
	networks
	vsock   *socket
	ends    *consoleEnds // of the virtio console, unless it is a socket
	console *socket
}

// open opens what the devices of a new guest work on, and locks its images.
func (d Devices) open(ctx context.Context, hooks *netHooks) (_ *attachments, err error) {
	a := &attachments{networks: networks{hooks: hooks}}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	for _, spec := range d.Disks {
		if err := a.addDisk(spec, nil); err != nil {
			return nil, err
		}
	}
	for _, spec := range d.Nets {
		if err := a.newNet(ctx, spec); err != nil {
			return nil, err
		}
	}
	if d.RNG {
		a.devices = append(a.devices, vmm.Device{Kind: vmm.KindRNG})
	}
	if d.Balloon {
		a.devices = append(a.devices, vmm.Device{Kind: vmm.KindBalloon})
	}
	if d.Console != nil {
		if err := a.addConsole(*d.Console, false); err != nil {
			return nil, err
		}
	}
	if d.Vsock != nil {
		if err := a.addVsock(*d.Vsock, false); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// open opens what the devices of a guest that arrives work on, but for what its
// source hands over.
func (p Places) open(guest vmm.Arriving, hooks *netHooks) (_ *attachments, err error) {
	devices := guest.Devices
	if err := vmm.CheckDevices(devices); err != nil {
		return nil, fromMachine(err)
	}
	a := &attachments{networks: networks{hooks: hooks, move: moveOf(guest)}}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	for _, m := range p.Disks {
		if !known(devices, vmm.KindBlk, m.ID) {
			return nil, api.Errorf("disk", "map only disks that the guest has", "the guest has no disk %q", m.ID)
		}
	}
	for _, n := range p.Nets {
		if !known(devices, vmm.KindNet, n.ID) {
			return nil, api.Errorf("net", "map only networks that the guest has", "the guest has no network %q", n.ID)
		}
	}
	if guest.Handed && len(p.Disks)+len(p.Nets) > 0 {
		return nil, api.Errorf(api.CodeBadRequest, "receive it without --disk and --net", "the guest brings its disks and networks with it, open as they are")
	}
	for _, d := range devices {
		switch d.Kind {
		case vmm.KindBlk:
			if guest.Handed {
				a.devices = append(a.devices, d)
				continue
			}
			err = a.addDisk(p.disk(d), &arrivingDisk{Disk: *d.Disk, token: guest.Token})
		case vmm.KindNet:
			if guest.Handed {
				err = a.adoptNet(d)
			} else {
				err = a.arrivingNet(p, d)
			}
		case vmm.KindConsole:
			var c Console
			if c, err = ParseConsole(d.Spec); err == nil {
				err = a.addConsole(c, true)
			}
		case vmm.KindVsock:
			err = a.addVsock(*d.Vsock, true)
		default:
			a.devices = append(a.devices, d)
		}
		if err != nil {
			return nil, err
		}
	}
	return a, nil
}

func known(devices []vmm.Device, kind, id string) bool {
	for _, d := range devices {
		if d.Kind == kind && d.ID == id {
			return true
		}
	}
	return false
}

// disk is where a disk is found here.
func (p Places) disk(d vmm.Device) image.Spec {
	s := image.Spec{ID: d.ID, Path: d.Disk.Path, ReadOnly: d.Disk.ReadOnly, Cache: image.Cache(d.Disk.Cache)}
	for _, m := range p.Disks {
		if m.ID == d.ID {
			s.Path = m.Path
		}
	}
	return s
}

// arrivingDisk is what an image must be that a guest brings with it.
type arrivingDisk struct {
	vmm.Disk
	token uint64
}

// addDisk opens an image. One that arrives must be the one that its source has;
// its machine locks it when the source has let it go.
func (a *attachments) addDisk(spec image.Spec, want *arrivingDisk) error {
	m, err := image.Open(spec)
	if err != nil {
		return fromMachine(err)
	}
	a.files.add(vmm.DiskRole(spec.ID), m.File)
	if spec.ReadOnly {
		if pages, err := m.Pages(); err == nil { // else the guest's pages of it are sent as they are
			a.files.add(vmm.PagesRole(spec.ID), pages)
		}
	}
	d := vmm.Disk{Path: spec.Path, Size: m.Size, BlockSize: m.BlockSize, ReadOnly: spec.ReadOnly, Cache: string(m.Cache), Queues: spec.Queues}
	if want != nil {
		if m.BlockSize > want.BlockSize {
			return api.Errorf("disk", "use cache=writeback for the guest, or storage of the same kind on both hosts",
				"disk %s: %s wants blocks of %d bytes, the guest was given %d", spec.ID, spec.Path, m.BlockSize, want.BlockSize)
		}
		if m.Size != want.Size {
			return api.Errorf("disk", "give the same image to both hosts", "disk %s: %s has %d bytes, the guest's has %d", spec.ID, spec.Path, m.Size, want.Size)
		}
		d.BlockSize, d.Queues = want.BlockSize, want.Queues
	}
	a.devices = append(a.devices, vmm.Device{Kind: vmm.KindBlk, ID: spec.ID, Disk: &d})
	if want == nil || want.token == 0 {
		if err := image.Lock(m.File, spec.ReadOnly); err != nil {
			return fromMachine(fmt.Errorf("disk %s: %w", spec.ID, err))
		}
		return nil
	}
	seen, err := image.Witnessed(m.File, want.token)
	if err != nil {
		return fmt.Errorf("disk %s: %w", spec.ID, err)
	}
	if !seen {
		return api.Errorf("not_shared", "put the image on storage that both hosts see, and name its path here: --disk "+spec.ID+"=PATH",
			"disk %s: %s is not the image that the source has", spec.ID, spec.Path)
	}
	return nil
}

// addConsole opens the virtio console's ends. The terminal of its first host
// stays there.
func (a *attachments) addConsole(c Console, arriving bool) (err error) {
	a.devices = append(a.devices, vmm.Device{Kind: vmm.KindConsole, Spec: c.String()})
	if c.Kind == "unix" {
		a.console, err = listenSocket("virtio-console", c.Path, arriving)
		return err
	}
	if arriving && c.Kind == "stdio" {
		return nil
	}
	if a.ends, err = c.open(); err != nil {
		return err
	}
	return a.ends.hand(&a.files, vmm.RoleVirtioConsoleIn, vmm.RoleVirtioConsoleOut)
}

// addVsock makes the socket by which programs of the host reach the guest.
func (a *attachments) addVsock(v vmm.Vsock, arriving bool) (err error) {
	if a.vsock, err = listenSocket("vsock", v.Path, arriving); err != nil {
		return err
	}
	a.devices = append(a.devices, vmm.Device{Kind: vmm.KindVsock, Vsock: &v})
	return nil
}

// works are the devices, as they are joined to this host.
func (a *attachments) works() []vmm.Device {
	if a == nil {
		return nil
	}
	return a.devices
}

// handedOver closes our copies of what the machine has now.
func (a *attachments) handedOver() {
	a.files.close()
	if a.ends != nil {
		a.ends.handedOver()
	}
}

// serve begins to pass connections on, from the moment that the guest runs here.
func (a *attachments) serve(s *supervisor) error {
	if a == nil {
		return nil
	}
	attach := func(method string) func(*os.File) error {
		return func(f *os.File) error {
			_, err := s.call(context.Background(), method, nil, nil, f)
			return err
		}
	}
	return errors.Join(a.console.serve(attach(vmm.MethodVirtioConsole)), a.vsock.serve(attach(vmm.MethodVsock)))
}

// close gives everything back.
func (a *attachments) close() {
	if a == nil {
		return
	}
	a.files.close()
	a.networks.close()
	a.vsock.close()
	a.console.close()
	a.ends.close()
}

// dial connects the guest's vsock to a port of this host: the unix socket PATH_PORT.
func (s *supervisor) dial(ctx context.Context, r *ipc.Request) (ipc.Reply, error) {
	var d vmm.Dial
	if err := r.Decode(&d); err != nil {
		return ipc.Reply{}, err
	}
	s.mu.Lock()
	a := s.attached
	s.mu.Unlock()
	if a == nil || a.vsock == nil {
		return ipc.Reply{}, errors.New("the guest has no vsock")
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", a.vsock.path+"_"+strconv.FormatUint(uint64(d.Port), 10))
	if err != nil {
		s.refused.Info("the guest's vsock reached nobody", "port", d.Port, "error", err)
		return ipc.Reply{}, err
	}
	defer conn.Close()
	f, err := conn.(*net.UnixConn).File()
	if err != nil {
		return ipc.Reply{}, err
	}
	return ipc.Reply{Files: []*os.File{f}}, nil
}
