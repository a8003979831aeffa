package supervisor

import (
	"net/http"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// dirtyRate has the machine measure what its guest writes.
func (v *server) dirtyRate(w http.ResponseWriter, r *http.Request) {
	var q api.DirtyRateRequest
	var p vmm.DirtyPages
	err := api.ReadRequest(w, r, &q)
	if err == nil {
		_, err = v.s.call(r.Context(), vmm.MethodDirtyRate, vmm.DirtyRate{Duration: api.Duration(q.DurationMS)}, &p)
	}
	if err != nil {
		api.WriteError(w, err)
		return
	}
	v.s.mu.Lock()
	name := v.s.name.name
	v.s.mu.Unlock()
	api.WriteAnswer(w, toDirtyRate(name, p))
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
