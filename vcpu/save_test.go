package vcpu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
)

// timeless ignores what time alone changes: clocks, the LAPIC timer's current count, and when the PIT was loaded.
var timeless = cmp.Options{
	cmpopts.IgnoreFields(PlatformState{}, "Clock", "TSC", "HostTime"),
	cmpopts.IgnoreFields(kvm.PITChannel{}, "CountLoadTime"),
	cmp.Transformer("withoutTMCCT", func(l kvm.LAPIC) []byte {
		const tmcct = 0x390
		return append(bytes.Clone(l.Regs[:tmcct]), l.Regs[tmcct+4:]...)
	}),
}

func TestSaveRestoreSaveIsEqual(t *testing.T) {
	sys := kvmtest.Open(t)
	m := newMachine(t, sys, mixedCount, newDevices())
	mixed(t, m)
	st, err := m.Save()
	must(t, err)
	// Registers that the guest code leaves alone, each with a value of its own.
	c := &st.VCPUs[1]
	c.Regs.R15, c.Sregs.CR2, c.Sregs.FS.Base, c.Debug.DB[2] = 0x123456789abcdef0, 0xfff000, 0x77000, 0x4444
	copy(c.Xsave[160:], "sixteen byte xmm") // XMM0
	binary.LittleEndian.PutUint64(c.Xsave[512:], 3)
	for i := range c.MSRs {
		if c.MSRs[i].Index == 0xc0000102 { // KERNEL_GS_BASE
			c.MSRs[i].Data = 0xffff888000001000
		}
	}
	_, err = m.Restore(st, RestoreOptions{})
	must(t, err)
	must(t, m.Resume())
	m.until(t, func() bool { return m.dev.ports.Load() >= 100 })
	m.pause(t)

	to := newMachine(t, sys, mixedCount, m.dev)
	want, err := m.Save()
	must(t, err)
	if x := string(want.VCPUs[1].Xsave[160:176]); x != "sixteen byte xmm" {
		t.Errorf("XMM0 did not survive the run: got %q", x)
	}
	again, err := m.Save()
	must(t, err)
	if diff := cmp.Diff(want, again, timeless); diff != "" {
		t.Errorf("saving changed the state (-first +second):\n%s", diff)
	}
	for range 3 { // a restore can be repeated
		begin := time.Now()
		_, err = to.Restore(want, RestoreOptions{})
		must(t, err)
		got, err := to.Save()
		must(t, err)
		if diff := cmp.Diff(want, got, timeless); diff != "" {
			t.Errorf("state (-saved +restored):\n%s", diff)
		}
		elapsed := time.Duration(got.Chips.HostTime - want.Chips.HostTime)
		const slack = time.Millisecond
		if d := time.Duration(got.Chips.Clock.Clock - want.Chips.Clock.Clock); d < 0 || d > elapsed+slack {
			t.Errorf("clock: got %v later; want 0 to %v", d, elapsed+slack)
		}
		if limit := ticks(uint64(elapsed+slack), want.VCPUs[0].TSCKHz); got.Chips.TSC-want.Chips.TSC > limit {
			t.Errorf("TSC: got %d ticks later; want 0 to %d", int64(got.Chips.TSC-want.Chips.TSC), limit)
		}
		if time.Since(begin) > elapsed+time.Second {
			t.Errorf("elapsed %v does not fit %v", elapsed, time.Since(begin))
		}
	}
}

// A device that counts its reads sees each exactly once wherever the guest is interrupted.
func TestReadsAreNeitherRepeatedNorLost(t *testing.T) {
	moves := 300
	if testing.Short() {
		moves = 30
	}
	sys, dev := kvmtest.Open(t), newDevices()
	pair := []*machine{newMachine(t, sys, 1, dev), newMachine(t, sys, 1, dev)}
	pair[0].load(codeAt, codeCount...)
	start(t, pair[0], func(st *State) {
		pair[0].longMode(&st.VCPUs[0], 3, codeAt)
		st.VCPUs[0].Regs.RDX, st.VCPUs[0].Regs.RDI = portCount, mmioAt
	})
	for i := range moves {
		from, to := pair[i%2], pair[1-i%2]
		must(t, from.Resume())
		enough := dev.ports.Load() + uint32(rand.IntN(5))
		from.until(t, func() bool { return dev.ports.Load() >= enough })
		from.moveTo(t, to)
	}
	if bad := dev.bad.Load(); bad != 0 {
		t.Errorf("the guest read %d out of order", bad-1)
	}
	if got := dev.ports.Load(); got < uint32(moves) {
		t.Errorf("got %d reads; want at least %d", got, moves)
	}
}

