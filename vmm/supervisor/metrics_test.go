package supervisor

import (
	"regexp"
	"strings"
	"testing"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

var (
	metricHead   = regexp.MustCompile(`^# (HELP|TYPE) (ferry_[a-z_]+) (.+)$`)
	metricSample = regexp.MustCompile(`^(ferry_[a-z_]+)\{machine="((?:[^"\\\n]|\\[\\"n])*)"((?:,[a-z_]+="(?:[^"\\\n]|\\[\\"n])*")*)\} (\S+)$`)
)

// TestMetrics wants the text format of Prometheus: each sample behind the head of its family, none twice.
func TestMetrics(t *testing.T) {
	s := api.Statistics{
		Name: "al\"pha", State: api.StateRunning, UptimeMS: 1500, ProcessMS: 250, MemoryBytes: 1 << 28, Moves: 2,
		VCPUs: []api.VCPUStatistics{{IOExits: 7}, {CPU: 1, MMIOExits: 9, ThrottledMS: 3}},
		Devices: []api.Device{
			{Kind: "blk", ID: "ro\\ot", Disk: &api.Disk{Reads: 3, WrittenBytes: 1 << 40}},
			{Kind: "net", ID: "eth\n0", Network: &api.Network{RxPackets: 5, TxSpoofed: 1}},
			{Kind: "rng"},
		},
	}
	text := string(exposition(s, api.Moving{Active: true, Progress: &api.Progress{SentBytes: 11}}, 0))
	typed, helped, seen := map[string]string{}, map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if head := metricHead.FindStringSubmatch(line); head != nil {
			if head[1] == "HELP" {
				helped[head[2]] = true
			} else if typed[head[2]] != "" {
				t.Errorf("%q: got it twice", line)
			} else {
				typed[head[2]] = head[3]
			}
			continue
		}
		sample := metricSample.FindStringSubmatch(line)
		if sample == nil {
			t.Errorf("got %q; want a sample", line)
			continue
		}
		if seen[sample[1]+sample[3]] || !helped[sample[1]] || typed[sample[1]] == "" {
			t.Errorf("%q: got it twice, or before its head", line)
		}
		seen[sample[1]+sample[3]] = true
		if counts := strings.HasSuffix(sample[1], "_total"); counts != (typed[sample[1]] == "counter") {
			t.Errorf("%s: got kind %s", sample[1], typed[sample[1]])
		}
	}
	for _, want := range []string{
		`ferry_state{machine="al\"pha",state="running"} 1`, `ferry_state{machine="al\"pha",state="paused"} 0`,
		`ferry_uptime_seconds{machine="al\"pha"} 1.5`, `ferry_vcpu_exits_total{machine="al\"pha",cpu="1",reason="mmio"} 9`,
		`ferry_disk_bytes_total{machine="al\"pha",disk="ro\\ot",kind="write"} 1.099511627776e+12`,
		`ferry_network_packets_total{machine="al\"pha",network="eth\n0",way="rx"} 5`, `ferry_move_sent_bytes{machine="al\"pha"} 11`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("got no %s in\n%s", want, text)
		}
	}
}
