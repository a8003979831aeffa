package vcpu

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
)

// running makes a machine whose vCPUs all spin in ring 3.
func running(b *testing.B, count int) *machine {
	m := newMachine(b, kvmtest.Open(b), count, newDevices())
	m.load(codeAt, codeSpin...)
	start(b, m, func(st *State) {
		for i := range st.VCPUs {
			m.longMode(&st.VCPUs[i], 3, codeAt)
		}
	})
	return m
}

// percentiles reports a distribution in microseconds.
func percentiles(b *testing.B, name string, d []time.Duration) {
	slices.Sort(d)
	us := func(q float64) float64 { return float64(d[int(q*float64(len(d)-1))]) / 1e3 }
	b.ReportMetric(us(0.5), name+"-p50-us")
	b.ReportMetric(us(0.99), name+"-p99-us")
}

// BenchmarkPause measures from the first kick to the last acknowledgement: with no goroutine that spins, with as many as the design allows
// beside a move (CPUs - 1, on niced threads), and, for comparison, with one for every Go processor, when each return from KVM_RUN
// has to wait for a preemption.
func BenchmarkPause(b *testing.B) {
	for _, count := range []int{1, 2} {
		procs := runtime.NumCPU() + count + 2
		for _, spin := range []int{0, runtime.NumCPU() - 1, runtime.NumCPU(), procs} {
			b.Run(fmt.Sprintf("vcpus=%d/spinning=%d", count, spin), func(b *testing.B) {
				m := running(b, count)
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				stop, done := make(chan struct{}), make(chan struct{})
				for range spin {
					go func() {
						if spin < runtime.NumCPU() {
							runtime.LockOSThread() // for good: the thread ends with its niceness
							if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19); err != nil {
								b.Error(err)
							}
						}
						for n := 0; ; n++ {
							if n&0xfffff == 0 {
								select {
								case <-stop:
									done <- struct{}{}
									return
								default:
								}
							}
						}
					}()
				}
				took := make([]time.Duration, 0, b.N)
				for b.Loop() {
					must(b, m.Resume())
					for begin := time.Now(); time.Since(begin) < 200*time.Microsecond; {
						runtime.Gosched() // let it get into the guest
					}
					begin := time.Now()
					m.pause(b)
					took = append(took, time.Since(begin))
				}
				percentiles(b, "pause", took)
				close(stop)
				for range spin {
					<-done
				}
			})
		}
	}
}

// BenchmarkState measures Save and Restore of a paused machine.
func BenchmarkState(b *testing.B) {
	for _, count := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("vcpus=%d", count), func(b *testing.B) {
			m := running(b, count)
			must(b, m.Resume())
			m.pause(b)
			var save, restore, vcpus []time.Duration
			for b.Loop() {
				begin := time.Now()
				st, err := m.Save()
				must(b, err)
				save = append(save, time.Since(begin))
				r, err := m.Restore(st, RestoreOptions{})
				must(b, err)
				restore = append(restore, r.Time)
				vcpus = append(vcpus, r.VCPUTime)
			}
			percentiles(b, "save", save)
			percentiles(b, "restore", restore)
			percentiles(b, "restore-vcpus", vcpus)
		})
	}
}
