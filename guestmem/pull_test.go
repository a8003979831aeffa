package guestmem_test

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/guestmem/guestmemtest"
	"github.com/ferryvmm/ferry/internal/uffd/uffdtest"
)

// puller is a target that pulls: memory with a guest that touches it, and one goroutine in Faults.
type puller struct {
	t    testing.TB
	mem  *guestmem.Memory
	vm   *guestmemtest.VM
	pull *guestmem.Pull
	told chan uint64 // what Faults tells of
	end  chan error  // how it ended
}

func newPuller(t testing.TB, layout guestmem.Layout) *puller {
	t.Helper()
	return newPullerOf(t, newMemory(t, layout))
}

func newPullerOf(t testing.TB, m *guestmem.Memory) *puller {
	t.Helper()
	dev := uffdtest.Open(t)
	p := &puller{t: t, mem: m, vm: guestmemtest.NewVM(guestmemtest.Manual), told: make(chan uint64, 1<<16), end: make(chan error, 1)}
	check(t, p.vm.Attach(p.mem))
	pull, err := p.mem.Pull(dev)
	check(t, err)
	p.pull = pull
	go func() {
		gpas := make([]uint64, 8)
		for {
			n, err := pull.Faults(gpas)
			for _, gpa := range gpas[:n] {
				p.told <- gpa
			}
			if err != nil {
				p.end <- err
				close(p.told)
				return
			}
		}
	}()
	return p
}

// close ends the pull, and looks at how Faults ended.
func (p *puller) close() {
	p.t.Helper()
	check(p.t, p.pull.Close())
	if err := <-p.end; !errors.Is(err, guestmem.ErrClosed) {
		p.t.Errorf("Faults: got %v; want ErrClosed", err)
	}
}

// want compares the next page that Faults tells of.
func (p *puller) want(gpa uint64) {
	p.t.Helper()
	if got := <-p.told; got != gpa {
		p.t.Errorf("Faults: got %#x; want %#x", got, gpa)
	}
}

// fill fills, and compares how many pages it filled.
func (p *puller) fill(gpa uint64, data []byte, want uint64) {
	p.t.Helper()
	got, err := p.pull.Fill(gpa, data)
	check(p.t, err)
	if got != want {
		p.t.Errorf("Fill(%#x): got %d pages; want %d", gpa, got, want)
	}
}

func (p *puller) zero(gpa, size, want uint64) {
	p.t.Helper()
	got, err := p.pull.FillZero(gpa, size)
	check(p.t, err)
	if got != want {
		p.t.Errorf("FillZero(%#x): got %d pages; want %d", gpa, got, want)
	}
}

// load reads as the guest does, in the background.
func (p *puller) load(gpa uint64) <-chan byte {
	out := make(chan byte, 1)
	go func() {
		b := make([]byte, 1)
		if err := p.vm.Load(b, gpa); err != nil {
			p.t.Error(err)
		}
		out <- b[0]
	}()
	return out
}

func (p *puller) reads(gpa uint64, want byte) {
	p.t.Helper()
	if got := <-p.load(gpa); got != want {
		p.t.Errorf("the guest reads at %#x: got %#x; want %#x", gpa, got, want)
	}
}

func pages(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n*page) }

func everything(m *guestmem.Memory) []guestmem.Range { return m.Layout() }

