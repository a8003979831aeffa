package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// hookEvent is what network hooks are told of a guest: docs/netmig.md.
type hookEvent string

const (
	eventReserve  hookEvent = "reserve"  // it is about to come here; a hook that fails refuses it
	eventActivate hookEvent = "activate" // it runs here
	eventRelease  hookEvent = "release"  // it has run here and is gone
	eventFail     hookEvent = "fail"     // it does not come after all
)

// netHookWithin bounds what all hooks of an event may take together: the peer of a
// move gives up after 5 s of silence.
const netHookWithin = 3 * time.Second

// maxHookWords is how much of what a failed hook said is passed on, in bytes.
const maxHookWords = 200

// hookCall is what a hook reads, as JSON.
type hookCall struct {
	Version  int           `json:"version"`
	Event    hookEvent     `json:"event"`
	Guest    string        `json:"guest"`
	Move     string        `json:"move_id,omitempty"`
	Networks []hookNetwork `json:"networks"`
}

// hookNetwork is one network device of the guest, and its place on this host.
type hookNetwork struct {
	ID     string   `json:"id"`
	MAC    string   `json:"mac"`
	IPs    []string `json:"ips"`
	MTU    int      `json:"mtu"`
	Queues int      `json:"queues"`
	Link   string   `json:"link"`
	Bridge string   `json:"bridge,omitempty"`
	VLAN   int      `json:"vlan,omitempty"`
	Parent string   `json:"parent,omitempty"`
	Mode   string   `json:"mode,omitempty"`
	Routed bool     `json:"routed,omitempty"`
}

func describeNet(n vmm.Net) hookNetwork {
	h := hookNetwork{
		ID: n.ID, MAC: n.MAC.String(), IPs: []string{}, MTU: n.MTU, Queues: n.Queues, Link: n.Link,
		Bridge: n.Bridge, VLAN: n.VLAN, Parent: n.Parent, Mode: n.Mode, Routed: n.Routed,
	}
	for _, a := range n.IPs() {
		h.IPs = append(h.IPs, a.String())
	}
	return h
}

// netHooks are the programs of a folder that are run when a guest's networks come
// or go.
type netHooks struct {
	dir    string        // empty: there are none
	within time.Duration // that all of an event may take
	log    *slog.Logger
	out    *os.File // where what they say goes

	mu sync.Mutex // held while the hooks of one event run
}

// netHooksDir is where they are: netmig.d of $FERRY_DIR, else of /etc/ferry, for root.
func netHooksDir() string {
	if dir := os.Getenv("FERRY_DIR"); dir != "" {
		return filepath.Join(dir, "netmig.d")
	}
	if os.Geteuid() == 0 {
		return "/etc/ferry/netmig.d"
	}
	return ""
}

// some tells whether there is a folder of hooks.
func (h *netHooks) some() bool {
	_, err := os.Stat(h.dir)
	return err == nil
}

// run runs the hooks in the order of their names, until one fails. None is run by a
// shell, and none outlives its time.
func (h *netHooks) run(call hookCall) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	hooks, err := h.list()
	if err != nil || len(hooks) == 0 {
		return err
	}
	call.Version = 1
	in, err := json.Marshal(call)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), h.within)
	defer cancel()
	for _, path := range hooks {
		h.log.Info("running a network hook", "event", call.Event, "hook", path)
		if words, err := h.runOne(ctx, path, in); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("it was ended after %v", h.within)
			}
			return hookError("see the log; repair the hook, or make it not executable", "network hook %s (%s): %v%s", path, call.Event, err, words)
		}
	}
	return nil
}

func hookError(remedy, format string, args ...any) error {
	return api.Errorf(netmig.CodeHook, remedy, format, args...)
}

// list returns the hooks that there are.
func (h *netHooks) list() ([]string, error) {
	if h.dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(h.dir) // in order
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, hookError("let this user read the folder", "network hooks: %v", err)
	}
	hooks := []string{}
	for _, e := range entries {
		path := filepath.Join(h.dir, e.Name())
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0 || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := ours(path, &st); err != nil {
			return nil, err
		}
		hooks = append(hooks, path)
	}
	if len(hooks) > 0 {
		var st unix.Stat_t
		if err := unix.Stat(h.dir, &st); err != nil {
			return nil, hookError("let this user read the folder", "network hooks: %v", err)
		}
		return hooks, ours(h.dir, &st)
	}
	return hooks, nil
}

// ours refuses what others could have written: it would run with our rights.
func ours(path string, st *unix.Stat_t) error {
	if (st.Uid != 0 && st.Uid != uint32(os.Geteuid())) || st.Mode&0o022 != 0 {
		return hookError(fmt.Sprintf("chown root %s; chmod go-w %[1]s", path), "network hook %s may be written by others", path)
	}
	return nil
}

// runOne runs a hook, and returns the beginning of what it said last if it fails.
func (h *netHooks) runOne(ctx context.Context, path string, in []byte) (words string, err error) {
	said := &tail{}
	cmd := hookCommand(ctx, path, in)
	cmd.Stdout, cmd.Stderr = h.out, said
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if err = cmd.Run(); err == nil {
		return "", nil
	}
	if said.text = bytes.TrimSpace(said.text); len(said.text) > 0 {
		h.log.Warn("a network hook said", "hook", path, "text", string(said.text))
		words = fmt.Sprintf(": %q", said.text)
	}
	return words, err
}

// tail keeps the last of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.text = append(t.text, b...)
	if more := len(t.text) - maxHookWords; more > 0 {
		t.text = append(t.text[:0], t.text[more:]...)
	}
	return len(b), nil
}
