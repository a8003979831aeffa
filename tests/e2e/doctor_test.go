package e2e

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// TestDoctor asks a receiver whether it can take the guests of another host, which it then does.
func TestDoctor(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=8 wss=4"})
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var got struct {
			OK       bool
			Findings []struct{ Check, Level, Text string }
		}
		d := exec(t, ctx, w.Sites[0], 0, "doctor", "--peer", target.Listening, "--insecure", "--json")
		if err := json.Unmarshal([]byte(d.Stdout), &got); err != nil || !got.OK {
			t.Fatalf("got %+v, %v; want all well", got, err)
		}
		levels := map[string]string{}
		for _, f := range got.Findings {
			levels[f.Check] = f.Level
		}
		for _, check := range []string{"kvm", "peer", "peer_cpu", "peer_pull", "peer_room"} {
			if levels[check] != "ok" {
				t.Errorf("got %s %q; want ok\n%s", check, levels[check], d.Stdout)
			}
		}
	}
	failure(t, exec(t, ctx, w.Sites[0], 2, "doctor", "--peer", target.Listening, "--json"), "insecure")
	if m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening); err != nil || m.Outcome != "completed" {
		t.Fatalf("got %+v, %v; want it completed", m, err)
	}
	trip.Arrived(target)
	if err := trip.Observer.WaitBeats(ctx, "target", 1, 20); err != nil {
		t.Fatal(err)
	}
	exec(t, ctx, w.Sites[0], 1, "doctor", "--peer", "tcp:"+w.Sites[0].Address()+":1", "--insecure") // nobody listens
	stop(t, ctx, trip)
}
