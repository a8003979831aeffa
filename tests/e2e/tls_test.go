package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// encrypted is a world of two hosts that talk under TLS.
func encrypted(t *testing.T) *drive.World {
	t.Helper()
	w := newWorld(t, 2)
	if err := w.Encrypt(within(t, time.Minute), filepath.Join(t.TempDir(), "lab")); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestTLS moves a writing guest in all ways that connections are made, and wants the result to say what it went by.
func TestTLS(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	w := encrypted(t)
	trip := boot(t, ctx, w, drive.Guest{CPUs: 2, Cmdline: "fill=32 wss=16 rate=8 order=rand cpus=2 countreg=1"})
	for _, args := range [][]string{{"--mode", "precopy", "--channels", "3"}, {"--mode", "postcopy"}, {"--mode", "hybrid", "--compress", "auto"}, {"--mode", "stopcopy"}} {
		m := completes(t, ctx, trip, args...)
		if !strings.HasPrefix(m.TLS, "TLS_AES_") || m.Path != "copy" || !strings.Contains(m.PathReason, "TLS") {
			t.Errorf("%v: got TLS %q, path %q for %q; want a cipher suite, and that memory was copied for it", args, m.TLS, m.Path, m.PathReason)
		}
		if m.Mode != args[1] {
			t.Errorf("got mode %s; want %s", m.Mode, args[1])
		}
		t.Logf("%v: %.0f ms, down %.1f ms, gap %v, faults %+v", args, m.TotalMS, m.DowntimeMS, m.Gap(), m.Faults)
	}
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
}

// TestTLSPullOutlastsACut makes the connections of a pull anew, under TLS as before.
func TestTLSPullOutlastsACut(t *testing.T) { outlastACut(t, encrypted(t)) }

// TestTLSRefused: who is not who it says is refused before anything begins, on either side, the guest runs on, the receiver listens on and its
// log says why; and then takes the guest.
func TestTLSRefused(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	w := encrypted(t)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=8 wss=4 rate=1"})
	source := w.Sites[0]
	good := source.TLS
	target, err := w.Sites[1].Receive(trip.Observer, "target", "--allow", source.Address())
	if err != nil {
		t.Fatal(err)
	}
	issue := func(args ...string) string {
		t.Helper()
		dir := t.TempDir()
		exec(t, ctx, source, 0, append([]string{"certs", dir}, args...)...)
		return dir
	}
	lab := filepath.Dir(good)
	exec(t, ctx, source, 0, "certs", lab, "--host", "stranger.example")
	readable := filepath.Join(issue("--host", "x"), "x")
	if err := os.Chmod(filepath.Join(readable, "key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args         []string
		code         int
		errorCode    string
		says, logged string
	}{
		"in the clear":      {[]string{"--insecure"}, 1, "tls", "only connections under TLS", "speaks no TLS"},
		"another authority": {[]string{"--tls", filepath.Join(issue("--host", source.Address()), source.Address())}, 1, "tls", "another authority", "remote error"},
		"another name":      {[]string{"--tls", filepath.Join(lab, "stranger.example")}, 1, "tls", "does not allow stranger.example", "does not allow stranger.example"},
		"no folder":         {[]string{"--tls", "/nonexistent"}, 1, "tls", "no such file", ""},
		"a readable key":    {[]string{"--tls", readable}, 1, "tls", "can be read by other users", ""},
	} {
		d := exec(t, ctx, source, tc.code, append([]string{"migrate", "alpha", target.Listening, "--json"}, tc.args...)...)
		if f := failure(t, d, tc.errorCode); !strings.Contains(f.Message, tc.says) {
			t.Errorf("%s: got %q; want %q", name, f.Message, tc.says)
		}
		log, err := os.ReadFile(onlyLog(t, w.Sites[1]))
		if err != nil || !strings.Contains(string(log), tc.logged) {
			t.Errorf("%s: got the log %s, %v; want %q", name, log, err, tc.logged)
		}
	}
	stays(t, ctx, trip)
	exec(t, ctx, source, 0, "doctor", "--peer", target.Listening, "--tls", good)
	// The guest is not given to a receiver that is not who was dialled, nor to one without TLS.
	for says, identity := range map[string]string{"not of " + w.Sites[1].Address(): filepath.Join(lab, "stranger.example"), "speaks no TLS": ""} {
		w.Sites[1].TLS = identity
		wrong, err := w.Sites[1].Receive(trip.Observer, "wrong "+says)
		if err != nil {
			t.Fatal(err)
		}
		if f := failure(t, exec(t, ctx, source, 1, "migrate", "alpha", wrong.Listening, "--tls", good, "--json"), "tls"); !strings.Contains(f.Message, says) {
			t.Errorf("got %q; want %q", f.Message, says)
		}
		if d := exec(t, ctx, source, 1, "doctor", "--peer", wrong.Listening, "--tls", good); !strings.Contains(d.Stdout, says) {
			t.Errorf("got %s; want %q", d, says)
		}
		interrupted(t, ctx, wrong)
	}
	if m, err := source.Migrate(ctx, "alpha", target.Listening); err != nil || m.Outcome != "completed" || m.TLS == "" {
		t.Fatalf("got %+v, %v; want it completed under TLS", m, err)
	}
	trip.Arrived(target)
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
}

// onlyLog is the path of the one log of a site.
func onlyLog(t *testing.T, s *drive.Site) string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(s.Dir, "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("got logs %q, %v; want one", logs, err)
	}
	return logs[0]
}