// The request to pause comes while the device is answering: the instruction must complete before the state is read.
func TestPauseInsideAnAccessCompletesIt(t *testing.T) {
	sys, dev := kvmtest.Open(t), newDevices()
	from, to := newMachine(t, sys, 1, dev), newMachine(t, sys, 1, dev)
	from.load(codeAt, codeCount...)
	start(t, from, func(st *State) {
		from.longMode(&st.VCPUs[0], 3, codeAt)
		st.VCPUs[0].Regs.RDX, st.VCPUs[0].Regs.RDI = portCount, mmioAt
		st.VCPUs[0].Regs.RAX = 0x5555
	})
	dev.block.Store(true)
	must(t, from.Resume())
	<-dev.entered
	go func() {
		for !from.cpus[0].stop.Load() {
			runtime.Gosched()
		}
		dev.release <- struct{}{}
	}()
	from.pause(t)
	st, err := from.Save()
	must(t, err)
	if r := st.VCPUs[0].Regs; r.RIP != codeAt+1 || r.RAX != 0 {
		t.Errorf("got RIP %#x, RAX %#x; want %#x, 0", r.RIP, r.RAX, codeAt+1)
	}
	if got := dev.ports.Load(); got != 1 {
		t.Errorf("got %d reads; want 1", got)
	}
	from.moveTo(t, to)
	must(t, to.Resume())
	to.until(t, func() bool { return dev.ports.Load() >= 100 })
	to.pause(t)
	if bad := dev.bad.Load(); bad != 0 {
		t.Errorf("the guest read %d out of order", bad-1)
	}
}

func TestStringOutputIsWhole(t *testing.T) {
	sys, dev := kvmtest.Open(t), newDevices()
	pair := []*machine{newMachine(t, sys, 1, dev), newMachine(t, sys, 1, dev)}
	pair[0].load(codeAt, codeString...)
	for i := range 64 {
		pair[0].mem[bufferAt+i] = byte(i)
	}
	start(t, pair[0], func(st *State) { pair[0].longMode(&st.VCPUs[0], 3, codeAt) })
	var got []byte
	for i := range 100 {
		must(t, pair[i%2].Resume())
		got = append(got, dev.wait(t, 1)...)
		pair[i%2].moveTo(t, pair[1-i%2])
		got = append(got, dev.output()...)
	}
	for i, b := range got {
		if b != byte(i%64) {
			t.Fatalf("byte %d of %d: got %d; want %d", i, len(got), b, i%64)
		}
	}
}

func TestSIPIWokenVCPUMoves(t *testing.T) {
	sys, dev := kvmtest.Open(t), newDevices()
	from, to := newMachine(t, sys, 2, dev), newMachine(t, sys, 2, dev)
	from.load(codeAt, codeWake...)
	from.load(otherAt, codeWoken...)
	start(t, from, func(st *State) {
		realMode(&st.VCPUs[0], codeAt, 0)
		st.VCPUs[0].Sregs.DS.Base = 0xfee00000
	})
	from.moveTo(t, to) // while the second vCPU waits
	must(t, to.Resume())
	if got := dev.wait(t, 1); string(got) != "W" {
		t.Errorf("got %q; want W", got)
	}
	to.pause(t)
	st, err := to.Save()
	must(t, err)
	if got := st.VCPUs[1].MPState; got != kvm.MPRunnable && got != kvm.MPHalted {
		t.Errorf("got MP state %d; want it awake", got)
	}
}

// A timer that the guest has armed fires at the target, also when its time came while nothing ran.
func TestDeadlineTimerSurvives(t *testing.T) {
	sys := kvmtest.Open(t)
	for name, clock := range map[string]ClockMode{"advance": Advance, "freeze": Freeze} {
		t.Run(name, func(t *testing.T) {
			dev := newDevices()
			from, to := newMachine(t, sys, 1, dev), newMachine(t, sys, 1, dev)
			from.load(codeAt, codeTimer...)
			from.load(codeAt+0x200, codeTimerTick...)
			binary.LittleEndian.PutUint32(from.mem[0x40*4:], codeAt+0x200)
			start(t, from, func(st *State) {
				realMode(&st.VCPUs[0], codeAt, 0)
				st.VCPUs[0].Sregs.DS.Base = 0xfee00000
				st.VCPUs[0].Regs.RBX = ticks(uint64(500*time.Millisecond), st.VCPUs[0].TSCKHz)
			})
			must(t, from.Resume())
			got := dev.wait(t, 1)
			from.pause(t)
			st, err := from.Save()
			must(t, err)
			if string(append(got, dev.output()...)) != "A" {
				t.Fatal("the timer fired within half a second, before the pause")
			}
			if st.VCPUs[0].TSCDeadline == 0 {
				t.Error("got no deadline in the state")
			}
			copy(to.mem, from.mem)
			_, err = to.Restore(st, RestoreOptions{Clock: clock})
			must(t, err)
			must(t, to.Resume())
			if got := dev.wait(t, 1); string(got) != "T" {
				t.Errorf("got %q; want T", got)
			}
			to.pause(t)
		})
	}
}

