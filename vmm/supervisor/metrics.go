package supervisor

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// metricsType is the content type of the text format of Prometheus, version 0.0.4:
// https://prometheus.io/docs/instrumenting/exposition_formats/
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

// metrics writes that format. It is written by hand: the library for it would bring protobuf and its registries into the program that
// every machine is a process of.
type metrics struct {
	bytes.Buffer
	machine string
	name    string // of the family that is written
}

// family begins a metric of a kind, counter or gauge.
func (m *metrics) family(name, kind, help string) {
	m.name = "ferry_" + name
	fmt.Fprintf(m, "# HELP %s %s\n# TYPE %[1]s %[3]s\n", m.name, help, kind)
}

// sample writes a value of the family, with pairs of a label and its value.
func (m *metrics) sample(value float64, labels ...string) {
	fmt.Fprintf(m, "%s{machine=\"%s\"", m.name, labelEscape.Replace(m.machine))
	for i := 0; i+1 < len(labels); i += 2 {
		fmt.Fprintf(m, ",%s=\"%s\"", labels[i], labelEscape.Replace(labels[i+1]))
	}
	m.WriteString("} " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}

var labelEscape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// one writes a family of one value.
func (m *metrics) one(name, kind, help string, value float64) {
	m.family(name, kind, help)
	m.sample(value)
}

// exposition is all metrics of a machine.
func exposition(s api.Statistics, moving api.Moving, attempts int) []byte {
	m := &metrics{machine: s.Name}
	m.family("info", "gauge", "Version of the supervisor.")
	m.sample(1, "version", api.Version())
	m.family("state", "gauge", "1 for the state that the machine is in.")
	for _, st := range api.States {
		in := 0.0
		if st == s.State {
			in = 1
		}
		m.sample(in, "state", string(st))
	}
	m.one("uptime_seconds", "gauge", "Time that the guest runs in this process.", s.UptimeMS/1000)
	m.one("process_cpu_seconds_total", "counter", "CPU time of the machine process.", s.ProcessMS/1000)
	m.one("memory_bytes", "gauge", "Memory of the guest as configured.", float64(s.MemoryBytes))
	m.one("resident_bytes", "gauge", "Data in the memory of the guest.", float64(s.ResidentBytes))
	m.one("missing_bytes", "gauge", "Memory of the guest that is still at its source.", float64(s.MissingBytes))
	m.one("moves_total", "counter", "Moves that the guest has completed.", float64(s.Moves))
	m.one("receive_attempts_total", "counter", "Moves to this receiver that began.", float64(attempts))
	m.vcpus(s.VCPUs)
	m.disks(s.Devices)
	m.networks(s.Devices)
	m.move(moving)
	return m.Bytes()
}

func (m *metrics) vcpus(all []api.VCPUStatistics) {
	m.family("vcpu_exits_total", "counter", "Times that a vCPU came back from the guest, by reason.")
	for _, v := range all {
		cpu := strconv.Itoa(v.CPU)
		m.sample(float64(v.IOExits), "cpu", cpu, "reason", "io")
		m.sample(float64(v.MMIOExits), "cpu", cpu, "reason", "mmio")
		m.sample(float64(v.RingExits), "cpu", cpu, "reason", "ring")
		m.sample(float64(v.Interrupts), "cpu", cpu, "reason", "signal")
	}
	m.family("vcpu_throttled_seconds_total", "counter", "Time that a vCPU stood still for a move.")
	for _, v := range all {
		m.sample(v.ThrottledMS/1000, "cpu", strconv.Itoa(v.CPU))
	}
}

// eachDevice makes what calls a function with each device of a kind.
func eachDevice[D any](all []api.Device, of func(api.Device) *D) func(func(id string, d *D)) {
	return func(f func(string, *D)) {
		for _, d := range all {
			if one := of(d); one != nil {
				f(d.ID, one)
			}
		}
	}
}

func (m *metrics) disks(all []api.Device) {
	each := eachDevice(all, func(d api.Device) *api.Disk { return d.Disk })
	m.family("disk_requests_total", "counter", "Requests of the guest, by kind.")
	each(func(id string, d *api.Disk) {
		m.sample(float64(d.Reads), "disk", id, "kind", "read")
		m.sample(float64(d.Writes), "disk", id, "kind", "write")
		m.sample(float64(d.Flushes), "disk", id, "kind", "flush")
		m.sample(float64(d.Discards), "disk", id, "kind", "discard")
	})
	m.family("disk_bytes_total", "counter", "Bytes that the guest read and wrote.")
	each(func(id string, d *api.Disk) {
		m.sample(float64(d.ReadBytes), "disk", id, "kind", "read")
		m.sample(float64(d.WrittenBytes), "disk", id, "kind", "write")
	})
	m.family("disk_errors_total", "counter", "Requests that failed.")
	each(func(id string, d *api.Disk) { m.sample(float64(d.Errors), "disk", id) })
}

func (m *metrics) networks(all []api.Device) {
	each := eachDevice(all, func(d api.Device) *api.Network { return d.Network })
	m.family("network_packets_total", "counter", "Packets that the guest received (rx) and sent (tx).")
	each(func(id string, n *api.Network) {
		m.sample(float64(n.RxPackets), "network", id, "way", "rx")
		m.sample(float64(n.TxPackets), "network", id, "way", "tx")
	})
	m.family("network_bytes_total", "counter", "Bytes of these.")
	each(func(id string, n *api.Network) {
		m.sample(float64(n.RxBytes), "network", id, "way", "rx")
		m.sample(float64(n.TxBytes), "network", id, "way", "tx")
	})
	m.family("network_drops_total", "counter", "Packets that were dropped, by reason.")
	each(func(id string, n *api.Network) {
		m.sample(float64(n.RxDrops), "network", id, "way", "rx", "reason", "drop")
		m.sample(float64(n.TxDrops), "network", id, "way", "tx", "reason", "drop")
		m.sample(float64(n.RxLimited), "network", id, "way", "rx", "reason", "limit")
		m.sample(float64(n.TxLimited), "network", id, "way", "tx", "reason", "limit")
		m.sample(float64(n.TxSpoofed), "network", id, "way", "tx", "reason", "spoof")
	})
}

func (m *metrics) move(v api.Moving) {
	active, p := 0.0, api.Progress{}
	if v.Active {
		if active = 1; v.Progress != nil {
			p = *v.Progress
		}
	}
	m.one("move_active", "gauge", "1 while the guest is moved or saved.", active)
	m.one("move_sent_bytes", "gauge", "Sent by the move under way.", float64(p.SentBytes))
	m.one("move_remaining_bytes", "gauge", "Left to be sent by the move under way.", float64(p.RemainingBytes))
	m.one("move_dirty_bits_per_second", "gauge", "As fast as the guest writes during the move under way.", p.DirtyBitsPerS)
	m.one("move_bandwidth_bits_per_second", "gauge", "Bandwidth of the move under way.", p.BandwidthBitsPerS)
}

// metrics serves the API's metrics.
func (v *server) metrics(w http.ResponseWriter, r *http.Request) {
	stats, err := v.s.statistics(r.Context())
	if err != nil {
		api.WriteError(w, err)
		return
	}
	moving, err := v.s.moving(r.Context())
	if err != nil {
		api.WriteError(w, err)
		return
	}
	v.s.mu.Lock()
	attempts := v.s.attempts
	v.s.mu.Unlock()
	w.Header().Set("Content-Type", metricsType)
	_, _ = w.Write(exposition(stats, moving, attempts)) // the requester may have gone away
}
