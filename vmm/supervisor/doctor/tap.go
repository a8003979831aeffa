package doctor

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openTun opens the tap driver, and makes nothing of it.
func openTun() error {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// netAdmin says whether this process may make taps and change bridges.
func netAdmin() bool {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&h, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}

// tap looks at the tap driver: err is what opening it gave, admin whether this process has CAP_NET_ADMIN.
func tap(err error, admin bool) Finding {
	f := Finding{Check: "tap", Level: Note}
	switch {
	case errors.Is(err, os.ErrPermission):
		f.Text, f.Remedy = "/dev/net/tun may not be opened by this user: guests can have no network", "chmod 666 /dev/net/tun, as distributions do; or run vmm as root"
	case err != nil:
		f.Text, f.Remedy = "this host has no tap driver, so guests can have no network: "+err.Error(), "modprobe tun; in a container, pass /dev/net/tun in"
	case !admin:
		f.Text = "guests can have a network by a tap that root has made; this user may make none"
		f.Remedy = fmt.Sprintf("ip tuntap add dev tap0 mode tap user %d, as root, then --net eth=tap=tap0", os.Getuid())
	default:
		f.Level, f.Text = OK, "taps can be made, and joined to bridges"
	}
	return f
}
