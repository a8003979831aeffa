package lab

import "testing"

func TestPump(t *testing.T) {
	l := newLab(t, 2)
	for i, sink := range append([]Sink{Discard}, Placing...) {
		streams := 1 + i%2
		got, err := Pump(l.Hosts[0], l.Hosts[1], 64<<20-1, streams, sink)
		if err != nil {
			t.Fatal(err)
		}
		if got.Bytes != 64<<20 || got.BitsPerSecond() == 0 {
			t.Errorf("%s, %d streams: got %d bytes at %.0f bits/s; want %d and a rate", sink, streams, got.Bytes, got.BitsPerSecond(), 64<<20)
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
	for _, sink := range append([]Sink{Discard}, Placing...) {
		b.Run(string(sink), func(b *testing.B) {
			const size = 256 << 20
			b.SetBytes(size)
			for b.Loop() {
				if _, err := Pump(l.Hosts[0], l.Hosts[1], size, 1, sink); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
