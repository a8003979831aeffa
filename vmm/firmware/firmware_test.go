package firmware_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/vmm/firmware"
)

// low is the guest's first MiB.
type low []byte

func (m low) WriteAt(p []byte, gpa uint64) error {
	if gpa > uint64(len(m)) || uint64(len(p)) > uint64(len(m))-gpa {
		return errors.New("outside")
	}
	copy(m[gpa:], p)
	return nil
}

// example is a machine with every kind of thing.
func example() firmware.Config {
	c := firmware.Config{CPUs: 4}
	for i, gsi := range firmware.VirtioGSIs() {
		c.Devices = append(c.Devices, firmware.MMIODevice{Base: 0xd0000000 + 0x1000*uint64(i), Size: 0x1000, GSI: gsi, UID: i})
	}
	return c
}

func write(t testing.TB, c firmware.Config) low {
	t.Helper()
	m := make(low, 1<<20)
	rsdp, err := firmware.Write(m, c)
	if err != nil {
		t.Fatal(err)
	}
	if rsdp != firmware.Tables {
		t.Errorf("RSDP: got %#x; want %#x", rsdp, firmware.Tables)
	}
	return m
}

func sum(b []byte) (s byte) {
	for _, v := range b {
		s += v
	}
	return s
}

var le = binary.LittleEndian

// tables follows the pointers from the RSDP as a kernel does, and checks each
// checksum. The result is by signature.
func tables(t testing.TB, m low) map[string][]byte {
	t.Helper()
	rsdp := m[firmware.Tables:][:36]
	if string(rsdp[:8]) != "RSD PTR " || rsdp[15] != 2 || sum(rsdp[:20]) != 0 || sum(rsdp) != 0 {
		t.Fatalf("RSDP: got % x", rsdp)
	}
	got := map[string][]byte{}
	read := func(at uint64) []byte {
		table := m[at:][:le.Uint32(m[at+4:])]
		if sum(table) != 0 {
			t.Errorf("%s: wrong checksum", table[:4])
		}
		if at < firmware.Tables || at+uint64(len(table)) > firmware.TablesEnd {
			t.Errorf("%s at %#x: outside its area", table[:4], at)
		}
		got[string(table[:4])] = table
		return table
	}
	for xsdt := read(le.Uint64(rsdp[24:]))[36:]; len(xsdt) > 0; xsdt = xsdt[8:] {
		read(le.Uint64(xsdt))
	}
	fadt := got["FACP"]
	if uint64(le.Uint32(fadt[40:])) != le.Uint64(fadt[140:]) {
		t.Error("the FADT's two pointers to the DSDT differ")
	}
	read(le.Uint64(fadt[140:]))
	return got
}

func TestTables(t *testing.T) {
	got := tables(t, write(t, example()))
	for _, name := range []string{"XSDT", "FACP", "APIC", "DSDT"} {
		if got[name] == nil {
			t.Errorf("no %s", name)
		}
	}
	fadt := got["FACP"]
	const reduced, resetSupported = 1 << 20, 1 << 10
	if flags := le.Uint32(fadt[112:]); flags&reduced == 0 || flags&resetSupported == 0 {
		t.Errorf("FADT flags: got %#x; want hardware-reduced, with a reset register", flags)
	}
	port := func(p uint64) []byte { return le.AppendUint64([]byte{1, 8, 0, 1}, p) }
	for name, c := range map[string]struct {
		at   int
		want uint64
	}{"reset": {116, 0xcf9}, "sleep control": {244, 0x600}, "sleep status": {256, 0x600}} {
		if !bytes.Equal(fadt[c.at:][:12], port(c.want)) {
			t.Errorf("%s register: got % x; want % x", name, fadt[c.at:][:12], port(c.want))
		}
	}
	if fadt[128] != 6 {
		t.Errorf("reset value: got %d; want 6", fadt[128])
	}
	kinds := map[byte]int{}
	for madt := got["APIC"][44:]; len(madt) > 0; madt = madt[madt[1]:] {
		kinds[madt[0]]++
	}
	if diff := cmp.Diff(map[byte]int{0: 4, 1: 1, 2: 1, 4: 1}, kinds); diff != "" {
		t.Errorf("MADT entries by kind (-want +got):\n%s", diff)
	}
}

