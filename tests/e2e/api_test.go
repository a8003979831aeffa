package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// client is a client of the machine of that name at a site.
func client(s *drive.Site, name string) *api.Client {
	return api.NewClient(filepath.Join(s.Dir, name+".sock"))
}

// follow collects the events of a machine until its end; begun is closed when the first has come.
func follow(ctx context.Context, c *api.Client) (begun chan struct{}, all chan []api.Event) {
	begun, all = make(chan struct{}), make(chan []api.Event, 1)
	go func() {
		var got []api.Event
		for e, err := range c.Events(ctx) {
			if err != nil {
				break
			}
			if got = append(got, e); len(got) == 1 {
				close(begun)
			}
		}
		all <- got
	}()
	return begun, all
}

// TestAPI moves a guest and wants both hosts to tell of it, over the API alone.
func TestAPI(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=16 wss=8 rate=8"})
	source := client(w.Sites[0], "alpha")
	before, err := source.Statistics(ctx)
	if err != nil || len(before.VCPUs) != 1 || before.VCPUs[0].IOExits == 0 || before.ResidentBytes == 0 || before.ProcessMS == 0 {
		t.Errorf("got %+v, %v; want counts of a guest that runs", before, err)
	}
	if d := exec(t, ctx, w.Sites[0], 0, "top", "--count", "2", "--interval", "200ms", "--json"); !strings.Contains(d.Stdout, `"dirty_mib_s":`) || strings.Contains(d.Stdout, `"dirty_mib_s":null`) {
		t.Errorf("got %s; want how fast the guest writes", d.Stdout)
	}
	if got := scrape(t, source.Socket()); !strings.Contains(got, `ferry_state{machine="alpha",state="running"} 1`) {
		t.Errorf("got metrics\n%s; want the guest running", got)
	}
	if m, err := source.Moving(ctx); err != nil || m != (api.Moving{}) {
		t.Errorf("got %+v, %v before the first move; want none", m, err)
	}
	if _, err := source.Receiving(ctx); err == nil {
		t.Error("got a machine with a guest as a receiver; want an error")
	}
	// Whoever looks on does not stand in a move's way.
	looked := make(chan error, 1)
	go func() {
		_, err := source.DirtyRate(ctx, api.DirtyRateRequest{DurationMS: 60_000, Yield: true})
		looked <- err
	}()
	begun, events := follow(ctx, source)
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	list, err := w.Sites[1].PS(ctx)
	if err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v; want the receiver", list, err)
	}
	receiver := client(w.Sites[1], list[0].Name)
	if r, err := receiver.Receiving(ctx); err != nil || r.Listening != target.Listening || r.Attempts != 0 {
		t.Errorf("got %+v, %v; want a receiver that listens at %s", r, err, target.Listening)
	}
	arrival, arrived := follow(ctx, receiver)
	<-begun
	<-arrival
	move, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening)
	if err != nil || move.Outcome != "completed" {
		t.Fatalf("got %+v, %v; want it completed", move, err)
	}
	trip.Arrived(target)
	if err := <-looked; err == nil {
		t.Error("got a minute's measurement whole; want the move to have ended it")
	}
	got := <-events
	kinds := []api.EventKind{}
	for _, e := range got {
		if len(kinds) == 0 || kinds[len(kinds)-1] != e.Kind {
			kinds = append(kinds, e.Kind)
		}
	}
	if len(got) < 4 || got[0].State != api.StateRunning || !slices.Contains(kinds, api.EventProgress) {
		t.Errorf("got events %v; want states and progress", kinds)
	}
	if last := got[len(got)-1]; last.Kind != api.EventEnded || last.Exit == nil || *last.Exit != 0 {
		t.Errorf("got %+v last; want the end", last)
	}
	if result := got[slices.IndexFunc(got, func(e api.Event) bool { return e.Kind == api.EventResult })]; result.Result.Outcome != api.OutcomeCompleted {
		t.Errorf("got %+v; want the move completed", result.Result)
	}
	if err := trip.Observer.WaitBeats(ctx, "target", 1, 20); err != nil {
		t.Fatal(err)
	}
	there := client(w.Sites[1], "alpha")
	if after, err := there.Statistics(ctx); err != nil || after.Moves != 1 || after.VCPUs[0].IOExits == 0 {
		t.Errorf("got %+v, %v; want counts at the target", after, err)
	}
	stop(t, ctx, trip)
	names := []string{}
	for _, e := range <-arrived {
		if !slices.Contains(names, e.Name) {
			names = append(names, e.Name)
		}
	}
	if want := []string{list[0].Name, "alpha"}; !slices.Equal(names, want) {
		t.Errorf("got the target's names %q; want %q", names, want)
	}
}

// TestSilentClient wants a move to go on whose requester, and one that listens to events, read nothing.
func TestSilentClient(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=16 wss=8 rate=8"})
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(w.Sites[0].Dir, "alpha.sock")
	silent(t, socket, "GET "+api.PathEvents, "")
	silent(t, socket, "POST "+api.PathMigrate, `{"target":"`+target.Listening+`","mode":"precopy","downtime_limit_ms":50,"timeout_ms":0,"insecure":true}`)
	if code, err := trip.Process.Wait(ctx); err != nil || code != 0 {
		t.Fatalf("got exit %d, %v of the source; want the guest moved away", code, err)
	}
	if err := trip.Observer.WaitBeats(ctx, "target", 1, 20); err != nil {
		t.Fatal(err)
	}
	trip.Arrived(target)
	if seen := trip.Observer.ReportSince(lab.Now()); seen.Lost != 0 {
		t.Errorf("got %d heartbeats lost; want none", seen.Lost)
	}
	stop(t, ctx, trip)
}

// scrape reads the metrics of a machine.
func scrape(t *testing.T, socket string) string {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", api.PathMetrics); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// silent sends a request and reads nothing of its answer until the test's end.
func silent(t *testing.T, socket, route, body string) {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.(*net.UnixConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: ferry\r\nContent-Length: %d\r\n\r\n%s", route, len(body), body); err != nil {
		t.Fatal(err)
	}
}
