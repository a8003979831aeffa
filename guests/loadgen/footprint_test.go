package loadgen_test

import (
	"bytes"
	"compress/flate"
	"testing"

	"golang.org/x/sys/unix"
)

func TestIdleGuestDirtiesNextToNothing(t *testing.T) {
	t.Parallel()
	r, m := bootWithRAM(t, guest{})
	r.await(t, "STAT")
	before := m.read(t, 0, m.size)
	_, lines := r.await(t, "STAT")
	after := m.read(t, 0, m.size)
	if len(beats(t, lines)) == 0 {
		t.Error("got no beat in between; want the guest at work")
	}
	changed := 0
	for at := 0; at < m.size; at += pageSize {
		if !bytes.Equal(before[at:at+pageSize], after[at:at+pageSize]) {
			changed++
		}
	}
	if changed == 0 || changed > 8 {
		t.Errorf("got %d pages changed in a second; want 1 to 8", changed)
	}
}

func TestTouchesOnlyWhatItOwns(t *testing.T) {
	t.Parallel()
	r, m := bootWithRAM(t, guest{memory: 1024, cmdline: "fill=32"})
	r.until(t, "a complete pass", func(s stat) bool { return s["passes"] >= 1 })
	var st unix.Stat_t
	if err := unix.Fstat(int(m.file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if got, most := st.Blocks*512, int64(32+3)<<20; got < 32<<20 || got > most { // 3 MiB: firmware, loadgen, its tables
		t.Errorf("got %d bytes of memory in use; want 32 MiB to %d", got, most)
	}
}

func TestDataCompressesAsNamed(t *testing.T) {
	for _, c := range []struct {
		data      string
		low, high float64 // compressed size by size
	}{
		{"random", 0.99, 1.01},
		{"text", 0.2, 0.5},
		{"half", 0.45, 0.55},
		{"mixed", 0.3, 0.6},
	} {
		t.Run(c.data, func(t *testing.T) {
			t.Parallel()
			_, m := bootWithRAM(t, guest{cmdline: "fill=16 heartbeat=0 data=" + c.data})
			pages := m.read(t, m.first, m.pages*pageSize)
			var out bytes.Buffer
			w, err := flate.NewWriter(&out, flate.BestSpeed)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(pages); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if got := float64(out.Len()) / float64(len(pages)); got < c.low || got > c.high {
				t.Errorf("got a ratio of %.3f; want %.2f to %.2f", got, c.low, c.high)
			}
		})
	}
}
