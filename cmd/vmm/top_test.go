package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// busy serves a machine that has done a second's work more at each look.
func busy(t *testing.T, state api.State) http.HandlerFunc {
	var looks atomic.Uint64
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case api.PathStatistics:
			n := looks.Add(1)
			api.WriteAnswer(w, api.Statistics{
				Name: "alpha", State: state, UptimeMS: float64(n) * 1000, ProcessMS: float64(n) * 500, MemoryBytes: 1 << 28, ResidentBytes: 1 << 25,
				VCPUs: []api.VCPUStatistics{{IOExits: 30 * n, MMIOExits: 10 * n}, {CPU: 1, Interrupts: 2 * n}},
				Devices: []api.Device{
					{Kind: "blk", ID: "root", Disk: &api.Disk{Reads: 4 * n, ReadBytes: n << 20, WrittenBytes: n << 21, Flushes: n}},
					{Kind: "net", ID: "eth", Network: &api.Network{RxPackets: 7 * n, RxBytes: n << 10, TxBytes: n << 11}},
				},
			})
		case api.PathDirtyRate:
			var q api.DirtyRateRequest
			if err := api.ReadRequest(w, r, &q); err != nil || !q.Yield {
				t.Errorf("got %+v, %v; want a measurement that yields", q, err)
			}
			api.WriteAnswer(w, api.DirtyRate{DirtyMiBS: 12.5})
		case api.PathMigrate:
			api.WriteAnswer(w, api.Moving{Active: true, Progress: &api.Progress{DirtyBitsPerS: 8 << 20}})
		default:
			t.Errorf("got a request for %s; want none", r.URL.Path)
		}
	}
}

func TestTop(t *testing.T) {
	h := newHarness(t)
	h.machines = []api.Machine{{Name: "old", State: api.StateOrphaned, MemoryBytes: 1 << 30}, {Name: "alpha", State: api.StateRunning, SupervisorPID: 1}}
	h.serve("alpha", busy(t, api.StateRunning))
	if got := h.run("top", "--interval", "10ms", "--count", "2", "--json"); got != 0 {
		t.Fatalf("got exit %d; want 0\n%s", got, h.stderr)
	}
	all := h.objects()
	if len(all) != 2 {
		t.Fatalf("got %d objects; want one a look", len(all))
	}
	rows := all[1]["machines"].([]any)
	want := []any{
		map[string]any{
			"name": "alpha", "state": "running", "cpu_percent": 50.0, "memory_bytes": float64(1 << 28), "resident_bytes": float64(1 << 25), "dirty_mib_s": 12.5,
			"exits_per_s": 42.0, "disk_read_bytes_per_s": float64(1 << 20), "disk_written_bytes_per_s": float64(1 << 21), "disk_requests_per_s": 5.0,
			"net_rx_bytes_per_s": 1024.0, "net_tx_bytes_per_s": 2048.0, "net_packets_per_s": 7.0,
		},
		map[string]any{
			"name": "old", "state": "orphaned", "cpu_percent": 0.0, "memory_bytes": float64(1 << 30), "resident_bytes": 0.0, "dirty_mib_s": nil,
			"exits_per_s": 0.0, "disk_read_bytes_per_s": 0.0, "disk_written_bytes_per_s": 0.0, "disk_requests_per_s": 0.0,
			"net_rx_bytes_per_s": 0.0, "net_tx_bytes_per_s": 0.0, "net_packets_per_s": 0.0,
		},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("machines (-want +got):\n%s", diff)
	}
}

func TestTopForPeople(t *testing.T) {
	h := newHarness(t)
	h.machines = []api.Machine{{Name: "alpha", SupervisorPID: 1}, {Name: "gone", State: api.StateRunning, SupervisorPID: 1}}
	h.serve("alpha", busy(t, api.StateMigrating))
	if got := h.run("top", "--interval", "10ms", "--count", "1", "--no-dirty-rate"); got != 0 {
		t.Fatalf("got exit %d; want 0\n%s", got, h.stderr)
	}
	for _, want := range []string{"2 machines", "DIRTY/s", "migrating", "1.0 MiB", "gone"} {
		if !strings.Contains(h.stdout.String(), want) {
			t.Errorf("got no %q in\n%s", want, h.stdout)
		}
	}
}

// A machine of the same name that began since the last look has not done less than nothing.
func TestTopOfANewMachine(t *testing.T) {
	var r topRow
	r.rates(look{uptimeMS: 1000, totals: totals{exits: 10}}, look{uptimeMS: 5000, totals: totals{exits: 90}})
	if r.Exits != 10 {
		t.Errorf("got %v exits a second; want 10", r.Exits)
	}
	r.rates(look{}, look{})
}

func TestFit(t *testing.T) {
	if got, want := fit("abc\nd\ne\n", 2, 2), "ab"+eraseLine+"\r\nd"+eraseLine; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	if got := fit("abc\n", 0, 0); got != "" {
		t.Errorf("got %q on no screen; want nothing", got)
	}
	if text := topText(nil, time.Now()); !strings.Contains(text, "0 machines") {
		t.Errorf("got %q; want that there are none", text)
	}
}