func TestMPTable(t *testing.T) {
	for _, cpus := range []int{1, 4, firmware.MaxCPUs} {
		m := write(t, firmware.Config{CPUs: cpus})
		pointer := m[firmware.MPTable:][:16]
		if string(pointer[:4]) != "_MP_" || sum(pointer) != 0 {
			t.Fatalf("floating pointer: got % x", pointer)
		}
		config := m[le.Uint32(pointer[4:]):]
		config = config[:le.Uint16(config[4:])]
		if string(config[:4]) != "PCMP" || sum(config) != 0 {
			t.Errorf("configuration: got % x", config[:44])
		}
		if end := le.Uint32(pointer[4:]) + uint32(len(config)); end > firmware.MPTableEnd {
			t.Errorf("%d CPUs: it ends at %#x, beyond base memory", cpus, end)
		}
		kinds, count := map[byte]int{}, 0
		pins := map[byte]byte{}
		ids := map[byte]bool{}
		for rest := config[44:]; len(rest) > 0; count++ {
			kind, size := rest[0], 8
			switch kind {
			case 0:
				size = 20
				ids[rest[1]] = true
			case 2:
				if ids[rest[1]] {
					t.Error("the I/O APIC has the id of a CPU")
				}
			case 3:
				pins[rest[5]] = rest[7]
			}
			kinds[kind]++
			rest = rest[size:]
		}
		if got := int(le.Uint16(config[34:])); got != count {
			t.Errorf("%d CPUs: header counts %d entries; there are %d", cpus, got, count)
		}
		if diff := cmp.Diff(map[byte]int{0: cpus, 1: 1, 2: 1, 3: 23, 4: 2}, kinds); diff != "" {
			t.Errorf("%d CPUs: entries by kind (-want +got):\n%s", cpus, diff)
		}
		for _, gsi := range append(firmware.VirtioGSIs(), 0, 1, 4, 8) {
			if pin, ok := pins[byte(gsi)]; !ok || uint32(pin) != gsi {
				t.Errorf("interrupt %d: got pin %d, %v; want the same pin", gsi, pin, ok)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	ok := firmware.MMIODevice{Base: 0xd0000000, Size: 0x1000, GSI: 5}
	other := func(change func(*firmware.MMIODevice)) []firmware.MMIODevice {
		d := firmware.MMIODevice{Base: 0xd0001000, Size: 0x1000, GSI: 6, UID: 1}
		change(&d)
		return []firmware.MMIODevice{ok, d}
	}
	for name, c := range map[string]firmware.Config{
		"no CPU":         {},
		"too many CPUs":  {CPUs: firmware.MaxCPUs + 1},
		"above 4 GiB":    {CPUs: 1, Devices: other(func(d *firmware.MMIODevice) { d.Base = 1 << 32 })},
		"across 4 GiB":   {CPUs: 1, Devices: other(func(d *firmware.MMIODevice) { d.Base, d.Size = 1<<32-0x1000, 0x2000 })},
		"no size":        {CPUs: 1, Devices: other(func(d *firmware.MMIODevice) { d.Size = 0 })},
		"same interrupt": {CPUs: 1, Devices: other(func(d *firmware.MMIODevice) { d.GSI = 5 })},
		"the button's":   {CPUs: 1, Devices: other(func(d *firmware.MMIODevice) { d.GSI = firmware.ButtonGSI })},
		"no pin":         {CPUs: 1, Devices: other(func(d *firmware.MMIODevice) { d.GSI = 24 })},
		"same number":    {CPUs: 1, Devices: other(func(d *firmware.MMIODevice) { d.UID = 0 })},
		"no number":      {CPUs: 1, Devices: other(func(d *firmware.MMIODevice) { d.UID = 256 })},
	} {
		m := make(low, 1<<20)
		if _, err := firmware.Write(m, c); !errors.Is(err, firmware.ErrConfig) {
			t.Errorf("%s: got %v; want ErrConfig", name, err)
		}
		if !bytes.Equal(m, make(low, len(m))) {
			t.Errorf("%s: something was written", name)
		}
	}
}

// TestGolden holds the bytes: a restored guest has those of the version that
// booted it, and two hosts must agree. UPDATE_GOLDEN=1 writes the file.
func TestGolden(t *testing.T) {
	m := write(t, example())
	got := bytes.TrimRight(m[firmware.Tables:], "\x00")
	got = append(bytes.Clone(m[firmware.MPTable:firmware.MPTableEnd]), got...)
	file := filepath.Join("testdata", "tables.golden")
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the tables are not those of %s; if that is meant, UPDATE_GOLDEN=1 go test ./vmm/firmware", file)
	}
}
