package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// linesEvery is how often progress is told in plain lines, in ms of the move's own time.
const linesEvery = 1000

// display shows the progress of a move: as one live line on a terminal, else as plain lines, one for each round and
// phase and for every second.
type display struct {
	shown bool // whether progress is shown at all; notes always are

	mu   sync.Mutex // guards the rest, and keeps lines whole
	to   io.Writer
	tty  *os.File // to, if it is a terminal
	live bool     // a live line stands on the terminal
	last api.Progress
	told bool // last was told as a plain line
}

func newDisplay(to io.Writer, shown bool) *display {
	d := &display{to: to, shown: shown}
	if file, ok := to.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		d.tty = file
	}
	return d
}

func (d *display) progress(p api.Progress) {
	if !d.shown {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tty != nil {
		width, _, err := term.GetSize(int(d.tty.Fd()))
		if err != nil {
			width = 80
		}
		text := progressText(p)
		fmt.Fprintf(d.to, "\r\x1b[K%s", text[:min(len(text), max(width-1, 0))])
		d.live = true
		return
	}
	if d.told && p.Phase == d.last.Phase && p.Round == d.last.Round && p.ElapsedMS-d.last.ElapsedMS < linesEvery {
		return
	}
	d.last, d.told = p, true
	fmt.Fprintln(d.to, progressText(p))
}

// note prints a message without tearing the live line.
func (d *display) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clear()
	fmt.Fprintf(d.to, "vmm: "+format+"\n", args...)
}

// close takes the live line away.
func (d *display) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clear()
}

func (d *display) clear() {
	if d.live {
		io.WriteString(d.to, "\r\x1b[K") //nolint:errcheck // only a terminal's looks
		d.live = false
	}
}

// progressText is a report in ASCII, on one line.
func progressText(p api.Progress) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s round %d  sent %s  remaining %s", p.Phase, p.Round, bytesText(p.SentBytes), bytesText(p.RemainingBytes))
	if p.Round > 0 || p.DirtyBitsPerS > 0 {
		fmt.Fprintf(&b, "  dirty %s", rateText(p.DirtyBitsPerS))
	}
	if p.BandwidthBitsPerS > 0 {
		fmt.Fprintf(&b, "  link %s", rateText(p.BandwidthBitsPerS))
	}
	if p.ThrottlePercent > 0 {
		fmt.Fprintf(&b, "  throttled %d %%", p.ThrottlePercent)
	}
	if p.ForecastDowntimeMS > 0 {
		fmt.Fprintf(&b, "  forecast %s", millisText(p.ForecastDowntimeMS))
	}
	return b.String()
}
