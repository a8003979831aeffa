package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func TestDisplayOnTerminal(t *testing.T) {
	person, program := terminal(t)
	if err := unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 40}); err != nil {
		t.Fatal(err)
	}
	d := newDisplay(program, true)
	d.progress(api.Progress{Phase: "push", SentBytes: 1 << 20, RemainingBytes: 32 << 20})
	d.progress(api.Progress{Phase: "push", Round: 1, SentBytes: 33 << 20, DirtyBitsPerS: 12e6, BandwidthBitsPerS: 9.5e9})
	d.note("cancelling")
	d.progress(api.Progress{Phase: "stop"})
	d.close()
	d.close() // nothing is left to take away
	const clear = "\r\x1b[K"
	want := clear + "push     round 0  sent 1.0 MiB  remaini" + clear + "push     round 0  sent 1.0 MiB  remaini\r\n" + clear + "push     round 1  sent 33.0 MiB  remain" +
		clear + "vmm: cancelling\r\n" + clear + "stop     round 0  sent 0 B  remaining 0" + clear
	got := make([]byte, len(want))
	for n := 0; n < len(got); {
		more, err := person.Read(got[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += more
	}
	if string(got) != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestDisplayThatShowsNothing(t *testing.T) {
	var out buffer
	d := newDisplay(&out, false)
	d.progress(api.Progress{Phase: "push"})
	d.note("cancelling")
	d.close()
	if got, want := out.String(), "vmm: cancelling\n"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestProgressText(t *testing.T) {
	text := progressText(api.Progress{
		Phase: "push", Round: 2, SentBytes: 5 << 30, RemainingBytes: 700, DirtyBitsPerS: 500, BandwidthBitsPerS: 1e9, ForecastDowntimeMS: 1234,
	})
	for _, want := range []string{"round 2", "sent 5.00 GiB", "remaining 700 B", "dirty 500 bit/s", "link 1.00 Gbit/s", "forecast 1.23 s"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %q; want it to contain %q", text, want)
		}
	}
}
