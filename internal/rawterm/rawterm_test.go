package rawterm

import (
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// openPTY returns a pseudo-terminal's two ends.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func TestKeysGoThroughAndLinesAreShownWhole(t *testing.T) {
	master, slave := openPTY(t)
	fd := int(slave.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	restore, err := Make(fd)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := master.Write([]byte{3}); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	key := make([]byte, 1)
	if _, err := slave.Read(key); err != nil || key[0] != 3 {
		t.Errorf("got key %d, %v; want Ctrl-C to go through", key[0], err)
	}
	if _, err := slave.WriteString("a\n"); err != nil {
		t.Fatal(err)
	}
	shown := make([]byte, 8)
	n, err := master.Read(shown)
	if err != nil || string(shown[:n]) != "a\r\n" {
		t.Errorf("got %q, %v shown; want the line to begin at the left again", shown[:n], err)
	}
	restore()
	after, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the terminal behind restore (-before +after):\n%s", diff)
	}
}
