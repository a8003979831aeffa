package lab

import "testing"

func TestPump(t *testing.T) {
	l := newLab(t, 2)
	for _, sink := range []Sink{Discard, Place} {
		got, err := Pump(l.Hosts[0], l.Hosts[1], 64<<20-1, sink)
		if err != nil {
			t.Fatal(err)
		}
		if got.Bytes != 64<<20 || got.BitsPerSecond() == 0 {
			t.Errorf("sink %d: got %d bytes at %.0f bits/s; want %d and a rate", sink, got.Bytes, got.BitsPerSecond(), 64<<20)
		}
	}
}

// BenchmarkPump is the limit that a migration between two hosts can reach.
func BenchmarkPump(b *testing.B) {
	l, err := New(2)
	if err != nil {
		b.Skip(err)
	}
	defer l.Close()
	for _, bench := range []struct {
		name string
		sink Sink
	}{{"tcp", Discard}, {"placing", Place}} {
		b.Run(bench.name, func(b *testing.B) {
			const size = 256 << 20
			b.SetBytes(size)
			for b.Loop() {
				if _, err := Pump(l.Hosts[0], l.Hosts[1], size, bench.sink); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
