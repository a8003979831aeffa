package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// TestUsage wants exit code 2, and a word about what is wrong, for every line
// that is none: also for what later versions will know.
func TestUsage(t *testing.T) {
	ctx := within(t, time.Minute)
	site, err := drive.NewSite(vmm, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer site.Close()
	for _, line := range []string{
		"nonsense", "run extra", "run --nonsense", "run --memory", "run --memory 0", "run --memory 15M", "run --memory 64",
		"run --memory 64K", "run --memory -1M", "run --memory 99999999999999999999G", "run --cpus 0", "run --cpus -1", "run --cpus x",
		"run --name a/b", "run --name ..", "run --name=", "run --clock never", "run --console nonsense", "run --console unix:",
		"run --detach --console stdio", "run --hugepages 1G", "run --disk nonsense", "run --disk a=b,cache=some", "run --disk a=b,rw", "run --disk A%=b",
		"run --net a", "run --net a=tap=b,bridge=c", "run --net a=tap=b,mac=x", "run --net a=tap=b,mac=01:00:5e:00:00:01", "run --net a=tap=b,queues=9",
		"run --net a=bridge=averyveryverylongname", "run --vsock 2=unix:/x", "run --vsock 3=/x", "run --virtio-console nonsense", "run --virtio-console stdio",
		"run --dirty-tracking log", "run --initrd /dev/null", "receive --listen tcp:127.0.0.1:0 --disk x", "receive --listen tcp:127.0.0.1:0 --net x=y",
		"receive", "receive --listen", "receive --listen nonsense", "receive --listen tcp:127.0.0.1", "receive --listen tcp:127.0.0.1:99999",
		"receive --listen tcp:0.0.0.0:0", "receive --listen tcp:10.0.0.1:1", "receive --listen tcp:127.0.0.1:0 --tls /tmp --insecure", "receive --listen tcp:127.0.0.1:0 --allow a", "receive --listen unix:/tmp/x --tls /tmp", "certs", "certs /tmp", "certs /tmp --host a/b", "receive --listen tcp:127.0.0.1:0 x",
		"migrate", "migrate a", "migrate a b", "migrate a tcp:127.0.0.1:1 c", "migrate a tcp:10.0.0.1:1", "migrate a tcp:127.0.0.1:0",
		"migrate a tcp:127.0.0.1:1 --mode lazycopy", "migrate a tcp:127.0.0.1:1 --throttle 100", "migrate a tcp:127.0.0.1:1 --throttle 50 --mode hybrid", "migrate a tcp:127.0.0.1:1 --downtime-limit 5",
		"migrate a tcp:127.0.0.1:1 --downtime-limit -1ms", "migrate a tcp:127.0.0.1:1 --timeout soon", "migrate a tcp:127.0.0.1:1 --channels 17", "migrate a tcp:127.0.0.1:1 --compress gzip",
		"migrate a tcp:127.0.0.1:1 --tls /tmp --insecure", "migrate a --cancel --mode precopy", "migrate a --pull --mode precopy", "migrate a --resolve nobody", "migrate a tcp:127.0.0.1:1 --resolve source",
		"snapshot a", "snapshot", "restore", "restore a b", "info", "pause", "resume", "stop", "kill", "console", "logs", "ps extra",
		"info a b", "balloon", "balloon a", "balloon a 128", "balloon a 15M", "balloon a 64M b", "demo extra", "demo --moves 0", "demo --rate -1", "demo --memory 1M", "version extra", "doctor extra", "inspect extra", "top extra", "events", "man", "run -f /nonexistent", "dirty-rate", "dirty-rate a b", "dirty-rate a --duration 0",
	} {
		d, err := site.Exec(ctx, strings.Fields(line)...)
		if err != nil {
			t.Fatal(err)
		}
		if d.Code != 2 || d.Stdout != "" || !strings.Contains(d.Stderr, "vmm: ") || !strings.Contains(d.Stderr, "try: ") {
			t.Errorf("want exit 2 and a remedy\n%s", d)
		}
	}
	if left, err := site.Leftovers(); err != nil || len(left) != 0 {
		t.Errorf("got %q, %v left behind; want nothing", left, err)
	}
}

func TestUsageWithJSON(t *testing.T) {
	ctx := within(t, time.Minute)
	site, err := drive.NewSite(vmm, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer site.Close()
	for _, line := range []string{"run --memory 1 --json", "run --json --console stdio", "migrate a tcp:10.0.0.1:1 --json", "info --json", "ps --json --nonsense"} {
		failure(t, exec(t, ctx, site, 2, strings.Fields(line)...))
	}
}

func TestHelpTellsOnlyWhatIsBuilt(t *testing.T) {
	ctx := within(t, time.Minute)
	site, err := drive.NewSite(vmm, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer site.Close()
	commands := []string{"run", "receive", "migrate", "snapshot", "restore", "ps", "info", "dirty-rate", "balloon", "pause", "resume", "stop", "kill", "console", "logs", "demo", "cpu", "certs", "doctor", "events", "inspect", "top", "version"}
	help := exec(t, ctx, site, 0, "--help").Stdout
	for _, c := range commands {
		if !strings.Contains(help, "\n  "+c+" ") {
			t.Errorf("got no %s in the help\n%s", c, help)
		}
		text := exec(t, ctx, site, 0, c, "--help").Stdout
		if strings.Contains(text, "--allow-tsc-mismatch") {
			t.Errorf("got --allow-tsc-mismatch in the help of %s; want only what is built", c)
		}
	}
}

func TestNothingRuns(t *testing.T) {
	ctx := within(t, time.Minute)
	site, err := drive.NewSite(vmm, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer site.Close()
	if list, err := site.PS(ctx); err != nil || list == nil || len(list) != 0 {
		t.Errorf("got %v, %v; want an empty list", list, err)
	}
	exec(t, ctx, site, 0, "ps")
	if d := exec(t, ctx, site, 0, "version"); strings.TrimSpace(d.Stdout) == "" {
		t.Errorf("got no version\n%s", d)
	}
}
