package supervisor

import (
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// socket is a unix socket by which programs of this host reach a device of a guest.
type socket struct {
	path     string
	made     string // where it is until it is served: the source of a move may still have path
	listener *net.UnixListener
	inode    uint64
}

// freePath is what to do about a path at which no socket can be made.
const freePath = "choose a path that is free, in a folder that you may write to, or remove a socket that is left over"

// listenSocket makes the socket of a device. That of a guest that arrives takes
// its name only when the guest runs here.
func listenSocket(device, path string, arriving bool) (*socket, error) {
	v := &socket{path: path, made: path}
	if arriving {
		v.made = path + ".arriving"
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: v.made, Net: "unix"})
	if err != nil {
		return nil, api.Errorf(device, freePath, "%s: %v", device, err)
	}
	l.SetUnlinkOnClose(false) // it may have been renamed, and another may have its name
	v.listener = l
	var st unix.Stat_t
	if err := unix.Stat(v.made, &st); err != nil {
		v.close()
		return nil, api.Errorf(device, "choose another path", "%s: %s: %v", device, v.made, err)
	}
	v.inode = st.Ino
	return v, nil
}

// serve takes the socket's name and passes each connection on.
func (v *socket) serve(attach func(*os.File) error) error {
	if v == nil {
		return nil
	}
	if v.made != v.path {
		if err := os.Rename(v.made, v.path); err != nil {
			return err
		}
		v.made = v.path
	}
	go func() {
		for {
			conn, err := v.listener.AcceptUnix()
			if err != nil {
				return
			}
			f, err := conn.File()
			conn.Close()
			if err != nil {
				continue
			}
			_ = attach(f) // the guest is gone: the connection just closes
			f.Close()
		}
	}()
	return nil
}

// close removes the socket, unless another has taken its name.
func (v *socket) close() {
	if v == nil {
		return
	}
	v.listener.Close()
	var st unix.Stat_t
	if err := unix.Lstat(v.made, &st); err == nil && st.Ino == v.inode {
		os.Remove(v.made)
	}
}
