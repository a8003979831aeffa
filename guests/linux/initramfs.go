package linux

import (
	"bytes"
	"fmt"

	"github.com/u-root/u-root/pkg/cpio"
)

// Where things are in the initramfs.
const (
	initPath    = "init"
	busyboxPath = "bin/busybox"
)

// static is what of the initramfs does not depend on what it is built from. The log-in shell links busybox's commands
// when it starts: a file less costs each boot a little.
var static = []cpio.Record{
	cpio.Directory("dev", 0o755),
	cpio.CharDev("dev/console", 0o600, 5, 1),
	cpio.Directory("proc", 0o755),
	cpio.Directory("sys", 0o755),
	cpio.Directory("tmp", 0o1777),
	cpio.Directory("root", 0o700),
	cpio.Directory("bin", 0o755),
	cpio.Symlink("bin/sh", "busybox"),
	cpio.Symlink("bin/login", "busybox"),
	cpio.Directory("etc", 0o755),
	cpio.StaticFile("etc/passwd", "root::0:0:root:/root:/bin/sh\n", 0o644),
	cpio.StaticFile("etc/group", "root:x:0:\n", 0o644),
	cpio.StaticFile("etc/profile", "export PATH=/bin\n[ -e /bin/ls ] || busybox --install -s /bin\n", 0o644),
}

// Initramfs returns the archive with an init and a busybox, both static executables. It is not compressed: where the
// kernel is interpreted, copying is quicker than inflating.
func Initramfs(init, busybox []byte) ([]byte, error) {
	var out bytes.Buffer
	w := cpio.Newc.Writer(&out)
	records := append(append([]cpio.Record(nil), static...),
		cpio.StaticFile(initPath, string(init), 0o755),
		cpio.StaticFile(busyboxPath, string(busybox), 0o755),
	)
	if err := cpio.WriteRecords(w, records); err != nil {
		return nil, fmt.Errorf("linux: initramfs: %w", err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return nil, fmt.Errorf("linux: initramfs: %w", err)
	}
	return out.Bytes(), nil
}
