package report

import (
	"strings"
	"testing"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func TestStory(t *testing.T) {
	gib := uint64(1 << 30)
	first := api.Round{Pages: gib / 4096, Bytes: gib, MS: 9000, SentBitsPerS: 954e6}
	last := api.Round{Pages: 10, Bytes: 40960, MS: 1}
	tests := []struct {
		name            string
		request         api.MigrateRequest
		result          api.Result
		headline, cause string
		stood           string
	}{
		{
			name: "first pass", request: api.MigrateRequest{BandwidthBitsPerS: 1e9},
			result: api.Result{
				Outcome: api.OutcomeCompleted, Mode: api.ModePrecopy, TotalMS: 10_000, DowntimeMS: 8, Rounds: []api.Round{first, last},
				Phases: api.Phases{ReserveMS: 30, PushMS: 9900, StopMS: 8}, Downtime: api.Downtime{PagesMS: 2, CommitMS: 6}, Forecast: api.Forecast{DowntimeMS: 7},
			},
			headline: "alpha moved in 10.0 s and stood still for 8.00 ms",
			cause:    "90 % of the time (9.00 s) went to the first pass over 1.00 GiB of memory, sent at 954 Mbit/s while the guest ran: no faster, as --bandwidth has it.",
			stood:    "Of the 8.00 ms that the guest stood still, 75 % went to handing over, with a durable record. The forecast was 7.00 ms.",
		},
		{
			name: "rounds that do not shrink",
			result: api.Result{
				Outcome: api.OutcomeCancelled, Mode: api.ModePrecopy, TotalMS: 10_000, Reason: "timeout", Phases: api.Phases{PushMS: 9900},
				Rounds: []api.Round{{MS: 900}, {Bytes: 1 << 20, MS: 4000, DirtiedPages: 256}, {Bytes: 1 << 20, MS: 4000, DirtiedPages: 256}},
			},
			headline: "The move of alpha was cancelled after 10.0 s",
			cause:    "80 % of the time (8.00 s) went to 2 further rounds over what the guest wrote meanwhile: it dirtied 2.10 Mbit/s while 2.10 Mbit/s left. No round left less to do than the one before.",
		},
		{
			name: "stop and copy",
			result: api.Result{
				Outcome: api.OutcomeCompleted, Mode: api.ModeStopcopy, TotalMS: 1000, DowntimeMS: 990, PageBytes: gib, Rounds: []api.Round{first},
				Phases: api.Phases{StopMS: 990}, Downtime: api.Downtime{PagesMS: 990},
			},
			headline: "alpha moved in 1.00 s and stood still for 990 ms",
			cause:    "99 % of the time (990 ms) went to sending 1.00 GiB with the guest stopped, as --mode stopcopy does.",
			stood:    "Of the 990 ms that the guest stood still, 100 % went to finding, sending and placing the last pages, 1.00 GiB of them.",
		},
		{
			name: "pull",
			result: api.Result{
				Outcome: api.OutcomeCompleted, Mode: api.ModePostcopy, TotalMS: 1000, DowntimeMS: 5, PulledPages: gib / 4096, Rounds: []api.Round{{}},
				Phases: api.Phases{StopMS: 5, PullMS: 900}, Downtime: api.Downtime{StateMS: 5},
			},
			headline: "alpha moved in 1.00 s and stood still for 5.00 ms",
			cause:    "90 % of the time (900 ms) went to the pull: 1.00 GiB of memory followed while the guest ran at the target.",
			stood:    "Of the 5.00 ms that the guest stood still, 100 % went to saving, sending and restoring vCPUs and devices.",
		},
		{
			name: "beyond its limit", request: api.MigrateRequest{DowntimeLimitMS: 5},
			result: api.Result{
				Outcome: api.OutcomeCompleted, Mode: api.ModePrecopy, TotalMS: 100, DowntimeMS: 50, Phases: api.Phases{ReserveMS: 40, StopMS: 50}, Downtime: api.Downtime{ResumeMS: 50},
			},
			headline: "alpha moved in 100 ms and stood still for 50.0 ms",
			cause:    "50 % of the time (50.0 ms) went to the stop itself: little was left to do beside it.",
			stood:    "Of the 50.0 ms that the guest stood still, 100 % went to starting at the target, and the news of it. That is beyond the limit of 5.00 ms.",
		},
		{
			name:     "handed over",
			result:   api.Result{Outcome: api.OutcomeCompleted, Mode: api.ModeLocal, TotalMS: 40, DowntimeMS: 4, Phases: api.Phases{ReserveMS: 35, StopMS: 4}},
			headline: "alpha was handed over in 40.0 ms and stood still for 4.00 ms",
			cause:    "88 % of the time (35.0 ms) went to preparing the target: building the machine there, and rehearsing its restore, while the guest ran on.",
		},
		{
			name:     "not begun",
			result:   api.Result{Outcome: api.OutcomeFailed},
			headline: "alpha was not moved to tcp:192.0.2.7:4444", cause: "The move had not begun.",
		},
		{
			name:     "in doubt",
			result:   api.Result{Outcome: api.OutcomeInDoubt, TotalMS: 10_000},
			headline: "Nobody knows yet which host owns alpha", cause: "All of the time went to what was done until it was given up.",
		},
	}
	for _, tt := range tests {
		tt.request.Target = "tcp:192.0.2.7:4444"
		m := Move{Name: "alpha", Request: tt.request, Result: tt.result}
		if got := m.headline(); got != tt.headline {
			t.Errorf("%s: got headline %q; want %q", tt.name, got, tt.headline)
		}
		if got := m.cause(); got != tt.cause {
			t.Errorf("%s: got cause %q; want %q", tt.name, got, tt.cause)
		}
		if got := m.stood(); got != tt.stood {
			t.Errorf("%s: got %q of the downtime; want %q", tt.name, got, tt.stood)
		}
	}
}

func TestNotes(t *testing.T) {
	m := Move{Name: "alpha", Result: api.Result{
		Outcome: api.OutcomeFailed, Error: api.Errorf("refused", "start it", "nobody listens"), Network: api.Forwarded{Frames: 5, Dropped: 2, Late: 1}, Rejoins: 2,
		Throttle: api.Throttled{MaxPercent: 30, MS: 10}, Faults: api.Faults{Count: 1000, P50US: 100, MaxUS: 900, BlockedMS: 12},
		Pages: api.Pages{Data: 100, Duplicate: 50}, PathReason: "the kernel copied",
	}}
	var got []string
	for _, n := range m.notes() {
		got = append(got, n.Text)
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{"nobody listens.", "To try: start it", "2 network frames", "lost 2 times", "up to 30 %", "1\u202f000 times", "50 % of the pages", "the kernel copied."} {
		if !strings.Contains(all, want) {
			t.Errorf("got %q; want it to say %q", all, want)
		}
	}
	if first := m.notes()[0]; !first.Bad {
		t.Errorf("got %q first; want what is bad", first.Text)
	}
}

func TestPartsAreAll(t *testing.T) {
	for _, name := range []string{"precopy", "hybrid"} {
		m := load(t, "testdata/"+name+".json")
		var got float64
		for _, p := range m.parts() {
			if d := p.Start - got; d > 1e-6 || d < -1e-6 {
				t.Errorf("%s: %s begins at %v; want %v", name, p.Name, p.Start, got)
			}
			got += p.MS
		}
		if want := m.Result.TotalMS; got < 0.999*want || got > 1.001*want {
			t.Errorf("%s: the parts are %v ms; want %v", name, got, want)
		}
	}
}

func TestSamplesAreBounded(t *testing.T) {
	var s Samples
	const n = 100_000
	for i := range n {
		s.Add(api.Progress{ElapsedMS: float64(i)})
	}
	if got := len(s.All); got > keptSamples || got < keptSamples/4 {
		t.Errorf("got %d samples; want at most %d, and enough to draw", got, keptSamples)
	}
	for i := 1; i < len(s.All); i++ {
		if s.All[i].ElapsedMS <= s.All[i-1].ElapsedMS {
			t.Fatalf("got %v behind %v; want them in order", s.All[i].ElapsedMS, s.All[i-1].ElapsedMS)
		}
	}
	if last := s.All[len(s.All)-1].ElapsedMS; last < n*0.9 {
		t.Errorf("got the last of %v; want the end too", last)
	}
}
