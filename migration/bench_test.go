package migration_test

import (
	"context"
	"io"
	"sort"
	"testing"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/tcptest"
	"github.com/ferryvmm/ferry/migration"
)

// benchBytes is what the throughput benchmarks move, all of it data.
const benchBytes = 256 * mib

// BenchmarkMove moves an idle guest over loopback TCP, everything included.
func BenchmarkMove(b *testing.B) {
	for _, mode := range []migration.Mode{migration.Precopy, migration.StopCopy} {
		b.Run(string(mode), func(b *testing.B) { benchMove(b, mode) })
	}
}

func benchMove(b *testing.B, mode migration.Mode) {
	b.SetBytes(benchBytes)
	for b.Loop() {
		b.StopTimer()
		x := newBenchOf(b, benchBytes, benchBytes, 0)
		x.send.Mode = mode
		b.StartTimer()
		e := x.run(b, context.Background())
		b.StopTimer()
		if e.sentErr != nil {
			b.Fatal(e.sentErr)
		}
		x.close(b)
		b.StartTimer()
	}
}

// BenchmarkPump is the limit: the same bytes over the same kind of connection,
// received into one buffer and dropped.
func BenchmarkPump(b *testing.B) {
	pump(b, func(*guestmem.Memory, []byte, uint64) error { return nil })
}

// BenchmarkPlacingPump is the nearer limit: what is received is placed in fresh memory.
func BenchmarkPlacingPump(b *testing.B) {
	pump(b, func(m *guestmem.Memory, p []byte, at uint64) error { return m.Place(at, p) })
}

func pump(b *testing.B, place func(*guestmem.Memory, []byte, uint64) error) {
	layout, err := guestmem.NewLayout(benchBytes)
	if err != nil {
		b.Fatal(err)
	}
	src := make([]byte, benchBytes)
	for i := range src {
		src[i] = byte(i >> 8)
	}
	buf := make([]byte, 512<<10)
	b.SetBytes(benchBytes)
	for b.Loop() {
		b.StopTimer()
		m, err := guestmem.New(layout)
		if err != nil {
			b.Fatal(err)
		}
		from, to := tcptest.Pair(b)
		b.StartTimer()
		go func() {
			for p := src; len(p) > 0; p = p[mib:] {
				if _, err := from.Write(p[:mib]); err != nil {
					b.Error(err)
				}
			}
			from.Close()
		}()
		for at := uint64(0); at < benchBytes; at += uint64(len(buf)) {
			if _, err := io.ReadFull(to, buf); err != nil {
				b.Fatal(err)
			}
			if err := place(m, buf, at); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		to.Close()
		m.Close()
		b.StartTimer()
	}
}

// BenchmarkDowntime moves an idle guest and reports the median of the
// downtime. The fake guest takes no time to pause, save, restore or start: this
// is what the protocol and its shell cost.
func BenchmarkDowntime(b *testing.B) {
	var downs []float64
	for b.Loop() {
		b.StopTimer()
		x := newBenchOf(b, 64*mib, 8*mib, 1000)
		b.StartTimer()
		e := x.run(b, context.Background())
		b.StopTimer()
		if e.sentErr != nil {
			b.Fatal(e.sentErr)
		}
		downs = append(downs, e.sent.DowntimeMS)
		x.close(b)
		b.StartTimer()
	}
	sort.Float64s(downs)
	b.ReportMetric(downs[len(downs)/2]*1000, "us-down/median")
	b.ReportMetric(downs[len(downs)*99/100]*1000, "us-down/p99")
}

// BenchmarkSave writes a copy of a guest to nowhere.
func BenchmarkSave(b *testing.B) {
	x := newBenchOf(b, benchBytes, benchBytes, 0)
	defer x.close(b)
	b.SetBytes(benchBytes)
	for b.Loop() {
		c := migration.SaveConfig{Stream: io.Discard, Guest: x.guest, Memory: x.guest.Memory, Mode: migration.StopCopy, Description: migration.Description{Name: "g"}}
		if _, err := migration.Save(context.Background(), c); err != nil {
			b.Fatal(err)
		}
	}
}
