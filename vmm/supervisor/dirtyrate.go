package supervisor

import (
	"context"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// dirtyRate has the machine measure what its guest writes.
func (s *supervisor) dirtyRate(ctx context.Context, q api.DirtyRateRequest) (api.DirtyRate, error) {
	var p vmm.DirtyPages
	if _, err := s.call(ctx, vmm.MethodDirtyRate, vmm.DirtyRate{Duration: api.Duration(q.DurationMS), Yield: q.Yield}, &p); err != nil {
		return api.DirtyRate{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return toDirtyRate(s.name.name, p), nil
}

// toDirtyRate puts a measurement in the API's words.
func toDirtyRate(name string, p vmm.DirtyPages) api.DirtyRate {
	out := api.DirtyRate{Name: name, DurationMS: api.Milliseconds(p.Duration), DirtyPages: p.Pages, DirtyMiBS: perSecond(p.Pages, p.Duration)}
	for cpu, pages := range p.CPUs {
		out.VCPUs = append(out.VCPUs, api.CPUDirtyRate{CPU: cpu, Pages: pages, MiBS: perSecond(pages, p.Duration)})
	}
	return out
}

// perSecond is pages in a time, in MiB/s.
func perSecond(pages uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(pages*guestmem.PageSize) / (1 << 20) / d.Seconds()
}