// The guest's own reading of the TSC is what the report must be true to.
func TestTSCReportIsTrue(t *testing.T) {
	sys, dev := kvmtest.Open(t), newDevices()
	m := newMachine(t, sys, 1, dev)
	m.load(codeAt, codeTSC...)
	start(t, m, func(st *State) { m.longMode(&st.VCPUs[0], 3, codeAt) })
	st, err := m.Save()
	must(t, err)
	khz := st.VCPUs[0].TSCKHz
	st.Chips.TSC += ticks(uint64(time.Hour), khz) // a source that has been up for an hour longer
	r, err := m.Restore(st, RestoreOptions{Clock: Freeze})
	must(t, err)
	must(t, m.Resume())
	got := binary.LittleEndian.Uint64(dev.wait(t, 8))
	follows := got-st.Chips.TSC < ticks(uint64(5*time.Second), khz)
	if follows != (r.TSC == Kept) {
		t.Errorf("got %v, and the guest reads %d; saved %d", r.TSC, got, st.Chips.TSC)
	}
	t.Logf("TSC %v", r.TSC)
}

func TestClockModes(t *testing.T) {
	sys := kvmtest.Open(t)
	m := newMachine(t, sys, 1, newDevices())
	st, err := m.Save()
	must(t, err)
	const age = time.Hour
	st.Chips.HostTime -= int64(age)
	if st.Chips.Clock.Flags&kvm.ClockRealtime != 0 {
		st.Chips.Clock.Realtime -= uint64(age)
	}
	for clock, want := range map[ClockMode]time.Duration{Advance: age, Freeze: 0} {
		r, err := m.Restore(st, RestoreOptions{Clock: clock})
		must(t, err)
		if d := r.Elapsed - want; d < 0 || d > time.Minute {
			t.Errorf("%v: got %v; want %v", clock, r.Elapsed, want)
		}
		var now kvm.Clock
		must(t, m.vm.Clock(&now))
		if d := time.Duration(now.Clock-st.Chips.Clock.Clock) - want; d < 0 || d > time.Minute {
			t.Errorf("%v: got a clock %v ahead; want %v", clock, d+want, want)
		}
	}
	st.Chips.HostTime += int64(2 * age) // a source whose clock is ahead of ours
	st.Chips.Clock.Flags = 0
	r, err := m.Restore(st, RestoreOptions{Clock: Advance})
	must(t, err)
	if r.Elapsed != 0 {
		t.Errorf("saved in the future: got %v; want 0", r.Elapsed)
	}
}

func TestRestoreRefuses(t *testing.T) {
	m := newMachine(t, kvmtest.Open(t), 2, newDevices())
	good, err := m.Save()
	must(t, err)
	tests := map[string]struct {
		change func(*State)
		want   error
		text   string
	}{
		"fewer vCPUs":  {func(s *State) { s.VCPUs = s.VCPUs[:1] }, ErrShape, "1 vCPUs"},
		"no vCPU":      {func(s *State) { s.VCPUs = nil }, ErrShape, "0 vCPUs"},
		"no irqchip":   {func(s *State) { s.Chips.HasIRQChip = false }, ErrShape, "controllers false"},
		"more vectors": {func(s *State) { s.VCPUs[0].Xsave = bytes.Repeat([]byte{1}, 8192) }, ErrShape, "8192 bytes"},
		"strange MSR": {func(s *State) {
			s.VCPUs[1].MSRs = append(s.VCPUs[1].MSRs[:3:3], kvm.MSREntry{Index: 0x12345678, Data: 7})
		}, ErrMSR, "MSR 0x12345678"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			st := good
			st.VCPUs = append([]CPUState(nil), good.VCPUs...)
			test.change(&st)
			_, err := m.Restore(st, RestoreOptions{})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v; want %v with %q", err, test.want, test.text)
			}
		})
	}
	short := good
	short.VCPUs = append([]CPUState(nil), good.VCPUs...)
	short.VCPUs[0].Xsave = good.VCPUs[0].Xsave[:1024]
	_, err = m.Restore(short, RestoreOptions{})
	must(t, err)
}

func TestRehearse(t *testing.T) {
	m := newMachine(t, kvmtest.Open(t), 2, newDevices())
	for range 10 {
		save, r, err := m.Rehearse(RestoreOptions{})
		must(t, err)
		if save <= 0 || r.Time <= 0 || r.VCPUTime+r.PlatformTime != r.Time {
			t.Errorf("got %v, %+v; want times that add up", save, r)
		}
	}
}
