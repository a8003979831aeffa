package supervisor

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// unixListener is a receiver's unix socket. Close removes its file, unless another has
// taken its place.
type unixListener struct {
	*net.UnixListener
	path  string
	inode uint64
}

// listenUnix opens a receiver's socket, for this user alone. A file of a socket at which nobody
// listens any more is removed first.
func listenUnix(path string) (*unixListener, error) {
	fail := func(remedy string, err error) (*unixListener, error) {
		return nil, api.Errorf("listen", remedy, "listening at unix:%s: %v", path, err)
	}
	const another = "choose another path"
	if err := removeStale(path); err != nil {
		return fail(another, err)
	}
	// Nobody but us may connect, from the first instant.
	old := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return fail("choose a path in a folder that you may write to", err)
	}
	l.SetUnlinkOnClose(false)
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		l.Close()
		return fail(another, err)
	}
	return &unixListener{UnixListener: l, path: path, inode: st.Ino}, nil
}

// removeStale removes the file of a socket that nobody listens at. What is no
// socket, or is in use, is an error.
func removeStale(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file that is no socket")
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return errors.New("somebody listens there already")
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// Close implements net.Listener.
func (l *unixListener) Close() error {
	var st unix.Stat_t
	if err := unix.Lstat(l.path, &st); err == nil && st.Ino == l.inode {
		os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

// dialUnix connects to a receiver of this host, which must be this user's or root's: it gets
// the guest's memory.
func dialUnix(ctx context.Context, addr api.Address) (stream, error) {
	d := net.Dialer{Timeout: dialWithin}
	conn, err := d.DialContext(ctx, "unix", addr.Path)
	if err != nil {
		return nil, api.Errorf(api.CodeUnreachable, "start one there: vmm receive --listen "+addr.String(), "no receiver at %v: %v", addr, err)
	}
	u := conn.(*net.UnixConn)
	peer, err := credentials(u)
	if err == nil && peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		err = api.Errorf("permission", "choose a path in a folder of yours", "the receiver at %v is another user's", addr)
	}
	if err != nil {
		u.Close()
		return nil, err
	}
	return u, nil
}
