package vmm

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/console"
	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vcpu"
)

// guest is a machine in this process, with what a supervisor would see of it.
type guest struct {
	*Machine
	lines chan string
	ended chan Ending
}

// newGuest makes a loadgen that does not run yet.
func newGuest(t *testing.T, cmdline string) *guest {
	t.Helper()
	return newGuestWith(t, cmdline, nil, &backends{})
}

// newGuestWith makes one that has devices.
func newGuestWith(t *testing.T, cmdline string, devices []Device, backs *backends) *guest {
	t.Helper()
	sys := kvmtest.Open(t)
	cpu, err := vcpu.HostModel(sys, 2)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := NewPlan(Config{Name: "test", MemoryBytes: 32 << 20, CPUs: 2, Cmdline: cmdline, CmdlineSet: true, Clock: ClockAdvance, Devices: devices}, cpu)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{lines: make(chan string, 1<<16), ended: make(chan Ending, 1)}
	im := &images{}
	im.builtin()
	g.Machine, err = newMachine(sys, plan, TrackAuto, im, backs, nil, console.New(w, nil), slog.New(slog.NewTextHandler(io.Discard, nil)), func(State) {}, func(e Ending) { g.ended <- e })
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(r); s.Scan(); {
			g.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		g.close()
		<-read
		r.Close()
	})
	return g
}

// wait returns the next line that begins with prefix.
func (g *guest) wait(t *testing.T, prefix string) string {
	t.Helper()
	timer := time.NewTimer(30 * time.Second)
	defer timer.Stop()
	ended := g.ended
	for {
		select {
		case l := <-g.lines:
			if strings.HasPrefix(l, prefix) {
				return l
			}
		case e := <-ended: // its last lines may still be on their way
			g.ended <- e
			ended = nil
			timer.Reset(5 * time.Second)
		case <-timer.C:
			t.Fatalf("the guest did not say %q; ended: %t", prefix, ended == nil)
		}
	}
}

const small = "fill=2 wss=1 rate=1 heartbeat=5000 cpus=2 countreg=1"

func TestStopPowersOff(t *testing.T) {
	g := newGuest(t, small)
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "READY")
	g.wait(t, "HB 1 ")
	if err := g.AskToStop(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "BYE")
	if diff := cmp.Diff(Ending{Code: 0, Reason: "powered off"}, <-g.ended); diff != "" {
		t.Errorf("ending (-want +got):\n%s", diff)
	}
}

func TestResetRestartsTheGuest(t *testing.T) {
	g := newGuest(t, small)
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "READY")
	g.wait(t, "HB 0 ")
	// As the guest does it: the keyboard controller's reset line.
	g.instance.exits.PortOut(0x64, []byte{0xfe})
	g.wait(t, "READY")
	g.wait(t, "HB 1 ")
	if err := g.Pause(context.Background()); err != nil {
		t.Errorf("pausing after a reset: %v", err)
	}
}

func TestPauseStopsTheGuestAndResumeGoesOn(t *testing.T) {
	g := newGuest(t, small)
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "READY")
	if err := g.Pause(context.Background()); err != nil {
		t.Fatal(err)
	}
	g.console.Drain(time.Second)
	before, err := g.instance.save()
	if err != nil {
		t.Fatal(err)
	}
	after, err := g.instance.save()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(withoutTime(t, before), withoutTime(t, after)); diff != "" {
		t.Errorf("a paused guest changed (-before +after):\n%s", diff)
	}
	if err := g.Resume(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "HB 0 ")
}

// withoutTime decodes a state and takes out what goes on while a guest stands
// still: its clocks; and, where a device waits for its interrupt to be seen, the
// requests for interrupts: a restore raises that one again.
func withoutTime(t *testing.T, sections []migration.Section) any {
	t.Helper()
	ids := []string{sectionDevices, sectionVCPU}
	for _, s := range sections {
		if strings.HasPrefix(s.ID, "virtio/") {
			ids = append(ids, s.ID)
		}
	}
	known, err := migration.Pick(sections, ids...)
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Board boardState
		CPU   vcpu.State
		Slots map[string]slotState
	}
	s.Slots = make(map[string]slotState)
	waits := false
	for _, id := range ids[2:] {
		var slot slotState
		if err := known[id].Decode(&slot); err != nil {
			t.Fatal(err)
		}
		s.Slots[id] = slot
		waits = waits || slot.Transport.ISR != 0
	}
	if err := errors.Join(known[sectionDevices].Decode(&s.Board), known[sectionVCPU].Decode(&s.CPU)); err != nil {
		t.Fatal(err)
	}
	s.CPU.Chips.Clock.Clock, s.CPU.Chips.Clock.HostTSC, s.CPU.Chips.Clock.Realtime = 0, 0, 0
	s.CPU.Chips.TSC, s.CPU.Chips.HostTime, s.Board.RTC.At = 0, 0, 0
	for i := range s.CPU.VCPUs {
		// The timer's count runs on in the kernel: APIC register 0x390.
		clear(s.CPU.VCPUs[i].LAPIC.Regs[0x390:0x394])
		// KVM tells of a pending exception as an injected one too, and takes it back as that.
		if e := &s.CPU.VCPUs[i].Events; e.ExceptionInjected != 0 {
			e.ExceptionPending = 0
		}
		if waits {
			clear(s.CPU.VCPUs[i].LAPIC.Regs[0x200:0x280])
		}
	}
	if waits {
		clear(s.CPU.Chips.IRQChips[2].State[16:20]) // of the I/O APIC, by line
	}
	for i := range s.CPU.Chips.PIT.Channels {
		s.CPU.Chips.PIT.Channels[i].CountLoadTime = 0
	}
	return s
}

