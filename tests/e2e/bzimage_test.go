package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guests/linux"
	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// Of a bzImage: Linux Documentation/x86/boot.rst.
const (
	bzSectors    = 0x1f1 // setup's, behind the first
	bzSector     = 512
	bzPayload    = 0x248 // where what is packed begins, behind setup; 4 bytes
	bzPayloadLen = 0x24c // 4 bytes
	lz4Magic     = "\x02\x21\x4c\x18"
)

// packed is where in a bzImage the kernel proper begins.
func packed(b []byte) int { return setupLength(b) + int(binary.LittleEndian.Uint32(b[bzPayload:])) }

func setupLength(b []byte) int { return (int(b[bzSectors]) + 1) * bzSector }

// repacked is the guest's bzImage with its kernel packed by gzip, and without the code that would unpack it: only who
// unpacks it himself can start it.
func repacked(t *testing.T, g linux.Guest) string {
	t.Helper()
	image, err := os.ReadFile(g.BzImage)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := os.ReadFile(g.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(kernel); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	setup := image[:setupLength(image)]
	le.PutUint32(setup[bzPayload:], 0)
	le.PutUint32(setup[bzPayloadLen:], uint32(z.Len()))
	path := filepath.Join(t.TempDir(), "bzImage")
	if err := os.WriteFile(path, append(setup, z.Bytes()...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLinuxWithoutACPI boots, from a bzImage that the VMM unpacks, a Linux that knows its interrupts from the MP table
// alone and its disk from the command line, and stops it.
func TestLinuxWithoutACPI(t *testing.T) {
	ctx := within(t, 4*time.Minute)
	w := newWorld(t, 1)
	g := linux.Require(t, linux.Fast)
	path := filepath.Join(w.Sites[0].Dir, "console")
	p, err := w.Sites[0].Start(lab.NewObserver(drive.Period), "run", "run", "--name", "alpha", "--memory", "64M",
		"--kernel", repacked(t, g), "--initrd", g.Initramfs, "--cmdline", g.Cmdline+" ferry.disk=vda",
		"--disk", "root="+newImage(t, 4<<20), "--console", "unix:"+path, "--json")
	if err != nil {
		t.Fatal(err)
	}
	conn := dialConsole(t, ctx, w.Sites[0], path)
	for _, words := range []string{"MPTABLE: OEM ID: FERRY", "virtio-mmio: Registering device virtio-mmio.0", "READY", "DISK "} {
		hear(t, conn, words)
	}
	exec(t, ctx, w.Sites[0], 0, "stop", "alpha")
	if code, err := p.Wait(ctx); err != nil || code != 0 {
		t.Errorf("got exit %d, %v of a guest that was stopped; want 0\n%s", code, err, p.Stderr())
	}
}
