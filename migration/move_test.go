package migration_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/tcptest"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/migration/migrationtest"
)

func TestMain(m *testing.M) {
	// As vmm does: threads that wait in the kernel for faults keep a P each for a while.
	runtime.GOMAXPROCS(runtime.NumCPU() + 8)
	goleak.VerifyTestMain(m)
}

// bench is a source and a target, and a link between them.
type bench struct {
	world  *migrationtest.World
	guest  *migrationtest.Guest
	host   *migrationtest.Host
	record *migrationtest.Record
	send   migration.SendConfig
	recv   migration.ReceiveConfig
}

// ended is what both sides said at the end.
type ended struct {
	sent, received       migration.Result
	sentErr, receivedErr error
}

const mib = 1 << 20

// newBench makes a guest of 64 MiB that writes rate pages a second.
func newBench(t testing.TB, rate int) *bench {
	t.Helper()
	b := newBenchOf(t, 64*mib, 24*mib, rate)
	t.Cleanup(func() { b.close(t) })
	return b
}

// close gives the memories back.
func (b *bench) close(t testing.TB) {
	if err := b.guest.Close(); err != nil {
		t.Error(err)
	}
	if built := b.host.Built(); built != nil && !built.Discarded {
		built.Memory().Close()
	}
}

// newBenchOf is newBench with other sizes; who calls it closes it.
func newBenchOf(t testing.TB, size, fill uint64, rate int) *bench {
	t.Helper()
	w := migrationtest.NewWorld()
	g, err := migrationtest.NewGuest(w, size, fill, 4*mib, rate)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{world: w, guest: g, host: &migrationtest.Host{World: w}, record: migrationtest.NewRecord()}
	id := migration.NewMoveID()
	b.send = migration.SendConfig{
		Move: id, Epoch: 3, Guest: g, Memory: g.Memory, Description: migration.Description{Name: "g"},
		Ask: func(context.Context) (migration.Answer, error) { return b.record.Answer(), nil },
	}
	b.send.Control, b.recv.Control = tcptest.Pair(t)
	b.send.Bulk, b.recv.Bulk = tcptest.Pair(t)
	b.recv.Host, b.recv.Record = b.host, b.record
	b.recv.Hello = migration.Hello{VersionMin: 1, VersionMax: 1, Role: migration.RoleControl, Move: id, Epoch: 3}
	return b
}

// run moves the guest.
func (b *bench) run(t testing.TB, ctx context.Context) ended {
	t.Helper()
	var e ended
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.received, e.receivedErr = b.receive(ctx)
	}()
	e.sent, e.sentErr = migration.Send(ctx, b.send)
	<-done
	for _, err := range append(b.world.Wrong(), b.guest.VM.Mistakes()...) {
		t.Error(err)
	}
	if b.guest.VM.Logging() && e.sent.Outcome != migration.OutcomeCompleted { // it goes with the VM
		t.Error("the dirty log is still on")
	}
	return e
}

// receive does what the acceptor does before Receive.
func (b *bench) receive(ctx context.Context) (migration.Result, error) {
	for _, c := range []struct {
		conn net.Conn
		role migration.Role
	}{{b.recv.Control, migration.RoleControl}, {b.recv.Bulk, migration.RoleBulk}} {
		h, err := migration.ReadHello(c.conn)
		if err != nil {
			return migration.Result{}, err
		}
		if h.Role != c.role || h.Move != b.send.Move || h.Epoch != b.send.Epoch {
			return migration.Result{}, errors.New("another hello")
		}
	}
	return migration.Receive(ctx, b.recv)
}

// wantMoved checks that the guest runs at the target, as it was at the source.
func (b *bench) wantMoved(t testing.TB) {
	t.Helper()
	if b.world.Running(migrationtest.Source) || !b.world.Running(migrationtest.Target) {
		t.Errorf("running at source and target: got %v, %v; want only the target",
			b.world.Running(migrationtest.Source), b.world.Running(migrationtest.Target))
	}
	built := b.host.Built()
	if got, want := built.State.Writes, b.guest.Writes(); got != want {
		t.Errorf("state: got %d writes; want %d", got, want)
	}
	sameMemory(t, b.guest.Memory, built.Memory())
}