func TestPullHybrid(t *testing.T) {
	p := newPuller(t, split)
	check(t, p.mem.Place(mib, pages(8, 1)))
	check(t, p.pull.Map(mib, 16*page)) // half of it is a hole
	check(t, p.pull.Map(mib, 16*page))
	p.reads(mib, 1)
	p.reads(3*mib, 0) // KVM itself, in a rehearsal
	check(t, p.pull.Miss([]guestmem.Range{{GPA: mib + 2*page, Size: 2 * page}, {GPA: high, Size: page}}))
	if diff := cmp.Diff([]guestmem.Range{{GPA: mib + 2*page, Size: 2 * page}, {GPA: high, Size: page}}, p.pull.MissingRanges()); diff != "" {
		t.Errorf("MissingRanges (-want +got):\n%s", diff)
	}
	p.reads(mib+page, 1)
	p.reads(high+page, 0)
	stale := p.load(mib + 3*page)
	p.want(mib + 3*page)
	if diff := cmp.Diff([]uint64{mib + 3*page}, p.pull.Wanted()); diff != "" {
		t.Errorf("Wanted (-want +got):\n%s", diff)
	}
	again := p.load(mib + 3*page + 5) // a second vCPU: not told of again
	check(t, p.pull.Renew())
	p.want(mib + 3*page)
	p.fill(mib, pages(8, 2), 2)
	for _, c := range []<-chan byte{stale, again} {
		if got := <-c; got != 2 {
			t.Errorf("the guest reads a page that was stale: got %d; want 2", got)
		}
	}
	p.reads(mib+page, 1)
	p.fill(mib, pages(8, 3), 0) // too late
	p.reads(mib+2*page, 2)
	fresh := p.load(high)
	p.want(high)
	select {
	case <-p.pull.Done():
		t.Error("Done is closed with a page missing")
	default:
	}
	p.zero(high, page, 1)
	<-p.pull.Done()
	if got := <-fresh; got != 0 {
		t.Errorf("the guest reads zeros: got %d", got)
	}
	p.reads(high+2*page, 0) // a hole still: Faults serves it until the pull is closed
	p.close()
	p.reads(high+3*page, 0)
	check(t, p.pull.Close())
	if len(p.told) != 0 {
		t.Errorf("Faults told of %#x as well", <-p.told)
	}
	tr, err := p.mem.Track()
	check(t, err)
	check(t, tr.Close())
}

// What was taken from the guest mapping with its missing neighbours is mapped again, and nothing else is.
func TestPullMends(t *testing.T) {
	for name, m := range map[string]func(testing.TB, guestmem.Layout) *guestmem.Memory{
		"4K": func(t testing.TB, l guestmem.Layout) *guestmem.Memory { return newMemory(t, l) },
		"2M": newHuge,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPullerOf(t, m(t, split))
			unit := uint64(page)
			if name == "2M" {
				unit = 2 * mib
			}
			var missing []guestmem.Range
			for i := range uint64(8) {
				check(t, p.mem.Place(i*unit, pages(1, byte(i+1))))
				if i%3 == 1 {
					missing = append(missing, guestmem.Range{GPA: i * unit, Size: page})
				}
			}
			check(t, p.pull.Map(0, 8*unit))
			check(t, p.pull.Miss(missing))
			mapped := func(i uint64) bool {
				is, err := p.vm.Mapped(i * unit)
				check(t, err)
				return is
			}
			for _, r := range missing {
				if mapped(r.GPA / unit) {
					t.Errorf("the guest has the page at %#x, which is missing", r.GPA)
				}
			}
			p.fill(missing[0].GPA, pages(1, 9), 1) // the sign that the guest runs
			for _, i := range []uint64{0, 1, 2, 3, 5, 6} {
				for !mapped(i) {
					runtime.Gosched()
				}
			}
			if mapped(4) {
				t.Error("the guest has a page that is still missing")
			}
			p.reads(3*unit, 4)
			if len(p.told) != 0 {
				t.Errorf("Faults told of %#x", <-p.told)
			}
			p.fill(missing[1].GPA, pages(1, 9), 1)
			p.fill(missing[2].GPA, pages(1, 9), 1)
			p.close()
		})
	}
}

// No trace of userfaultfd is left after Close.
func TestPullLeavesNoTrace(t *testing.T) {
	trace := func() (n int) {
		smaps, err := os.ReadFile("/proc/self/smaps")
		check(t, err)
		for line := range strings.Lines(string(smaps)) {
			if strings.HasPrefix(line, "VmFlags:") && (strings.Contains(line, " um") || strings.Contains(line, " ui")) {
				n++
			}
		}
		fds, err := os.ReadDir("/proc/self/fd")
		check(t, err)
		for _, fd := range fds {
			if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.Contains(to, "[userfaultfd]") {
				n++
			}
		}
		return n
	}
	p := newPuller(t, split)
	if got := trace(); got != 3 {
		t.Errorf("during a pull: got %d traces; want a file and two mappings", got)
	}
	check(t, p.pull.Miss(nil))
	<-p.pull.Done()
	p.close()
	if got := trace(); got != 0 {
		t.Errorf("after a pull: got %d traces; want none", got)
	}
}

