package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/link"
	"github.com/ferryvmm/ferry/vmm"
)

// status is NAME.json: what a later vmm needs to find a machine whose
// supervisor does not answer. It is written before the guest runs.
type status struct {
	Name          string    `json:"name"`
	SupervisorPID int       `json:"supervisor_pid"`
	MachinePID    int       `json:"machine_pid"`
	CPUs          int       `json:"cpus"`
	MemoryBytes   uint64    `json:"memory_bytes"`
	StartedAt     time.Time `json:"started_at"`
	// What a supervisor needs that adopts the guest.
	Console     Console      `json:"console"`
	Devices     []vmm.Device `json:"devices,omitempty"` // as they are joined to this host
	Guard       Guard        `json:"guard"`
	Confinement []string     `json:"confinement"`
	// Routed are the taps to which the host routes: what leads there does not go with the processes.
	Routed []routedTap `json:"routed,omitempty"`
}

// routedTap is a tap, and what leads to it.
type routedTap struct {
	Tap    string         `json:"tap"`
	Routes []netmig.Route `json:"routes"`
}

// unroute removes what leads to the taps of a machine of which nothing is left but this.
func (s status) unroute() error {
	var errs []error
	for _, r := range s.Routed {
		errs = append(errs, link.Unroute(r.Tap, r.Routes))
	}
	return errors.Join(errs...)
}

// write replaces the file as a whole: a reader never sees half of it.
func (s status) write(n *name) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	tmp := n.path("json.tmp")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	if err := os.Rename(tmp, n.path("json")); err != nil {
		os.Remove(tmp)
		return err
	}
	return nil
}

func readStatus(dir, name string) (status, error) {
	var s status
	b, err := os.ReadFile(pathOf(dir, name, "json"))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("%s: %w", pathOf(dir, name, "json"), err)
	}
	if s.SupervisorPID < 0 || s.MachinePID < 0 {
		return s, fmt.Errorf("%s: no process has a number below 0", pathOf(dir, name, "json"))
	}
	return s, nil
}
