package vmm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ferryvmm/ferry/vmm/image"
)

// deaf is a host on which nobody listens for the guest's vsock.
type deaf struct{}

func (deaf) Dial(context.Context, uint32) (net.Conn, error) { return nil, errors.New("nobody listens") }

const imageSize = 1 << 20 // bytes

func newImage(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, make([]byte, imageSize), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func openImage(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// driven makes loadgen use each device of newDriven.
const driven = small + " blkverify=1 rng=1 vcon=1 balloon=1 vsock=5 vsockdial=6"

// newDriven makes a guest with one of each device that needs no network.
func newDriven(t *testing.T, path string) *guest {
	t.Helper()
	devices := []Device{
		{Kind: KindBlk, ID: "root", Disk: &Disk{Path: path, Size: imageSize, BlockSize: 512, Cache: "writeback", Queues: 1}},
		{Kind: KindRNG},
		{Kind: KindBalloon},
		{Kind: KindConsole, Spec: "none"},
		{Kind: KindVsock, Vsock: &Vsock{CID: 3, Path: "/none"}},
	}
	files := fileSet{DiskRole("root"): openImage(t, path)}
	backs, err := takeBackends(files, devices, deaf{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return newGuestWith(t, driven, devices, backs)
}

// works waits until the guest has done something with its devices, all of it right.
func (g *guest) works(t *testing.T) {
	t.Helper()
	for done := false; !done; {
		stat := g.wait(t, "STAT ")
		done = true
		for _, word := range []string{" blk_done=", " rng=", " reported="} {
			_, after, ok := strings.Cut(stat, word)
			done = done && ok && !strings.HasPrefix(after, "0 ")
		}
		if !strings.Contains(stat, " corrupt=0 doubled=0 lost=0 ") {
			t.Fatalf("got %q; want nothing wrong", stat)
		}
	}
}

func bootDriven(t *testing.T, path string) *guest {
	t.Helper()
	g := newDriven(t, path)
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "READY")
	g.works(t)
	return g
}

func TestDevicesMove(t *testing.T) {
	t.Parallel()
	path := newImage(t)
	g := bootDriven(t, path)
	if err := g.Pause(context.Background()); err != nil {
		t.Fatal(err)
	}
	saved, err := g.instance.save()
	if err != nil {
		t.Fatal(err)
	}
	h := newDriven(t, path)
	copyMemory(t, h.instance.memory, g.instance.memory)
	if _, err := h.instance.restore(saved, h.plan, h.wiring()); err != nil {
		t.Fatal(err)
	}
	again, err := h.instance.save()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(withoutTime(t, saved), withoutTime(t, again)); diff != "" {
		t.Errorf("state after a restore (-saved +again):\n%s", diff)
	}
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	h.works(t)
}

func TestPausedDevicesGoOn(t *testing.T) {
	t.Parallel()
	g := bootDriven(t, newImage(t))
	if err := g.Pause(context.Background()); err != nil {
		t.Fatal(err)
	}
	before := *g.facts().Devices[0].Disk
	if err := g.Resume(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "HB ")
	g.works(t)
	if after := *g.facts().Devices[0].Disk; before.Writes == 0 || after.Writes <= before.Writes || after.Errors != 0 {
		t.Errorf("got %+v, then %+v; want more and more, and no errors", before, after)
	}
}

func TestBalloonFollows(t *testing.T) {
	t.Parallel()
	const pages = 512 // of the 1024 that loadgen has to give
	g := bootDriven(t, newImage(t))
	size := g.plan.Layout.Size()
	for _, given := range []uint64{pages, 0} {
		if err := g.Inflate(size - given*4096); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(" balloon=%d ", given)
		for stat := ""; !strings.Contains(stat+" ", want); {
			stat = g.wait(t, "STAT ")
		}
		if diff := cmp.Diff(&BalloonFacts{Target: given * 4096, Actual: given * 4096}, g.facts().Devices[2].Balloon); diff != "" {
			t.Errorf("balloon (-want +got):\n%s", diff)
		}
	}
	for _, bytes := range []uint64{16<<20 - 1, size + 1} {
		if err := g.Inflate(bytes); !isFailure(err, "bad_request") {
			t.Errorf("%d bytes: got %v; want bad_request", bytes, err)
		}
	}
	v, err := g.beginMove()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Inflate(size); !isFailure(err, "bad_state") {
		t.Errorf("in a move: got %v; want bad_state", err)
	}
	v.end(false)
}

func TestNoBalloon(t *testing.T) {
	g := newGuest(t, small)
	if err := g.Inflate(g.plan.Layout.Size()); !isFailure(err, "bad_state") {
		t.Errorf("got %v; want bad_state", err)
	}
}

// isFailure tells whether err is one of this code, with a remedy.
func isFailure(err error, code string) bool {
	var f *Failure
	return errors.As(err, &f) && f.Code == code && f.Remedy != ""
}

// A source whose images somebody has taken by the time that its move has failed
// does not run, neither by itself nor when it is resumed, until they are free.
func TestSourceWaitsForItsImages(t *testing.T) {
	t.Parallel()
	path := newImage(t)
	g := bootDriven(t, path)
	if err := g.backs.lock(0); err != nil {
		t.Fatal(err)
	}
	other := openImage(t, path)
	defer other.Close()
	v, err := g.beginMove()
	if err != nil {
		t.Fatal(err)
	}
	v.token = 1
	if err := v.Pause(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Save(); err != nil {
		t.Fatal(err)
	}
	if err := image.Lock(other, false); err != nil {
		t.Fatalf("after they were handed over: %v", err)
	}
	stays := func(what string, err error) {
		t.Helper()
		if !isFailure(err, "image_locked") || !strings.Contains(err.Error(), "stays paused") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v; want that the guest stays paused for want of its image", what, err)
		}
	}
	stays("after the move", v.Resume())
	v.end(false)
	stays("resumed", g.Resume())
	if got := g.facts().State; got != StatePaused {
		t.Errorf("got state %s; want paused", got)
	}
	if err := image.Unlock(other); err != nil {
		t.Fatal(err)
	}
	if err := g.Resume(); err != nil {
		t.Fatalf("once they are free: %v", err)
	}
	if err := image.Lock(other, false); !errors.Is(err, image.ErrLocked) {
		t.Errorf("while the guest runs: got %v; want its image locked", err)
	}
	g.wait(t, "STAT ")
	g.works(t)
}

func TestNothingIsLeftOfAMachine(t *testing.T) {
	life := func(name string) {
		t.Run(name, func(t *testing.T) {
			g := bootDriven(t, newImage(t))
			g.wiring().reset()
			g.wait(t, "READY")
		})
	}
	life("first") // what the process itself opens stays
	// Garbage collection would close what was forgotten.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	ignored, before := goleak.IgnoreCurrent(), openFiles(t)
	life("second")
	if err := goleak.Find(ignored); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, openFiles(t)); diff != "" {
		t.Errorf("open files (-before +after):\n%s", diff)
	}
}

// openFiles lists what this process has open.
func openFiles(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil { // not the listing's own
			files = append(files, to)
		}
	}
	slices.Sort(files)
	return files
}
