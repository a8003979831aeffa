package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/internal/lab"
)

// measured is a little of everything that is drawn.
func measured() *record {
	r := &record{}
	touched := func(bucket int, n float64) rode {
		after := lab.Stat{Values: map[string]float64{"touches": n}}
		for i := range touchBuckets {
			if i == bucket {
				after.Values["touch_"+strconv.Itoa(touchEdge(i+1)/1000)] = n
			}
		}
		return rode{gap: 5, total: 100, before: lab.Stat{Values: map[string]float64{"write_mib_s": 8}}, after: after}
	}
	for n := range 3 {
		r.ride(what{"scale", "ferry", channelSeries, 2, n}, rode{gap: float64(4 + n), total: 200, downtime: 3, sent: 512, data: 4000, source: 1, target: 2})
		r.ride(what{"scale", "qemu 10, multifd", channelSeries, 2, n}, rode{gap: 8, total: 100, sent: 512, data: 2000, source: 2, target: 1})
		r.ride(what{"scale", "pump, pwrite", channelSeries, 2, n}, rode{pump: true, data: 9000, total: 7})
		r.pull(what{"faults", "ferry", "1 Gbit/s", 0, n}, touched(3, 6))
		r.pull(what{"faults", "ferry", "1 Gbit/s", 0, n}, touched(8, 2))
	}
	r.add(what{"timeline", "ferry precopy", roundSeries, 0, 0}, roundMS, 50)
	r.add(what{"timeline", "ferry precopy", roundSeries, 0, 0}, roundSent, 900)
	return r
}

func TestCSV(t *testing.T) {
	r := &record{}
	r.add(what{"gap", `a "way", quoted`, "memory, MiB:", 256, 0}, observedMS, 4.25)
	var b strings.Builder
	if err := r.writeCSV(&b); err != nil {
		t.Fatal(err)
	}
	want := "benchmark,way,setting,at,sample,metric,unit,value\n" + `gap,"a ""way"", quoted","memory, MiB:",256,1,observed downtime,ms,4.25` + "\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTables(t *testing.T) {
	r := measured()
	var b strings.Builder
	if err := r.writeTables(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"## scale\n\nMedians of 3, least to most.\n\n| | | observed downtime, ms | reported downtime, ms | total, ms | sent, MiB | data, Mbit/s | CPU per GiB, source, s | CPU per GiB, target, s |\n",
		"| channels 2 | ferry | 5 (4 to 6) | 3 (3 to 3) | 200 (200 to 200) | 512 (512 to 512) | 4000 (4000 to 4000) | 2 (2 to 2) | 4 (4 to 4) |\n",
		"| channels 2 | pump, pwrite |  |  |  |  | 9000 (9000 to 9000) |  |  |\n",
		"| | *ferry / best of qemu* | 0.62 |  | 2.00 | 1.00 | 2.00 | 0.50 | 2.00 |\n",
		"| 1 Gbit/s | ferry |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("got no %q in\n%s", want, &b)
		}
	}
	if strings.Contains(b.String(), histogramOf) {
		t.Errorf("got the histogram in\n%s\nwant it in plots only", &b)
	}
}

func TestPlots(t *testing.T) {
	t.Setenv("PATH", "") // no browser
	dir := t.TempDir()
	r := measured()
	if err := r.write(t.Context(), filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := []string{"cpu-channels.svg", "fault-latency-1g.svg", "samples.csv", "tables.md", "throughput-channels.svg", "timeline.svg"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	plots := r.faultPlots()
	if len(plots) != 1 || len(plots[0].Series) != 1 {
		t.Fatalf("got %+v; want one plot of one way", plots)
	}
	points := plots[0].Series[0].Points
	if len(points) != 2 || points[0].Y != 75 || points[1].Y != 100 || points[0].X >= points[1].X {
		t.Errorf("got %v; want three quarters over by the first edge, and all by the second", points)
	}
	for _, p := range r.plots() {
		if p.name == "throughput-channels" && (len(p.Series) != 3 || p.Series[0].Points[0].High == 0) {
			t.Errorf("got %+v; want three ways with their spread", p.Series)
		}
	}
}

// TestPointsFitTheHost: no guest is larger than there is room for, and there are some of each kind even where there is little.
func TestPointsFitTheHost(t *testing.T) {
	for _, room := range []int{16, 256, 3000, 8 << 10} {
		kinds := make(map[string]int)
		for _, p := range (bench{}).points(room) {
			kinds[p.setting]++
			if p.ride.fill > room || p.ride.fill == 0 || p.ride.memory > 16<<10 {
				t.Errorf("%s %v with room for %d: got a guest that uses %d of %d MiB", p.setting, p.at, room, p.ride.fill, p.ride.memory)
			}
			for _, w := range p.ways {
				if strings.HasPrefix(w.name, "qemu") {
					t.Errorf("got %s where there is no QEMU", w.name)
				}
			}
		}
		for setting, want := range map[string]int{dirtySeries: 6, channelSeries: 4, vcpuSeries: 4, memorySeries: 1} {
			if kinds[setting] < want {
				t.Errorf("room for %d: got %d of %s; want %d", room, kinds[setting], setting, want)
			}
		}
	}
}
