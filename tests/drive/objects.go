package drive

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Failure is the error object of the contract.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

// Listed is one machine as ps has it.
type Listed struct {
	Name        string  `json:"name"`
	State       string  `json:"state"`
	PID         int     `json:"pid"`
	CPUs        int     `json:"cpus"`
	MemoryBytes uint64  `json:"memory_bytes"`
	UptimeMS    float64 `json:"uptime_ms"`
}

// Info is what info says of one machine, as far as the tests need it.
type Info struct {
	Listed
	ResidentBytes uint64   `json:"resident_bytes"`
	ReadyMS       *float64 `json:"ready_ms"`
	CountedWrong  bool     `json:"counted_wrong"`
	CPU           string   `json:"cpu"`
	DirtyTracking string   `json:"dirty_tracking"`
	Confinement   []string `json:"confinement"`
	Devices       []Device `json:"devices"`
}

// Device is what info says of a virtio device, as far as the tests need it.
type Device struct {
	Kind        string   `json:"kind"`
	ID          string   `json:"id"`
	Path        string   `json:"path"`
	Queues      int      `json:"queues"`
	SizeBytes   uint64   `json:"size_bytes"`
	Reads       uint64   `json:"reads"`
	Writes      uint64   `json:"writes"`
	MAC         string   `json:"mac"`
	Bridge      string   `json:"bridge"`
	IPs         []string `json:"ips"`
	Rate        uint64   `json:"rate"`
	Packets     uint64   `json:"packets"`
	AntiSpoof   bool     `json:"antispoof"`
	TxPackets   uint64   `json:"tx_packets"`
	TxSpoofed   uint64   `json:"tx_spoofed"`
	TxLimited   uint64   `json:"tx_limited"`
	TargetBytes uint64   `json:"target_bytes"`
	ActualBytes uint64   `json:"actual_bytes"`
	Spec        string   `json:"spec"`
	CID         uint64   `json:"cid"`
}

// Move is the object that migrate prints.
type Move struct {
	Outcome       string  `json:"outcome"`
	Reason        string  `json:"reason"`
	ModeRequested string  `json:"mode_requested"`
	Mode          string  `json:"mode"`
	TargetName    string  `json:"target_name"`
	MemoryBytes   uint64  `json:"memory_bytes"`
	ResidentBytes uint64  `json:"resident_bytes"`
	SentBytes     uint64  `json:"sent_bytes"`
	PageBytes     uint64  `json:"page_bytes"`
	Rounds        []Round `json:"rounds"`
	TotalMS       float64 `json:"total_ms"`
	DowntimeMS    float64 `json:"downtime_ms"`
	Downtime      struct {
		PauseMS  float64 `json:"pause_ms"`
		PagesMS  float64 `json:"pages_ms"`
		StateMS  float64 `json:"state_ms"`
		CommitMS float64 `json:"commit_ms"`
		ResumeMS float64 `json:"resume_ms"`
	} `json:"downtime"`
	PulledPages uint64 `json:"pulled_pages"`
	UrgentPages uint64 `json:"urgent_pages"`
	Rejoins     int    `json:"rejoins"`
	Faults      struct {
		Count uint64  `json:"count"`
		P50US float64 `json:"p50_us"`
		P99US float64 `json:"p99_us"`
		MaxUS float64 `json:"max_us"`
	} `json:"faults"`
	Throttle struct {
		MaxPercent int     `json:"max_percent"`
		MS         float64 `json:"ms"`
	} `json:"throttle"`
	Compress struct {
		Requested string `json:"requested"`
		Reason    string `json:"reason"`
		Codecs    []struct {
			Codec    string `json:"codec"`
			Pages    uint64 `json:"pages"`
			InBytes  uint64 `json:"in_bytes"`
			OutBytes uint64 `json:"out_bytes"`
		} `json:"codecs"`
	} `json:"compress"`
	Network struct {
		FramesForwarded uint64 `json:"frames_forwarded"`
		FramesDropped   uint64 `json:"frames_dropped"`
		FramesLate      uint64 `json:"frames_late"`
	} `json:"network"`
	Path       string    `json:"path"`
	PathReason string    `json:"path_reason"`
	TLS        string    `json:"tls"`
	Channels   []Channel `json:"channels"`
	Phases     struct {
		ReserveMS float64 `json:"reserve_ms"`
		PushMS    float64 `json:"push_ms"`
		StopMS    float64 `json:"stop_ms"`
		PullMS    float64 `json:"pull_ms"`
	} `json:"phases"`
	Error *Failure `json:"error"`

	// Code is the exit code.
	Code int `json:"-"`
}

// Channel is one connection that carried pages.
type Channel struct {
	SentBytes uint64 `json:"sent_bytes"`
}

// Round is one round of a move.
type Round struct {
	Pages        uint64  `json:"pages"`
	Bytes        uint64  `json:"bytes"`
	MS           float64 `json:"ms"`
	DirtiedPages uint64  `json:"dirtied_pages"`
}

// Object runs a command with --json that prints one object, and decodes it.
// The exit code is in Done; an error means that no object could be had.
func (s *Site) Object(ctx context.Context, into any, args ...string) (Done, error) {
	d, err := s.Exec(ctx, append(args, "--json")...)
	if err != nil {
		return d, err
	}
	line, rest, _ := strings.Cut(d.Stdout, "\n")
	if rest != "" {
		return d, fmt.Errorf("drive: got more than one line with --json\n%s", d)
	}
	if err := json.Unmarshal([]byte(line), into); err != nil {
		return d, fmt.Errorf("drive: got no object with --json: %w\n%s", err, d)
	}
	return d, nil
}

// PS lists the machines of the site.
func (s *Site) PS(ctx context.Context) ([]Listed, error) {
	var got struct {
		Machines []Listed `json:"machines"`
	}
	d, err := s.Object(ctx, &got, "ps")
	if err == nil && d.Code != 0 {
		err = fmt.Errorf("drive: ps failed\n%s", d)
	}
	return got.Machines, err
}

// Info describes one machine.
func (s *Site) Info(ctx context.Context, name string) (Info, error) {
	var got Info
	d, err := s.Object(ctx, &got, "info", name)
	if err == nil && d.Code != 0 {
		err = fmt.Errorf("drive: info failed\n%s", d)
	}
	return got, err
}

// Migrate moves a guest to where receive listens. A move that does not
// complete is no error: the object says so.
func (s *Site) Migrate(ctx context.Context, name, target string, args ...string) (Move, error) {
	var m Move
	all := slices.Concat([]string{"migrate", name, target}, args, s.secure())
	d, err := s.Object(ctx, &m, all...)
	m.Code = d.Code
	if err == nil && m.Outcome == "" {
		err = fmt.Errorf("drive: migrate said no outcome\n%s", d)
	}
	return m, err
}
