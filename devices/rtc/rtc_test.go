package rtc_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices"
	"github.com/ferryvmm/ferry/devices/rtc"
)

// rig is a clock on a bus, and the host's time.
type rig struct {
	*rtc.RTC
	bus  devices.Bus
	host time.Time
}

func newRig(t testing.TB, saved *rtc.State, freeze bool, host string) *rig {
	t.Helper()
	r := &rig{host: at(t, host)}
	r.RTC = rtc.New(saved, freeze, func() time.Time { return r.host })
	if err := r.bus.AddPorts(rtc.Port, rtc.Size, r.RTC); err != nil {
		t.Fatal(err)
	}
	return r
}

func at(t testing.TB, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (r *rig) get(reg byte) byte {
	r.bus.PortOut(rtc.Port, []byte{reg})
	p := []byte{0xee}
	r.bus.PortIn(rtc.Port+1, p)
	return p[0]
}

func (r *rig) put(reg, b byte) { r.bus.PortOut(rtc.Port, []byte{reg, b}) } // 16 bits: index and data

// fields are second, minute, hour, weekday, day, month, year and century.
func (r *rig) fields() (f [8]byte) {
	for i, reg := range []byte{0, 2, 4, 6, 7, 8, 9, 0x32} {
		f[i] = r.get(reg)
	}
	return f
}

func (r *rig) wantFields(t *testing.T, what string, want [8]byte) {
	t.Helper()
	if got := r.fields(); got != want {
		t.Errorf("%s: got % x; want % x", what, got, want)
	}
}

func TestTime(t *testing.T) {
	r := newRig(t, nil, false, "2031-12-28T23:05:09Z") // a Sunday
	r.wantFields(t, "BCD, 24 hours", [8]byte{0x09, 0x05, 0x23, 1, 0x28, 0x12, 0x31, 0x20})
	r.put(0xb, 0x00)
	r.wantFields(t, "BCD, 12 hours", [8]byte{0x09, 0x05, 0x91, 1, 0x28, 0x12, 0x31, 0x20})
	r.put(0xb, 0x06)
	r.wantFields(t, "binary", [8]byte{9, 5, 23, 1, 28, 12, 31, 0x20})
	r.put(0xb, 0x04)
	for host, want := range map[string]byte{"2031-12-28T00:00:00Z": 12, "2031-12-28T11:00:00Z": 11, "2031-12-28T12:00:00Z": 0x8c, "2031-12-28T13:00:00Z": 0x81} {
		if r.host = at(t, host); r.get(4) != want {
			t.Errorf("hour of %s: got %#x; want %#x", host, r.get(4), want)
		}
	}
}

func TestUpdateInProgress(t *testing.T) {
	r := newRig(t, nil, false, "2031-12-28T23:05:09Z")
	for host, want := range map[string]byte{
		"2031-12-28T23:05:09Z": 0x26, "2031-12-28T23:05:09.9977Z": 0x26, "2031-12-28T23:05:09.9978Z": 0xa6, "2031-12-28T23:05:09.999999Z": 0xa6,
	} {
		if r.host = at(t, host); r.get(0xa) != want {
			t.Errorf("register A at %s: got %#x; want %#x", host, r.get(0xa), want)
		}
	}
	r.put(0xb, 0x82)
	if got := r.get(0xa); got != 0x26 {
		t.Errorf("register A of a clock that stands: got %#x; want 0x26", got)
	}
}

func TestSetting(t *testing.T) {
	r := newRig(t, nil, false, "2031-12-28T23:05:09.5Z")
	r.put(0xb, 0x82) // SET
	want := [8]byte{0x58, 0x59, 0x23, 5, 0x29, 0x02, 0x96, 0x19}
	for i, reg := range []byte{0, 2, 4, 6, 7, 8, 9, 0x32} {
		r.put(reg, want[i])
	}
	r.host = r.host.Add(time.Hour)
	r.wantFields(t, "standing", want)
	r.put(0xb, 0x02)
	r.wantFields(t, "going", want)
	r.host = r.host.Add(2 * time.Second)
	r.wantFields(t, "later", [8]byte{0, 0, 0, 6, 1, 3, 0x96, 0x19})

	r.put(4, 0x12) // at once, without SET
	r.wantFields(t, "hour alone", [8]byte{0, 0, 0x12, 6, 1, 3, 0x96, 0x19})
	r.put(0xb, 0x00)
	r.put(4, 0x92)
	r.wantFields(t, "noon", [8]byte{0, 0, 0x92, 6, 1, 3, 0x96, 0x19})
	r.put(4, 0x12)
	r.wantFields(t, "midnight", [8]byte{0, 0, 0x12, 6, 1, 3, 0x96, 0x19})
	if got, want := r.Save().Offset, at(t, "1996-03-01T00:00:00Z").Unix()-r.host.Unix(); got != want {
		t.Errorf("offset: got %d; want %d", got, want)
	}
}

func TestOtherRegisters(t *testing.T) {
	r := newRig(t, nil, false, "2031-12-28T23:05:09Z")
	for reg := range byte(128) {
		r.put(reg, 0)
	}
	for _, c := range []struct{ reg, put, want byte }{
		{0x01, 0x30, 0x30}, // alarm: memory
		{0x0c, 0xff, 0x00},
		{0x0d, 0x00, 0x80},
		{0x0e, 0x5a, 0x5a},
		{0x7f, 0xa5, 0xa5},
		{0x8e, 0x11, 0x11}, // the NMI's mask is not part of the index
	} {
		if r.put(c.reg, c.put); r.get(c.reg) != c.want {
			t.Errorf("register %#x: got %#x; want %#x", c.reg, r.get(c.reg), c.want)
		}
	}
	if got := r.get(0x0e); got != 0x11 {
		t.Errorf("register 0x0e: got %#x; want 0x11", got)
	}
	p := []byte{0}
	if r.bus.PortIn(rtc.Port, p); p[0] != 0x0e {
		t.Errorf("index: got %#x; want 0x0e", p[0])
	}
}

func TestRestored(t *testing.T) {
	r := newRig(t, nil, false, "2031-12-28T23:05:09Z")
	r.put(2, 0x35) // half an hour ahead
	r.put(0x40, 0x77)
	s := r.Save()
	for _, c := range []struct {
		freeze bool
		minute byte
	}{{false, 0x45}, {true, 0x35}} {
		got := newRig(t, &s, c.freeze, "2031-12-28T23:15:09Z")
		if m := got.get(2); m != c.minute {
			t.Errorf("freeze %v: got minute %#x; want %#x", c.freeze, m, c.minute)
		}
		if b := got.get(0x40); b != 0x77 {
			t.Errorf("memory: got %#x; want 0x77", b)
		}
	}
	again := newRig(t, &s, false, "2031-12-28T23:05:09Z").Save()
	if diff := cmp.Diff(s, again); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestAllocatesNothing(t *testing.T) {
	r := newRig(t, nil, false, "2031-12-28T23:05:09Z")
	p := make([]byte, 2)
	if n := testing.AllocsPerRun(100, func() {
		r.bus.PortOut(rtc.Port, p)
		r.bus.PortIn(rtc.Port, p)
	}); n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

// FuzzState feeds a hostile state and hostile accesses: nothing may panic, and
// every time shown must be one that fits its register.
func FuzzState(f *testing.F) {
	f.Add(int64(0), int64(0), uint8(2), []byte{4, 0x23, 9, 0x99})
	f.Add(int64(-1<<63), int64(1<<63-1), uint8(0x86), []byte{8, 0xff, 0xb, 2})
	f.Fuzz(func(t *testing.T, offset, saved int64, b uint8, writes []byte) {
		s := rtc.State{Index: b, Offset: offset, At: saved}
		s.Memory[0xb] = b
		r := newRig(t, &s, true, "2031-12-28T23:05:09Z")
		for len(writes) >= 2 {
			r.put(writes[0], writes[1])
			writes = writes[2:]
		}
		r.put(0xb, 0x06)
		got := r.fields()
		for i, most := range [8]byte{59, 59, 23, 7, 31, 12, 99, 0x99} {
			if got[i] > most {
				t.Errorf("field %d: got %d; want at most %d", i, got[i], most)
			}
		}
	})
}