// Calls of Memory wait for missing pages, and tell Faults.
func TestPullAccess(t *testing.T) {
	p := newPuller(t, split)
	check(t, p.mem.Place(2*mib, pages(16, 9))) // older copies
	check(t, p.pull.Miss(everything(p.mem)))
	if got, want := p.pull.Missing(), uint64(32*mib/page); got != want {
		t.Errorf("Missing: got %d; want %d", got, want)
	}
	call := func(f func() error, gpas ...uint64) {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- f() }()
		for _, gpa := range gpas {
			p.want(gpa)
			select {
			case err := <-done:
				t.Fatalf("got %v before the page at %#x came", err, gpa)
			default:
			}
			p.fill(gpa, pages(1, 1), 1)
		}
		check(t, <-done)
	}
	got := make([]byte, 3*page)
	call(func() error { return p.mem.ReadAt(got[:2*page], page/2) }, 0, page, 2*page)
	if !bytes.Equal(got[:2*page], pages(2, 1)) {
		t.Error("ReadAt: got other bytes than what came")
	}
	var view []byte
	call(func() (err error) { view, err = p.mem.View(high+page-1, 2); return err }, high, high+page)
	if !bytes.Equal(view, []byte{1, 1}) {
		t.Errorf("View: got %v; want what came", view)
	}
	// A write fills what it covers whole, and waits for the ends.
	call(func() error { return p.mem.WriteAt(pages(4, 5), 2*mib+page/2) }, 2*mib, 2*mib+4*page)
	p.fill(2*mib, pages(5, 9), 0)
	check(t, p.mem.ReadAt(got, 2*mib))
	if want := append(pages(1, 1)[:page/2], pages(3, 5)[:5*page/2]...); !bytes.Equal(got[:len(want)], want) {
		t.Error("WriteAt over missing pages: got other bytes than what came and was written")
	}
	p.reads(2*mib+page, 5)
	// So does a punch.
	check(t, p.mem.Punch(2*mib+4*page, 4*page))
	p.fill(2*mib, pages(8, 9), 0)
	p.reads(2*mib+5*page, 0)
	// Older copies do not come back as zeros.
	p.zero(2*mib, 16*page, 8)
	check(t, p.mem.ReadAt(got, 2*mib+8*page))
	if !bytes.Equal(got, make([]byte, 3*page)) {
		t.Error("FillZero over older copies: got other bytes than zeros")
	}
	// A wait ends when it must.
	wait := func(want error, end func()) {
		t.Helper()
		done := make(chan error, 1)
		go func() { _, err := p.mem.View(4*mib, 1); done <- err }()
		for len(p.pull.Wanted()) == 0 { // not told of twice, so there is nothing else to wait for
		}
		end()
		if err := <-done; !errors.Is(err, want) {
			t.Errorf("the wait ended: got %v; want %v", err, want)
		}
	}
	wait(guestmem.ErrInterrupted, p.mem.Interrupt)
	if err := p.mem.ReadAt(got[:1], 5*mib); !errors.Is(err, guestmem.ErrInterrupted) {
		t.Errorf("ReadAt of a missing page after Interrupt: got %v; want ErrInterrupted", err)
	}
	check(t, p.mem.ReadAt(got[:1], 0))
	p.mem.Resume()
	wait(guestmem.ErrClosed, func() { check(t, p.pull.Close()) })
	if err := p.mem.ReadAt(got[:1], 5*mib); !errors.Is(err, guestmem.ErrClosed) {
		t.Errorf("ReadAt of a missing page after Close: got %v; want ErrClosed", err)
	}
	check(t, p.mem.ReadAt(got[:1], 0))
	if err := <-p.end; !errors.Is(err, guestmem.ErrClosed) {
		t.Errorf("Faults: got %v; want ErrClosed", err)
	}
}

