package report

import (
	"fmt"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// kinds are the pages sent, by kind.
func (m *Move) kinds() []row {
	p := m.Result.Pages
	all := p.Data + p.Zero + p.Hole
	again := min(p.Duplicate, p.Data)
	var rows []row
	for _, k := range []struct {
		name, beside string
		pages        uint64
		tone         int
	}{
		{"data", "sent for the first time", p.Data - again, 0},
		{"data, again", "written since it was sent", again, 1},
		{"zero", "announced, not sent", p.Zero, 2},
		{"holes", "no data there any more", p.Hole, 5},
	} {
		if k.pages > 0 {
			rows = append(rows, row{
				Name: k.name, Value: plural(k.pages, "page"), Beside: sizeText(float64(k.pages)*pageSize) + ", " + k.beside,
				Share: hundredths(float64(k.pages) / float64(all)), Tone: k.tone,
			})
		}
	}
	return rows
}

// pulled are the pages that came after the guest had started at the target.
func (m *Move) pulled() []row {
	r := &m.Result
	if r.PulledPages == 0 {
		return nil
	}
	urgent := float64(r.UrgentPages) / float64(r.PulledPages)
	return []row{
		{Name: "pushed on", Value: plural(r.PulledPages-min(r.UrgentPages, r.PulledPages), "page"), Beside: "came by itself", Share: hundredths(1 - urgent), Tone: 3},
		{Name: "urgent", Value: plural(r.UrgentPages, "page"), Beside: "because the guest waited for it", Share: hundredths(urgent), Tone: 4},
	}
}

// channels are the connections.
func (m *Move) channels() []row {
	var most uint64
	for _, c := range m.Result.Channels {
		most = max(most, c.SentBytes)
	}
	var rows []row
	for i, c := range m.Result.Channels {
		beside := "copied by the kernel"
		if c.RegisteredBytes > 0 {
			beside = fmt.Sprintf("%s by zero-copy sends, %s really uncopied", shareText(float64(c.RegisteredBytes), float64(c.SentBytes)), sizeText(float64(c.ZeroCopyBytes)))
		}
		rows = append(rows, row{Name: fmt.Sprintf("channel %d", i+1), Value: sizeText(float64(c.SentBytes)), Beside: beside, Share: hundredths(float64(c.SentBytes) / float64(max(most, 1)))})
	}
	return rows
}

// codecs are what compression made of pages; none where there was none.
func (m *Move) codecs() []row {
	c := m.Result.Compress
	if c.Requested == "" || c.Requested == api.CompressOff {
		return nil
	}
	var rows []row
	for _, k := range c.Codecs {
		left := float64(k.OutBytes) / float64(max(k.InBytes, 1))
		beside := fmt.Sprintf("%s became %s", sizeText(float64(k.InBytes)), sizeText(float64(k.OutBytes)))
		if k.Codec == "raw" {
			beside = sizeText(float64(k.InBytes)) + " as they were"
		}
		rows = append(rows, row{Name: k.Codec, Value: plural(k.Pages, "page"), Beside: beside, Share: hundredths(left), Tone: 2})
	}
	if c.Reason != "" {
		rows = append(rows, row{Name: "why", Beside: c.Reason, Share: -1})
	}
	return rows
}

// frames are the packets for the guest that found it on the move.
func (m *Move) frames() []row {
	n := m.Result.Network
	if n.Frames+n.Dropped+n.Late == 0 {
		return nil
	}
	return []row{
		{Name: "forwarded", Value: plural(n.Frames, "frame"), Beside: "captured at the source, delivered at the target", Share: -1},
		{Name: "late", Value: plural(n.Late, "frame"), Beside: "of them: order may have changed", Share: -1},
		{Name: "lost", Value: plural(n.Dropped, "frame"), Beside: "found no room, or no link", Share: -1},
	}
}

// asked are the settings of the move.
func (m *Move) asked() []row {
	q := &m.Request
	var rows []row
	add := func(name, value string) { rows = append(rows, row{Name: name, Value: value, Share: -1}) }
	add("guest", m.Name)
	add("target", q.Target)
	if n := m.Result.TargetName; n != "" && n != m.Name {
		add("name at the target", n)
	}
	mode := q.Mode
	if m.Result.Outcome == api.OutcomeCompleted {
		mode += ", done: " + m.Result.Mode
	}
	add("mode", mode)
	if n := m.Result.MemoryBytes; n > 0 {
		add("configured memory", sizeText(float64(n)))
	}
	if q.DowntimeLimitMS > 0 {
		add("downtime limit", timeText(q.DowntimeLimitMS))
	}
	if q.TimeoutMS > 0 {
		add("timeout", timeText(q.TimeoutMS))
	}
	if q.BandwidthBitsPerS > 0 {
		add("bandwidth limit", bitsText(float64(q.BandwidthBitsPerS)))
	}
	channels := fmt.Sprint(q.Channels)
	if q.Channels == 0 {
		channels = "auto"
	}
	add("channels", channels)
	if q.Compress != "" {
		add("compress", q.Compress)
	}
	if q.ThrottlePercent > 0 {
		add("throttle", fmt.Sprintf("up to %d %%", q.ThrottlePercent))
	}
	if t := m.Result.TLS; t != "" {
		add("encrypted", t)
	} else if m.Result.Outcome == api.OutcomeCompleted && m.Result.Mode != api.ModeLocal {
		add("encrypted", "no")
	}
	if p := m.Result.Path; p != "" {
		add("data path", p)
	}
	if suite := m.Result.TLS; suite != "" {
		add("encryption", suite)
	}
	return rows
}
