package vmm

import (
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ferryvmm/ferry/devices"
	"github.com/ferryvmm/ferry/devices/console"
	"github.com/ferryvmm/ferry/devices/power"
	"github.com/ferryvmm/ferry/devices/ready"
	"github.com/ferryvmm/ferry/devices/rtc"
	"github.com/ferryvmm/ferry/devices/serial"
	"github.com/ferryvmm/ferry/devices/testdev"
	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vcpu"
)

// unheard takes what devices say.
type unheard struct{}

func (unheard) Put(byte)       {}
func (unheard) Set(bool) error { return nil }

// fixedDevices are those that every machine has, in a state that a peer or a file says.
func fixedDevices(s boardState) *devices.Bus {
	b := new(devices.Bus)
	test := testdev.New(s.Test)
	for _, d := range []struct {
		port    uint16
		size    uint64
		handler devices.Handler
	}{
		{serial.COM1, serial.Size, serial.New(&s.Serial, unheard{}, unheard{}, func() {})},
		{ready.Port, ready.Size, ready.New(&s.Ready, func(int64) {})},
		{power.KeyboardPort, power.Size, power.Keyboard{Reset: func() {}}},
		{power.ResetPort, power.Size, power.Control{Reset: func() {}}},
		{power.SleepPort, power.Size, power.Sleep{Off: func() {}}},
		{power.ButtonPort, power.ButtonSize, power.NewButton(s.Button, unheard{})},
		{rtc.Port, rtc.Size, rtc.New(s.RTC, false, time.Now)},
		{testdev.CountPort, testdev.CountSize, test.Port()},
		{testdev.ControlPort, testdev.ControlSize, test.Control()},
	} {
		if err := b.AddPorts(d.port, d.size, d.handler); err != nil {
			panic(err) // the ports are constants
		}
	}
	return b
}

// FuzzSections feeds the decoder of states, builds the fixed devices of what it takes, and has a hostile guest at their ports.
func FuzzSections(f *testing.F) {
	c := config()
	c.Devices = someDevices()
	plan, err := NewPlan(c, vcpu.Model{CPUID: []kvm.CPUIDEntry{{Function: 1}}})
	if err != nil {
		f.Fatal(err)
	}
	add := func(sections []migration.Section, err error) []migration.Section {
		if err != nil {
			f.Fatal(err)
		}
		return sections
	}
	section := func(id string, version uint16, v any) migration.Section {
		s, err := migration.NewSection(id, version, v)
		if err != nil {
			f.Fatal(err)
		}
		return s
	}
	all := []migration.Section{
		section(sectionDevices, devicesVersion, boardState{RTC: &rtc.State{}, Button: &power.State{}, Test: &testdev.State{}}),
		section(sectionVCPU, vcpuVersion, vcpu.State{}),
	}
	for _, s := range plan.Slots {
		all = append(all, section(s.section(), slotVersion, slotState{Version: 1}))
	}
	for _, sections := range [][]migration.Section{all, add(markPaused(all)), all[:2]} {
		raw, err := migration.EncodeState(sections)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, []byte{0xf8, 3, 0xf9, 3, 0x70, 0x0b, 0x64, 0xfe})
	}
	f.Fuzz(func(t *testing.T, raw, accesses []byte) {
		sections, err := migration.DecodeState(raw)
		if err != nil {
			return
		}
		rest, _, err := takePaused(sections)
		if err != nil {
			return
		}
		saved, _, err := decodeSections(rest, plan)
		if err != nil {
			return
		}
		bus := fixedDevices(saved.fixed)
		for ; len(accesses) >= 2; accesses = accesses[2:] {
			port, data := uint16(accesses[0])|uint16(accesses[1]&3)<<8, make([]byte, 1<<(accesses[1]>>2&3))
			if accesses[1]&0x80 != 0 {
				data[0] = accesses[1]
				bus.PortOut(port, data)
			} else {
				bus.PortIn(port, data)
			}
		}
	})
}

// FuzzParts makes each kind of virtio device in a state that a peer or a file says, and saves it again.
func FuzzParts(f *testing.F) {
	kinds := []string{KindBlk, KindNet, KindRNG, KindBalloon, KindConsole, KindVsock}
	memory, err := guestmem.New(guestmem.Layout{{Size: guestmem.MinSize}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { memory.Close() })
	image, err := os.Create(f.TempDir() + "/image")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { image.Close() })
	slots, err := place(someDevices())
	if err != nil {
		f.Fatal(err)
	}
	for i := range kinds {
		f.Add(byte(i), []byte{0xa0})
	}
	f.Fuzz(func(t *testing.T, kind byte, raw []byte) {
		name := kinds[int(kind)%len(kinds)]
		b := &backends{disks: []*disk{{id: "root", file: image}}, console: console.New(nil, nil), log: slog.New(slog.NewTextHandler(io.Discard, nil))}
		for _, s := range slots {
			if s.Kind != name {
				continue
			}
			p, err := makers[name].make(s, memory, b, cbor.RawMessage(raw))
			if err != nil {
				return
			}
			if _, err := migration.NewSection("x", 1, p.save()); err != nil {
				t.Errorf("%s: the state that it took cannot be saved: %v", name, err)
			}
			p.device.ReadConfig(0, make([]byte, 256))
			if err := p.device.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
