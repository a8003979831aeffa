package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/ferryvmm/ferry/internal/calmlog"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
	"github.com/ferryvmm/ferry/vmm/supervisor/identity"
)

const (
	// maxWaiting bounds the connections that have not proved yet who they are. With one more the oldest is closed: it had the most time, and
	// whoever fills them all keeps nobody out who proves it in the meantime.
	maxWaiting = 64
	// turnedAwayEvery is how often at most it is logged, in the long run, that one was turned away: anybody can come at any rate.
	turnedAwayEvery = 5 * time.Second
	turnedAwayBurst = 32
)

// door lets in who proves to be of the same authority as this host, and on its list.
type door struct {
	dir   string   // of this host's identity
	allow []string // names; none: everybody of the authority
	log   calmlog.Log

	mu      sync.Mutex // guards what follows
	waiting []net.Conn // oldest first
	closed  bool
}

func newDoor(dir string, allow []string, log *slog.Logger) *door {
	return &door{dir: dir, allow: allow, log: calmlog.Log{Log: log, Every: turnedAwayEvery, Burst: turnedAwayBurst}}
}

// admit shakes hands. Who is turned away is told why, and so is the log.
func (d *door) admit(conn stream) (stream, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), helloWithin)
	defer cancel()
	d.enter(conn)
	defer d.leave(conn)
	id, err := identity.Load(d.dir)
	if err == nil {
		var in stream
		if in, err = id.Admit(ctx, conn, d.allow); err == nil {
			return in, true
		}
	}
	d.log.Warn("a connection was turned away", "from", conn.RemoteAddr(), "error", err)
	_ = conn.SetDeadline(time.Now().Add(lingerWithin))
	if errors.Is(err, identity.ErrPlain) {
		_ = migration.Refuse(conn, errEncrypted)
	}
	linger(conn)
	return nil, false
}

// errEncrypted answers who does not encrypt where that is wanted.
var errEncrypted = &migration.Refusal{Code: api.CodeTLS, Message: "this receiver takes only connections under TLS", Remedy: "give --tls DIR at the source, too"}

func (d *door) enter(conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		conn.Close()
	}
	if d.waiting = append(d.waiting, conn); len(d.waiting) > maxWaiting {
		d.waiting[0].Close()
		d.waiting = slices.Delete(d.waiting, 0, 1)
	}
}

func (d *door) leave(conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = slices.DeleteFunc(d.waiting, func(c net.Conn) bool { return c == conn })
}

// close turns away all who wait.
func (d *door) close() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, c := range d.waiting {
		c.Close()
	}
}
