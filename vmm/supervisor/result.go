package supervisor

import (
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// toProgress puts a report in the API's words.
func toProgress(p migration.Progress) api.Progress {
	return api.Progress{
		Phase: string(p.Phase), Round: p.Round, SentBytes: p.SentBytes, RemainingBytes: p.RemainingBytes,
		DirtyBitsPerS: p.DirtyBitsPerS, BandwidthBitsPerS: p.BandwidthBitsPerS,
		ForecastDowntimeMS: p.ForecastDowntimeMS, ElapsedMS: p.ElapsedMS, ThrottlePercent: p.ThrottlePercent,
	}
}

// toResult puts the outcome of a move in the API's words.
func toResult(o vmm.Outcome) api.Result {
	r := o.Result
	out := api.Result{
		Outcome: api.Outcome(r.Outcome), Reason: r.Reason, ModeRequested: r.ModeRequested, Mode: r.Mode,
		TargetName: r.TargetName, MemoryBytes: r.MemoryBytes, ResidentBytes: r.ResidentBytes,
		SentBytes: r.SentBytes, PageBytes: r.PageBytes, TotalMS: r.TotalMS, DowntimeMS: r.DowntimeMS,
		Downtime: api.Downtime(r.Downtime), Throttle: api.Throttled(r.Throttle), Rounds: make([]api.Round, len(r.Rounds)),
	}
	for i, round := range r.Rounds {
		out.Rounds[i] = api.Round(round)
	}
	out.PulledPages, out.UrgentPages, out.Rejoins = r.PulledPages, r.UrgentPages, r.Rejoins
	out.Faults = api.Faults{Count: r.Faults.Count, P50US: r.Faults.P50US, P99US: r.Faults.P99US, MaxUS: r.Faults.MaxUS, BlockedMS: r.Faults.BlockedMS, AskUS: r.Faults.AskUS, WireUS: r.Faults.WireUS, PlaceUS: r.Faults.PlaceUS}
	out.Phases, out.Pages, out.Forecast = api.Phases(r.Phases), api.Pages(r.Pages), api.Forecast(r.Forecast)
	out.Network = api.Forwarded(r.Network)
	out.Compress = api.Compressed{Requested: string(r.Compress.Requested), Reason: r.Compress.Reason, Codecs: make([]api.CodecCount, len(r.Compress.Codecs))}
	for i, c := range r.Compress.Codecs {
		out.Compress.Codecs[i] = api.CodecCount(c)
	}
	out.Path, out.PathReason, out.TLS = string(r.Path), r.PathReason, r.TLS
	for _, c := range r.Channels {
		out.Channels = append(out.Channels, api.Channel(c))
	}
	for _, b := range r.Faults.Histogram {
		out.Faults.Histogram = append(out.Faults.Histogram, api.FaultBucket(b))
	}
	if e := o.Error; e != nil {
		out.Error = &api.Error{Code: e.Code, Message: e.Message, Remedy: e.Remedy}
	}
	return out
}

// inDoubt is the result of a move that nobody could decide in time.
func inDoubt() api.Result {
	return api.Result{
		Outcome: api.OutcomeInDoubt, Reason: "the target did not answer behind the commit",
		Error: api.Errorf("in_doubt", "bring the target's host or the network back: the machine goes on asking, and until then the guest stays paused",
			"nobody could say whether the target started the guest"),
	}
}