func TestStateRestoresInAnotherInstance(t *testing.T) {
	g := newGuest(t, small)
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "READY")
	if err := g.Pause(context.Background()); err != nil {
		t.Fatal(err)
	}
	saved, err := g.instance.save()
	if err != nil {
		t.Fatal(err)
	}
	h := newGuest(t, small)
	copyMemory(t, h.instance.memory, g.instance.memory)
	if _, err := h.instance.restore(saved, h.plan, h.wiring()); err != nil {
		t.Fatal(err)
	}
	again, err := h.instance.save()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(withoutTime(t, saved), withoutTime(t, again)); diff != "" {
		t.Errorf("state after a restore (-saved +again):\n%s", diff)
	}
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	if stat := h.wait(t, "STAT "); !strings.Contains(stat, " corrupt=0 doubled=0 lost=0 ") {
		t.Errorf("got %q; want nothing wrong", stat)
	}
}

// copyMemory copies data, as a move does.
func copyMemory(t *testing.T, to, from *guestmem.Memory) {
	t.Helper()
	tracker, err := from.Track()
	if err != nil {
		t.Fatal(err)
	}
	defer tracker.Close()
	if _, err := tracker.Harvest(); err != nil {
		t.Fatal(err)
	}
	runs := make([]guestmem.Run, 64)
	for {
		n, err := tracker.Next(runs)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		for _, r := range runs[:n] {
			if r.Kind != guestmem.Data {
				continue
			}
			if err := to.Place(r.GPA, r.Bytes); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A guest goes on for a few instructions after it asked for its end or its
// reset, and may try the other next: that is too late.
func TestFirstWayToLeaveCounts(t *testing.T) {
	g := newGuest(t, small)
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "READY")
	w := g.wiring()
	w.reset()
	w.powerOff()
	g.wait(t, "READY")
	g.wait(t, "HB 0 ")
	select {
	case e := <-g.ended:
		t.Fatalf("got the end %+v after a reset; want the guest to go on", e)
	default:
	}
	w.powerOff()
	w.reset()
	g.died(g.instance, 0, vcpu.Ending{Kind: vcpu.Shutdown})
	if diff := cmp.Diff(Ending{Code: 0, Reason: "powered off"}, <-g.ended); diff != "" {
		t.Errorf("ending (-want +got):\n%s", diff)
	}
}

// What a vCPU ran into while its guest was reset may be told late.
func TestEndOfAnEarlierLife(t *testing.T) {
	g := newGuest(t, small)
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "READY")
	before := g.instance
	g.wiring().reset()
	g.wait(t, "READY")
	g.died(before, 0, vcpu.Ending{Kind: vcpu.Shutdown})
	g.wait(t, "HB 0 ")
	select {
	case e := <-g.ended:
		t.Errorf("got the end %+v; want the guest to go on", e)
	default:
	}
}

func TestGuestThatEndsIsNotMoved(t *testing.T) {
	g := newGuest(t, small)
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "READY")
	v, err := g.beginMove()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.beginMove(); err == nil {
		t.Error("a second move began beside the first")
	}
	g.leaving.Store(true) // as its power-off port does, on the vCPU's thread
	if err := v.Pause(context.Background()); err == nil {
		t.Error("a guest that has asked for its end was paused to be moved")
	}
	if err := v.Resume(); err != nil {
		t.Error(err)
	}
	v.end(false)
}

func TestMovesAreCounted(t *testing.T) {
	g := newGuest(t, small)
	g.plan.Moves = 2
	d, err := g.describe(g.plan.Moves + 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := decodePlan(d.Plan)
	if err != nil || p.Moves != 3 {
		t.Errorf("got %d moves at the target, %v; want 3", p.Moves, err)
	}
	if got := g.facts().Moves; got != 2 {
		t.Errorf("got %d moves here; want 2", got)
	}
}
