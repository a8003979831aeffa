package qemu

import (
	"context"
	"encoding/json"
	"fmt"
)

// Unlimited, in bytes per second, is more than any path here carries.
const Unlimited = 1 << 40

// MigrateOptions is how a guest is moved. The zero value is QEMU's default.
type MigrateOptions struct {
	DowntimeLimit int    // ms; 0 leaves QEMU's, 300
	MaxBandwidth  uint64 // bytes/s; 0 leaves QEMU's, 128 MiB/s
	Capabilities  []string
}

// Moved is what QEMU itself says about a move.
type Moved struct {
	Status     string `json:"status"`
	TotalMS    uint64 `json:"total-time"`
	DowntimeMS uint64 `json:"downtime"` // by its own clock
	SetupMS    uint64 `json:"setup-time"`
	ErrorDesc  string `json:"error-desc"`
	RAM        struct {
		Transferred uint64 `json:"transferred"` // bytes
		Normal      uint64 `json:"normal"`      // pages
		Duplicate   uint64 `json:"duplicate"`   // zero pages
	} `json:"ram"`
}

// Migrate moves the guest to uri, "tcp:ADDRESS:PORT", where a machine with
// Incoming waits, and returns when QEMU calls the move completed.
func (m *Machine) Migrate(ctx context.Context, uri string, o MigrateOptions) (Moved, error) {
	type capability struct {
		Capability string `json:"capability"`
		State      bool   `json:"state"`
	}
	caps := []capability{{"events", true}}
	for _, c := range o.Capabilities {
		caps = append(caps, capability{c, true})
	}
	err := m.Execute(ctx, "migrate-set-capabilities", map[string]any{"capabilities": caps}, nil)
	if err != nil {
		return Moved{}, err
	}
	parameters := make(map[string]any)
	if o.DowntimeLimit != 0 {
		parameters["downtime-limit"] = o.DowntimeLimit
	}
	if o.MaxBandwidth != 0 {
		parameters["max-bandwidth"] = o.MaxBandwidth
	}
	if len(parameters) > 0 {
		if err := m.Execute(ctx, "migrate-set-parameters", parameters, nil); err != nil {
			return Moved{}, err
		}
	}
	if err := m.Execute(ctx, "migrate", map[string]any{"uri": uri}, nil); err != nil {
		return Moved{}, err
	}
	var status string
	_, err = m.WaitEvent(ctx, func(e Event) bool {
		var data struct{ Status string }
		if e.Name != "MIGRATION" || json.Unmarshal(e.Data, &data) != nil {
			return false
		}
		status = data.Status
		return status == "completed" || status == "failed" || status == "cancelled"
	})
	if err != nil {
		return Moved{}, fmt.Errorf("qemu: wait for the end of the move: %w", err)
	}
	var moved Moved
	if err := m.Execute(ctx, "query-migrate", nil, &moved); err != nil {
		return Moved{}, err
	}
	if status != "completed" {
		return moved, fmt.Errorf("qemu: the move is %s: %s", status, moved.ErrorDesc)
	}
	return moved, nil
}