func sameMemory(t testing.TB, want, got *guestmem.Memory) {
	t.Helper()
	a, b := make([]byte, mib), make([]byte, mib)
	for _, r := range want.Layout() {
		for at := r.GPA; at < r.End(); at += mib {
			if err := errors.Join(want.ReadAt(a, at), got.ReadAt(b, at)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a, b) {
				t.Fatalf("memory differs in the MiB at %#x", at)
			}
		}
	}
}

// wantHome checks that the guest runs at the source, and that nothing is left at the target.
func (b *bench) wantHome(t testing.TB) {
	t.Helper()
	if !b.world.Running(migrationtest.Source) || b.world.Running(migrationtest.Target) {
		t.Errorf("running at source and target: got %v, %v; want only the source",
			b.world.Running(migrationtest.Source), b.world.Running(migrationtest.Target))
	}
	if built := b.host.Built(); built != nil && !built.Discarded {
		t.Error("what was built is not discarded")
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestMove(t *testing.T) {
	for _, tc := range []struct {
		mode migration.Mode
		rate int
	}{{migration.Precopy, 2000}, {migration.Precopy, 0}, {migration.StopCopy, 2000}} {
		t.Run(string(tc.mode), func(t *testing.T) {
			b := newBench(t, tc.rate)
			b.send.Mode = tc.mode
			blob := bytes.Repeat([]byte("kernel"), 100_000)
			infos := []migration.BlobInfo{
				{ID: "kernel", Size: uint64(len(blob)), SHA256: sha256.Sum256(blob)},
				{ID: "unwanted", Size: 5},
				{ID: "empty", SHA256: sha256.Sum256(nil)},
			}
			b.send.Description.Blobs = infos
			b.send.Blobs = map[string]io.ReaderAt{"kernel": bytes.NewReader(blob), "empty": bytes.NewReader(nil)}
			e := b.run(t, within(t, 30*time.Second))
			if e.sentErr != nil || e.receivedErr != nil {
				t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
			}
			b.wantMoved(t)
			if got := b.host.Built().Blobs["kernel"]; !got.Complete || !bytes.Equal(got.Bytes(), blob) {
				t.Errorf("kernel: got %d bytes, complete %v; want %d", got.Len(), got.Complete, len(blob))
			}
			if !b.host.Built().Blobs["empty"].Complete {
				t.Error("the empty blob is not complete")
			}
			checkResult(t, e.sent, tc.mode)
			if !b.record.Removed() {
				t.Error("the record is left behind")
			}
			if got, want := e.received.PageBytes, e.sent.PageBytes; got != want {
				t.Errorf("page bytes at the target: got %d; want %d", got, want)
			}
		})
	}
}

// checkResult checks what a result says of itself.
func checkResult(t *testing.T, r migration.Result, mode migration.Mode) {
	t.Helper()
	if r.Outcome != migration.OutcomeCompleted || r.Mode != string(mode) || r.TargetName != "g-moved" || r.MemoryBytes != 64*mib {
		t.Errorf("got %+v; want it completed by %s", r, mode)
	}
	if r.ResidentBytes < 24*mib || r.PageBytes < r.ResidentBytes || r.SentBytes < r.PageBytes || r.SentBytes > r.PageBytes+r.PageBytes/20+mib {
		t.Errorf("got resident %d, pages %d, sent %d; want each more than the one before, little overhead", r.ResidentBytes, r.PageBytes, r.SentBytes)
	}
	if mode == migration.StopCopy && len(r.Rounds) != 1 || mode == migration.Precopy && len(r.Rounds) < 2 {
		t.Errorf("got %d rounds", len(r.Rounds))
	}
	d := r.Downtime
	sum := d.PauseMS + d.PagesMS + d.StateMS + d.CommitMS + d.ResumeMS
	if r.DowntimeMS <= 0 || r.DowntimeMS > r.TotalMS || sum < r.DowntimeMS*0.999 || sum > r.DowntimeMS*1.001 {
		t.Errorf("downtime: got %v of %v in parts %+v (sum %v)", r.DowntimeMS, r.TotalMS, d, sum)
	}
	var bytes uint64
	for _, round := range r.Rounds {
		bytes += round.Bytes
		if round.MS <= 0 {
			t.Errorf("round %+v took no time", round)
		}
	}
	if bytes != r.PageBytes {
		t.Errorf("rounds sum up to %d bytes; want %d", bytes, r.PageBytes)
	}
	t.Logf("%s: %d rounds, %.2f ms in all, down %.3f ms %+v", mode, len(r.Rounds), r.TotalMS, r.DowntimeMS, d)
}
