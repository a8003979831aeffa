package lab

import (
	"bytes"
	"strconv"
	"time"
)

// Kind says what a line of a guest is.
type Kind int

// The kinds of line. Text is whatever is none of the others.
const (
	Text Kind = iota
	Ready
	Beat
	StatLine
	Corrupt
	Panic
	Bye
	Disk // of a Linux guest
)

// Event is one line that a guest printed.
type Event struct {
	Kind   Kind
	Stream string        // the name given to Watch
	At     time.Duration // CLOCK_MONOTONIC when the end of the line was read
	Text   string        // the line without its end; empty for a Beat

	// Of a Beat: the vCPU, its number and the guest's clock since READY.
	CPU     int
	Number  uint64
	GuestAt time.Duration

	// Of a StatLine.
	Stat Stat

	// Of a Disk: who has written durably all records up to Number.
	Writer uint32
}

// Stat is what loadgen says once a second: totals since it started, rates
// in MiB/s, times in microseconds.
type Stat struct {
	Verified, Corrupt, Doubled, Lost uint64

	// Values has every k=v of the line whose value is a number.
	Values map[string]float64
}

// maxWriter bounds the writer's number that is believed.
const maxWriter = 255

// maxCPU bounds the vCPU number that is believed.
const maxCPU = 1023

// parseLine tells what a line is. Only a line that is complete and exactly as
// the contract has it is more than Text. The Event does not keep b.
func parseLine(b []byte) Event {
	b = bytes.TrimRight(b, "\r")
	if e, ok := parseBeat(b); ok {
		return e
	}
	e := Event{Kind: Text, Text: string(b)}
	word, rest, _ := bytes.Cut(b, []byte(" "))
	switch string(word) {
	case "READY":
		if len(rest) == 0 {
			e.Kind = Ready
		}
	case "BYE":
		if len(rest) == 0 {
			e.Kind = Bye
		}
	case "STAT":
		if s, ok := parseStat(rest); ok {
			e.Kind, e.Stat = StatLine, s
		}
	case "DISK":
		if n, rest, ok := number(rest); ok {
			if w, rest, ok := number(rest); ok && len(rest) == 0 && w <= maxWriter {
				e.Kind, e.Number, e.Writer = Disk, n, uint32(w)
			}
		}
	case "CORRUPT":
		if bytes.HasPrefix(rest, []byte("page=")) {
			e.Kind = Corrupt
		}
	case "PANIC":
		if len(rest) > 0 {
			e.Kind = Panic
		}
	}
	return e
}

func parseBeat(b []byte) (Event, bool) {
	rest, ok := bytes.CutPrefix(b, []byte("HB "))
	if !ok {
		return Event{}, false
	}
	cpu, rest, ok := number(rest)
	if !ok || cpu > maxCPU || len(rest) == 0 {
		return Event{}, false
	}
	n, rest, ok := number(rest)
	if !ok || len(rest) == 0 {
		return Event{}, false
	}
	ns, rest, ok := number(rest)
	if !ok || len(rest) != 0 || ns > 1<<62 {
		return Event{}, false
	}
	return Event{Kind: Beat, CPU: int(cpu), Number: n, GuestAt: time.Duration(ns)}, true
}

// number reads decimal digits up to the end or up to one space, which it eats
// when something follows it.
func number(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		d := uint64(b[i] - '0')
		if n > (1<<64-1-d)/10 {
			return 0, nil, false
		}
		n = n*10 + d
	}
	if i == 0 {
		return 0, nil, false
	}
	switch rest = b[i:]; {
	case len(rest) == 0:
		return n, nil, true
	case len(rest) > 1 && rest[0] == ' ':
		return n, rest[1:], true
	default:
		return 0, nil, false
	}
}

// parseStat wants the four totals. Other words may come and go.
func parseStat(b []byte) (Stat, bool) {
	s := Stat{Values: make(map[string]float64)}
	totals := map[string]*uint64{
		"verified": &s.Verified, "corrupt": &s.Corrupt, "doubled": &s.Doubled, "lost": &s.Lost,
	}
	for word := range bytes.FieldsSeq(b) {
		k, v, ok := bytes.Cut(word, []byte("="))
		if !ok {
			return Stat{}, false
		}
		if total := totals[string(k)]; total != nil {
			n, err := strconv.ParseUint(string(v), 10, 64)
			if err != nil {
				return Stat{}, false
			}
			*total = n
			delete(totals, string(k))
		}
		if f, err := strconv.ParseFloat(string(v), 64); err == nil {
			s.Values[string(k)] = f
		}
	}
	return s, len(totals) == 0
}
