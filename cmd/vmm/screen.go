package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

// screen shows one text in the place of another on a terminal, else one below the other.
type screen struct {
	to   io.Writer
	tty  *os.File // to, if it is a terminal
	used bool
}

func newScreen(to io.Writer) *screen {
	s := &screen{to: to}
	if file, ok := to.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		s.tty = file
	}
	return s
}

// The control sequences of ECMA-48 and of xterm that a screen uses.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // another screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toHome      = "\x1b[H"
	eraseLine   = "\x1b[K"
	eraseBelow  = "\x1b[J"
)

// show shows a text. On a terminal what does not fit is cut.
func (s *screen) show(text string) {
	if s.tty == nil {
		io.WriteString(s.to, text+"\n") //nolint:errcheck // nobody is left to tell
		return
	}
	width, height, err := term.GetSize(int(s.tty.Fd()))
	if err != nil {
		width, height = 80, 24
	}
	var b strings.Builder
	if !s.used {
		b.WriteString(enterScreen)
		s.used = true
	}
	b.WriteString(toHome + fit(text, width, height) + eraseBelow)
	io.WriteString(s.to, b.String()) //nolint:errcheck // as above
}

// close gives the terminal back as it was.
func (s *screen) close() {
	if s.used {
		io.WriteString(s.to, leaveScreen) //nolint:errcheck // as above
	}
}

// fit cuts an ASCII text to so many columns and lines, each of which erases what stood there.
func fit(text string, width, height int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) > height {
		lines = lines[:max(height, 0)]
	}
	for i, l := range lines {
		lines[i] = l[:min(len(l), max(width, 0))] + eraseLine
	}
	return strings.Join(lines, "\r\n")
}

// topText is a look for people.
func topText(rows []topRow, at time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vmm top  %s  %s\n\n", at.Format(time.TimeOnly), plural(len(rows), "machine"))
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "NAME\tSTATE\tCPU%\tMEMORY\tDATA\tDIRTY/s\tEXITS/s\tREAD/s\tWRITTEN/s\tRX/s\tTX/s\t")
	for _, r := range rows {
		dirty := "-"
		if r.DirtyMiBS != nil {
			dirty = bytesText(uint64(*r.DirtyMiBS * (1 << 20)))
		}
		fmt.Fprintf(table, "%s\t%s\t%.0f\t%s\t%s\t%s\t%.0f\t%s\t%s\t%s\t%s\t\n", r.Name, r.State, r.CPUPercent, memoryOrNone(r.MemoryBytes), bytesText(r.ResidentBytes),
			dirty, r.Exits, bytesText(uint64(r.DiskRead)), bytesText(uint64(r.DiskWritten)), bytesText(uint64(r.NetReceived)), bytesText(uint64(r.NetSent)))
	}
	table.Flush() //nolint:errcheck // a Builder takes all
	return b.String()
}
