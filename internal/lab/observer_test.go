package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const period = 500 * time.Microsecond

// feed gives the Observer what the named streams print, each to its end
// before the next is read, with the stamps that the text says in µs: a line
// "@1500 HB 0 3 1" is read at 1500 µs.
func feed(o *Observer, streams ...[2]string) {
	for _, in := range streams {
		s := &Stream{Name: in[0], done: make(chan struct{})}
		o.mu.Lock()
		o.streams = append(o.streams, s)
		for line := range strings.SplitAfterSeq(in[1], "\n") {
			at := stamp(0)
			if strings.HasPrefix(line, "@") {
				var us int
				stampText, rest, _ := strings.Cut(line, " ")
				if _, err := fmt.Sscanf(stampText, "@%d", &us); err != nil {
					panic(err)
				}
				at, line = stamp(us)*time.Microsecond, rest
			}
			o.take(s, []byte(line), at)
		}
		o.end(s, io.EOF)
		o.mu.Unlock()
	}
}

func TestReport(t *testing.T) {
	tests := []struct {
		name    string
		streams [][2]string
		want    Report
	}{
		{
			name:    "steady",
			streams: [][2]string{{"a", "READY\n@1000 HB 0 1 500000\n@1500 HB 0 2 1000000\n@2100 HB 0 3 1500000\n"}},
			want: Report{
				CPUs:    []CPUReport{{CPU: 0, Beats: 3, First: 1, Latest: 3, Gap: Gap{Start: 1500 * time.Microsecond, Downtime: 100 * time.Microsecond, From: "a", To: "a"}}},
				Longest: Gap{Start: 1500 * time.Microsecond, Downtime: 100 * time.Microsecond, From: "a", To: "a"},
			},
		},
		{
			name: "a move, with a line cut in two",
			streams: [][2]string{
				{"a", "@1000 HB 0 1 500000\n@1100 HB 1 1 500000\n@1500 HB 0 2 1000"},
				{"b", "@4500 000\n@4600 HB 1 2 1000000\n@5000 HB 0 3 1500000\n"},
			},
			want: Report{
				CPUs: []CPUReport{
					{CPU: 0, Beats: 3, First: 1, Latest: 3, Gap: Gap{CPU: 0, Start: 1000 * time.Microsecond, Downtime: 3000 * time.Microsecond, From: "a", To: "b"}},
					{CPU: 1, Beats: 2, First: 1, Latest: 2, Gap: Gap{CPU: 1, Start: 1100 * time.Microsecond, Downtime: 3000 * time.Microsecond, From: "a", To: "b"}},
				},
				Longest: Gap{CPU: 0, Start: 1000 * time.Microsecond, Downtime: 3000 * time.Microsecond, From: "a", To: "b"},
				Text:    1,
			},
		},
		{
			name: "cut between the text and the end of its line, with a failed attempt between",
			streams: [][2]string{
				{"a", "@1000 HB 0 1 500000\n@1500 HB 0 2 1000000"}, {"failed", ""}, {"b", "@2500 \n"},
			},
			want: Report{
				CPUs:    []CPUReport{{CPU: 0, Beats: 2, First: 1, Latest: 2, Gap: Gap{Start: 1000 * time.Microsecond, Downtime: 1000 * time.Microsecond, From: "a", To: "b"}}},
				Longest: Gap{Start: 1000 * time.Microsecond, Downtime: 1000 * time.Microsecond, From: "a", To: "b"},
				Text:    1,
			},
		},
		{
			name:    "lost and doubled",
			streams: [][2]string{{"a", "@1000 HB 0 7 1\n@1500 HB 0 8 2\n@2000 HB 0 8 2\n@2500 HB 0 11 3\n"}},
			want: Report{
				CPUs:    []CPUReport{{CPU: 0, Beats: 4, First: 7, Latest: 11, Lost: 2, Extra: 1, Gap: Gap{Start: 1000 * time.Microsecond, From: "a", To: "a"}}},
				Longest: Gap{}, Lost: 2, Extra: 1,
			},
		},
		{
			name: "what loadgen counted",
			streams: [][2]string{{"a", "STAT verified=5 corrupt=0 doubled=0 lost=0\nCORRUPT page=1 expected=2 got=3\n" +
				"STAT verified=9 corrupt=1 doubled=0 lost=0 write_mib_s=31.9\nPANIC vector=14 rip=0\nSTAT verified=x corrupt=0 doubled=0 lost=0\nwhat\n"}},
			want: Report{
				Corrupt: 1, Panics: 1, Text: 2,
				Stat: Stat{Verified: 9, Corrupt: 1, Values: map[string]float64{"verified": 9, "corrupt": 1, "doubled": 0, "lost": 0, "write_mib_s": 31.9}},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := NewObserver(period)
			feed(o, tt.streams...)
			if diff := cmp.Diff(tt.want, o.Report()); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReportSinceKeepsTheBeatBefore(t *testing.T) {
	o := NewObserver(period)
	feed(o, [2]string{"a", "@1000 HB 0 1 1\n@90000 HB 0 2 1\n@91000 HB 0 3 1\n@95000 HB 0 4 1\n"})
	got := o.ReportSince(90500 * time.Microsecond)
	if got.CPUs[0].Beats != 3 || got.Longest.Downtime != 3500*time.Microsecond {
		t.Errorf("got %+v; want 3 beats and 3.5 ms", got)
	}
}

// TestLateBeat: the source's stream ends, and says whose half a line was, seconds after the switch.
func TestLateBeat(t *testing.T) {
	var k track
	for _, n := range []uint64{1, 2, 4, 5, 6, 3} {
		k.add(beat{number: n, at: time.Duration(n) * time.Minute})
	}
	var got []uint64
	for _, b := range k.since(3 * time.Minute) {
		got = append(got, b.number)
	}
	if diff := cmp.Diff([]uint64{2, 3, 4, 5, 6}, got); diff != "" {
		t.Errorf("beats (-want +got):\n%s", diff)
	}
}

// TestCutBeat: a source from which memory is fetched said the first half of a line, and goes on.
func TestCutBeat(t *testing.T) {
	o := NewObserver(period)
	source, target := &Stream{Name: "a"}, &Stream{Name: "b"}
	o.streams = []*Stream{source, target}
	for i, in := range []struct {
		from *Stream
		text string
	}{{source, "HB 0 1 1\n"}, {source, "HB 0 2 1\nHB 0 3"}, {target, " 1\n"}, {target, "HB 0 4 1\n"}, {target, "HB 0 5 1\n"}} {
		o.take(in.from, []byte(in.text), stamp(i+1)*time.Millisecond)
	}
	for _, when := range []string{"while it goes on", "at its end"} {
		if got := o.Report(); got.Lost != 0 || got.Extra != 0 || got.CPUs[0].Beats != 5 {
			t.Errorf("%s: got %+v; want 5 beats", when, got)
		}
		o.end(source, io.EOF)
	}
}

func TestStampsOutOfOrder(t *testing.T) {
	o := NewObserver(period)
	// The reader of b was quicker than that of a.
	feed(o, [2]string{"b", "@3000 HB 0 3 1\n"}, [2]string{"a", "@1000 HB 0 1 1\n@1500 HB 0 2 1\n"})
	for _, start := range []time.Duration{0, 1200 * time.Microsecond} {
		got := o.ReportSince(start)
		if got.Lost != 0 || got.Longest.Downtime != time.Millisecond {
			t.Errorf("since %v: got %+v; want 1 ms and none lost", start, got)
		}
	}
}

func TestWaiting(t *testing.T) {
	o := NewObserver(period)
	r, w := io.Pipe()
	s := o.Watch("a", r)
	ctx := within(t, 10*time.Second)

	waits := make(chan error, 4)
	go func() { waits <- o.WaitReady(ctx) }()
	go func() {
		_, err := o.WaitStat(ctx, func(s Stat) bool { return s.Verified >= 10 })
		waits <- err
	}()
	go func() { waits <- o.WaitBeats(ctx, "a", 2, 2) }()
	go func() {
		_, err := o.Wait(ctx, func(e Event) bool { return e.Text == "hello" })
		waits <- err
	}()
	// All four wait before anything is printed.
	for {
		o.mu.Lock()
		n := len(o.waiters)
		o.mu.Unlock()
		if n == 4 {
			break
		}
	}
	fmt.Fprint(w, "READY\nHB 0 1 1\nHB 0 2 1\nhello\nHB 1 1 1\nSTAT verified=3 corrupt=0 doubled=0 lost=0\n",
		"STAT verified=10 corrupt=0 doubled=0 lost=0\nHB 1 2 1\n")
	for range 4 {
		if err := <-waits; err != nil {
			t.Error(err)
		}
	}
	// Remembered.
	if err := o.WaitReady(ctx); err != nil {
		t.Error(err)
	}
	if _, err := o.Wait(ctx, func(e Event) bool { return e.Text == "hello" }); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := o.Wait(ended, func(Event) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want context.Canceled", err)
	}

	go func() { waits <- o.WaitBeats(ctx, "a", 1, 1) }()
	w.CloseWithError(io.ErrUnexpectedEOF)
	if err := <-waits; !errors.Is(err, ErrEnded) {
		t.Errorf("got %v; want ErrEnded", err)
	}
	if err := s.Wait(ctx); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v; want io.ErrUnexpectedEOF", err)
	}
}

func TestPanicEndsWaiting(t *testing.T) {
	o := NewObserver(period)
	r, w := io.Pipe()
	defer w.Close()
	o.Watch("a", r)
	done := make(chan error)
	go func() { done <- o.WaitReady(within(t, 10*time.Second)) }()
	fmt.Fprint(w, "PANIC vector=8 rip=0x1000 err=0 cr2=0\n")
	if err := <-done; !errors.Is(err, ErrPanic) {
		t.Errorf("got %v; want ErrPanic", err)
	}
}

func TestParseLine(t *testing.T) {
	tests := []struct {
		line string
		want Kind
	}{
		{"HB 0 1 2", Beat}, {"HB 0 1 2\r", Beat}, {"HB 1023 18446744073709551615 4611686018427387904", Beat},
		{"HB 1024 1 2", Text}, {"HB 0 18446744073709551616 2", Text}, {"HB 0 1", Text}, {"HB 0 1 ", Text},
		{"HB 0 1 2 3", Text}, {"HB 0  1 2", Text}, {"HB -1 1 2", Text}, {"HB", Text}, {"", Text},
		{"READY", Ready}, {"READY!", Text}, {"READY x", Text}, {"BYE", Bye},
		{"STAT verified=1 corrupt=0 doubled=0 lost=0 x=y", StatLine}, {"STAT verified=1 corrupt=0", Text},
		{"STAT verified=-1 corrupt=0 doubled=0 lost=0", Text}, {"STAT junk", Text},
		{"CORRUPT page=1 expected=2 got=3", Corrupt}, {"CORRUPT", Text}, {"PANIC vector=1", Panic},
	}
	for _, tt := range tests {
		if got := parseLine([]byte(tt.line)); got.Kind != tt.want {
			t.Errorf("parseLine(%q): got kind %d; want %d", tt.line, got.Kind, tt.want)
		}
	}
}

func TestLongLineIsBounded(t *testing.T) {
	o := NewObserver(period)
	feed(o, [2]string{"a", strings.Repeat("x", 10*maxLine) + "\nREADY\n"})
	if got := len(o.history[0].Text); got != maxLine {
		t.Errorf("got a line of %d bytes kept; want %d", got, maxLine)
	}
	if err := o.WaitReady(within(t, time.Second)); err != nil {
		t.Error(err)
	}
}

// FuzzObserver feeds arbitrary bytes in two pieces over two streams. Nothing
// may be counted that is not in them.
func FuzzObserver(f *testing.F) {
	f.Add([]byte("READY\nHB 0 1 2\nHB 0 2 3\n"), uint16(12))
	f.Add([]byte("STAT verified=1 corrupt=0 doubled=0 lost=0\r\nHB 3 18446744073709551615 1\nHB 3 0 1\n"), uint16(7))
	f.Add([]byte("CORRUPT page=\nPANIC x\nBYE\n\n\n"), uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		o := NewObserver(period)
		at := min(int(cut), len(b))
		feed(o, [2]string{"a", strings.ReplaceAll(string(b[:at]), "@", "")}, [2]string{"b", strings.ReplaceAll(string(b[at:]), "@", "")})
		r := o.Report()
		beats := uint64(0)
		for _, c := range r.CPUs {
			beats += c.Beats
			if c.Latest < c.First || c.Extra >= c.Beats {
				t.Errorf("got %+v; want a possible report", c)
			}
		}
		if most := uint64(strings.Count(string(b), "HB ")); beats > most {
			t.Errorf("got %d beats out of %d", beats, most)
		}
	})
}

func TestFirstBeat(t *testing.T) {
	o := NewObserver(period)
	feed(o, [2]string{"a", "@900 READY\n@1000 HB 0 1 1\n@1500 HB 1 1 1\n"}, [2]string{"b", "what\n"})
	if got, none := o.FirstBeat(o.streams[0]), o.FirstBeat(o.streams[1]); got != time.Millisecond || none != 0 {
		t.Errorf("got %v, and %v where none came; want 1 ms, 0", got, none)
	}
}
