package loadgen_test

import (
	"encoding/binary"
	"os"
	"testing"
)

// What a device says that it has done, and has not. The first ring of a guest's first device lies where its memory begins.
func TestNoticesWrongCompletions(t *testing.T) {
	const (
		size  = 256
		index = 2<<20 + size*16 + 4 + 2*(size+1) + 2 + 2 // behind descriptors, available ring, alignment and flags
		ring  = index + 2
	)
	word := func(m *ram, t *testing.T) uint16 { return binary.LittleEndian.Uint16(m.read(t, index, 2)) }
	advance := func(m *ram, t *testing.T, by uint16) {
		m.write(t, index, binary.LittleEndian.AppendUint16(nil, word(m, t)+by))
	}
	for name, c := range map[string]struct {
		forge  func(m *ram, t *testing.T)
		report string
	}{
		"more than were asked for": {func(m *ram, t *testing.T) { advance(m, t, 0x4000) }, "CORRUPT page=completions1 expected=0x100 got=0x4000"},
		"of no such chain": {func(m *ram, t *testing.T) {
			entry := binary.LittleEndian.AppendUint32(nil, size)
			m.write(t, ring+int64(word(m, t)%size)*8, append(entry, 64, 0, 0, 0))
			advance(m, t, 1)
		}, "CORRUPT page=completion1 expected=0x100 got=0x100"},
		"of a length that was not asked for": {func(m *ram, t *testing.T) {
			m.write(t, ring+int64(word(m, t)%size)*8, []byte{0, 0, 0, 0, 1, 8, 0, 0})
			advance(m, t, 1)
		}, "CORRUPT page=frame0 expected=0x800 got=0x801"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, m := bootWithRAM(t, guest{wire: newWire(t, 1500), cmdline: "net=" + guestNet})
			c.forge(m, t)
			if line, _ := r.await(t, "CORRUPT"); line != c.report {
				t.Errorf("got %q; want %q", line, c.report)
			}
			r.until(t, "it counted", func(s stat) bool { return s["corrupt"] > 0 })
		})
	}
}

// A device that is told nonsense asks to be reset, and the guest counts that as wrong.
func TestNoticesADeviceThatGaveUp(t *testing.T) {
	const index = 2<<20 + 256*16 + 2 // of the available ring of the first queue
	check := func(t *testing.T, w *wire, r *running, memory *os.File) {
		if _, err := memory.WriteAt([]byte{0x34, 0x12}, index); err != nil {
			t.Fatal(err)
		}
		w.raw(t, typeLoad).send(t, w.ether(typeLoad, noise(100)))
		r.await(t, "CORRUPT page=status1 ")
		r.until(t, "it counted", func(s stat) bool { return s["corrupt"] > 0 })
	}
	t.Run("qemu", func(t *testing.T) {
		t.Parallel()
		w := newWire(t, 1500)
		r, m := bootWithRAM(t, guest{wire: w, cmdline: "net=" + guestNet})
		check(t, w, r, m.file)
	})
	t.Run("vmm", func(t *testing.T) {
		t.Parallel()
		w := newWire(t, 1500)
		r := bootFerry(t, guest{wire: w, cmdline: "net=" + guestNet})
		r.await(t, "READY")
		check(t, w, r, r.ferry.memory(t))
	})
}
