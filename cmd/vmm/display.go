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

// The least and the most columns of a bar, which has what a live line leaves.
const (
	minBar = 8
	maxBar = 24
)

// display shows the progress of a move: on a terminal as a live line for each round and phase, which stays as it ended; else as plain lines,
// one for each round and phase and for every second.
type display struct {
	shown bool // whether progress is shown at all; notes always are

	mu   sync.Mutex // guards the rest, and keeps lines whole
	to   io.Writer
	tty  *os.File // to, if it is a terminal
	live bool     // a live line stands on the terminal
	last api.Progress
	told bool   // last was told as a plain line
	most uint64 // that was to be sent at once in the round of last, in bytes
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
		d.follow(p)
		return
	}
	if d.told && p.Phase == d.last.Phase && p.Round == d.last.Round && p.ElapsedMS-d.last.ElapsedMS < linesEvery {
		return
	}
	d.last, d.told = p, true
	fmt.Fprintln(d.to, progressText(p))
}

// follow renews the live line. The caller holds mu.
func (d *display) follow(p api.Progress) {
	if p.Phase != d.last.Phase || p.Round != d.last.Round {
		if d.live && p.Phase == d.last.Phase { // the next round: all of this one was sent
			d.last.RemainingBytes = 0
			d.line(d.last)
		}
		if d.live {
			io.WriteString(d.to, "\n") //nolint:errcheck // only a terminal's looks
		}
		d.most = 0
	}
	d.most = max(d.most, p.RemainingBytes)
	d.last = p
	d.line(p)
	d.live = true
}

// line writes the live line anew, as wide as the terminal. The caller holds mu.
func (d *display) line(p api.Progress) {
	width, _, err := term.GetSize(int(d.tty.Fd()))
	if err != nil {
		width = 80
	}
	text := progressText(p)
	if size := min(width-len(text)-5, maxBar); size >= minBar && d.most > 0 {
		full := int(float64(size) * (1 - float64(p.RemainingBytes)/float64(d.most)))
		head := len(progressHead(p))
		text = text[:head] + "  [" + strings.Repeat("#", full) + strings.Repeat(".", size-full) + "]" + text[head:]
	}
	fmt.Fprintf(d.to, "\r\x1b[K%s", text[:min(len(text), max(width-1, 0))])
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

func progressHead(p api.Progress) string { return fmt.Sprintf("%-8s round %d", p.Phase, p.Round) }

// progressText is a report in ASCII, on one line.
func progressText(p api.Progress) string {
	var b strings.Builder
	b.WriteString(progressHead(p))
	fmt.Fprintf(&b, "  sent %s  remaining %s", bytesText(p.SentBytes), bytesText(p.RemainingBytes))
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