func TestPullRefuses(t *testing.T) {
	m := newMemory(t, split)
	null, err := os.Open(os.DevNull)
	check(t, err)
	defer null.Close()
	if _, err := m.Pull(null); err == nil || !strings.Contains(err.Error(), "/dev/userfaultfd") {
		t.Errorf("Pull with another file: got %v; want one that names the right one", err)
	}
	if _, err := m.Pull(nil); err == nil || !strings.Contains(err.Error(), "/dev/userfaultfd") {
		t.Errorf("Pull without a file: got %v; want one that names it", err)
	}
	p := newPuller(t, split)
	for name, c := range map[string]struct{ got, want error }{
		"a second pull": {second(p.mem.Pull(uffdtest.Open(t))), guestmem.ErrPulling},
		"a tracker":     {second(p.mem.Track()), guestmem.ErrPulling},
		"half a page":   {second(p.pull.Fill(0, make([]byte, page/2))), guestmem.ErrAlign},
		"outside":       {second(p.pull.Fill(16*mib-page, make([]byte, 2*page))), guestmem.ErrOutside},
		"zeros outside": {second(p.pull.FillZero(1<<63, 1<<63)), guestmem.ErrOutside},
		"map outside":   {p.pull.Map(high-page, 2*page), guestmem.ErrOutside},
		"miss outside":  {p.pull.Miss([]guestmem.Range{{GPA: 0, Size: page}, {GPA: high - page, Size: page}}), guestmem.ErrOutside},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: got %v; want %v", name, c.got, c.want)
		}
	}
	if got := p.pull.Missing(); got != 0 {
		t.Errorf("after a Miss that was refused: got %d pages missing", got)
	}
	check(t, p.pull.Miss([]guestmem.Range{{GPA: 0, Size: page}, {GPA: 0, Size: page}}))
	if got := p.pull.Missing(); got != 1 {
		t.Errorf("a page that is said twice: got %d pages missing; want 1", got)
	}
	if err := p.pull.Miss(nil); !errors.Is(err, guestmem.ErrPulling) {
		t.Errorf("a second Miss: got %v; want ErrPulling", err)
	}
	if err := p.pull.Map(0, page); !errors.Is(err, guestmem.ErrPulling) {
		t.Errorf("Map after Miss: got %v; want ErrPulling", err)
	}
	p.zero(0, page, 1)
	p.close()
	for name, err := range map[string]error{
		"Fill": second(p.pull.Fill(0, make([]byte, page))), "FillZero": second(p.pull.FillZero(0, page)),
		"Map": p.pull.Map(0, page), "Faults": second(p.pull.Faults(make([]uint64, 1))), "Renew": p.pull.Renew(),
	} {
		if !errors.Is(err, guestmem.ErrClosed) {
			t.Errorf("%s after Close: got %v; want ErrClosed", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Nothing allocates on the way of a page, and of an access that need not wait.
func TestPullAllocatesNothing(t *testing.T) {
	m := newMemory(t, split)
	data, gpa := pages(16, 1), uint64(0)
	access := func(m *guestmem.Memory) func() {
		return func() {
			_, err := m.View(0, page)
			check(t, errors.Join(err, m.ReadAt(data[:page], 0), m.WriteAt(data[:100], 50)))
		}
	}
	p := newPuller(t, split)
	check(t, p.mem.Place(0, data))
	check(t, p.pull.Miss(everything(p.mem)[1:]))
	zero := uint64(high)
	for name, f := range map[string]func(){
		"no pull": access(m),
		"access":  access(p.mem),
		"Fill":    func() { p.fill(high+gpa, data, 16); gpa += 16 * page },
		"FillZero": func() {
			p.zero(zero+8*mib, 16*page, 16)
			zero += 16 * page
		},
	} {
		if got := testing.AllocsPerRun(20, f); got != 0 {
			t.Errorf("%s: got %v allocations; want none", name, got)
		}
	}
	_, err := p.pull.FillZero(high, 16*mib)
	check(t, err)
	p.close()
}
