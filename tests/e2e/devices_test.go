package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guests/loadgen"
	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// newImage makes a disk image of zeros, in bytes.
func newImage(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// bridged puts every host's interface on a bridge, for guests to join.
func bridged(t *testing.T, w *drive.World) {
	t.Helper()
	for _, h := range w.Lab.Hosts {
		if err := h.Bridge(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDevicesThatCannotBeHad wants each to be refused by name, with a remedy,
// and nothing left behind.
func TestDevicesThatCannotBeHad(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	image, short, big := newImage(t, 1<<20), newImage(t, 511), newImage(t, 80<<20)
	notModel := filepath.Join(t.TempDir(), "model.json")
	if err := os.WriteFile(notModel, []byte(`{"format":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	kernel := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(kernel, loadgen.ELF(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		says string
	}{
		{"an image that is absent", []string{"--disk", "root=/nonexistent/x.img"}, "root"},
		{"a directory", []string{"--disk", "root=/"}, "directory"},
		{"an image shorter than a sector", []string{"--disk", "root=" + short}, "511"},
		{"a device that is no disk", []string{"--disk", "root=/dev/null"}, "/dev/null"},
		{"one image twice", []string{"--disk", "a=" + image, "--disk", "b=" + image}, image},
		{"a bridge that is absent", []string{"--net", "eth=bridge=nobr"}, "nobr"},
		{"a bridge that is none", []string{"--net", "eth=bridge=eth0"}, "eth0"},
		{"a tap that is none", []string{"--net", "eth=tap=eth0"}, "eth0"},
		{"a path that is no socket's", []string{"--vsock", "3=unix:/nonexistent/sock"}, "/nonexistent/sock"},
		{"an initrd larger than memory", []string{"--kernel", kernel, "--initrd", big}, "initrd"},
		{"a CPU that is no file", []string{"--cpu", "/nonexistent"}, "/nonexistent"},
		{"a CPU's file that is none", []string{"--cpu", notModel}, notModel},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"run", "--memory", "64M", "--console", "none", "--json"}, tt.args...)
			got := failure(t, exec(t, ctx, w.Sites[0], 1, args...))
			if !strings.Contains(got.Message, tt.says) {
				t.Errorf("got %q; want it to name %s", got.Message, tt.says)
			}
		})
	}
}

// TestImageInUse wants an image to have one writer, or several readers.
func TestImageInUse(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 2)
	image := newImage(t, 1<<20)
	run := func(site, code int, name, disk string) drive.Done {
		return exec(t, ctx, w.Sites[site], code, "run", "--name", name, "--memory", "32M", "--cmdline", "fill=4", "--disk", disk, "--detach", "--json")
	}
	run(0, 0, "alpha", "root="+image)
	failure(t, run(1, 1, "beta", "root="+image), "image_locked")
	failure(t, run(1, 1, "beta", "root="+image+",ro"), "image_locked")
	exec(t, ctx, w.Sites[0], 0, "stop", "alpha")
	run(0, 0, "alpha", "root="+image+",ro")
	run(1, 0, "beta", "root="+image+",ro")
	failure(t, run(1, 1, "gamma", "root="+image), "image_locked")
	exec(t, ctx, w.Sites[0], 0, "kill", "alpha")
	exec(t, ctx, w.Sites[1], 0, "kill", "beta")
}

// TestImageThatCannotBeWritten wants one that can only be read to be refused, with the remedy, which works.
func TestImageThatCannotBeWritten(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	mount := mounted(t, ctx, 16<<20)
	image := filepath.Join(mount, "disk.img")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	system(t, ctx, "mount", "-o", "remount,ro", mount)
	run := func(code int, disk string) drive.Done {
		return exec(t, ctx, w.Sites[0], code, "run", "--name", "alpha", "--memory", "32M", "--cmdline", "fill=4", "--disk", disk, "--detach", "--json")
	}
	if got := failure(t, run(1, "root="+image)); !strings.Contains(got.Message, image) || !strings.Contains(got.Remedy, ",ro") {
		t.Errorf("got %+v; want the image named, and ,ro as the remedy", got)
	}
	run(0, "root="+image+",ro")
	exec(t, ctx, w.Sites[0], 0, "kill", "alpha")
}

// TestTargetLacksADevice wants a move refused by name before the guest notices,
// and the guest to go on where it is.
func TestTargetLacksADevice(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	bridged(t, w)
	image, copied := newImage(t, 1<<20), newImage(t, 1<<20)
	trip := boot(t, ctx, w, drive.Guest{Args: []string{"--disk", "root=" + image, "--net", "eth=tap=ferrytap"}})
	for _, tt := range []struct {
		name    string
		receive []string
		code    string
	}{
		{"another image", []string{"--disk", "root=" + copied, "--net", "eth=bridge=" + lab.BridgeName}, "not_shared"},
		{"no tap", nil, "network_absent"},
		{"no bridge", []string{"--net", "eth=bridge=nobr"}, "network_absent"},
		{"no such disk", []string{"--disk", "home=" + image, "--net", "eth=bridge=" + lab.BridgeName}, "disk"},
		{"no such network", []string{"--net", "wlan=bridge=" + lab.BridgeName}, "net"},
		{"another address", []string{"--net", "eth=bridge=" + lab.BridgeName + ",mac=02:00:00:00:00:99"}, "usage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target, err := w.Sites[1].Receive(trip.Observer, tt.name, tt.receive...)
			if err != nil {
				t.Fatal(err)
			}
			m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening)
			if err != nil {
				t.Fatal(err)
			}
			if m.Outcome != "failed" || m.Code != 1 || m.Error == nil || m.Error.Code != tt.code || m.Error.Remedy == "" {
				t.Errorf("got outcome %s, exit %d, %+v; want failed, exit 1, code %s", m.Outcome, m.Code, m.Error, tt.code)
			}
			if err := target.Interrupt(); err != nil {
				t.Fatal(err)
			}
			if code, err := target.Wait(ctx); err != nil || code != 0 {
				t.Errorf("got exit %d, %v of the receiver; want 0", code, err)
			}
			stays(t, ctx, trip)
		})
	}
	// The image is still this guest's alone.
	failure(t, exec(t, ctx, w.Sites[1], 1, "run", "--memory", "32M", "--disk", "root="+image, "--detach", "--json"), "image_locked")
	stop(t, ctx, trip)
}

// TestCPUThatTheHostLacks wants a CPU of more than the host has to be refused,
// with the names of what is missing, and one of what it has to be taken.
func TestCPUThatTheHostLacks(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	own := exec(t, ctx, w.Sites[0], 0, "cpu").Stdout
	type row struct {
		Leaf    string `json:"leaf"`
		Subleaf string `json:"subleaf,omitempty"`
		EAX     string `json:"eax"`
		EBX     string `json:"ebx"`
		ECX     string `json:"ecx"`
		EDX     string `json:"edx"`
	}
	var model struct {
		Format int             `json:"format"`
		CPUID  []row           `json:"cpuid"`
		MSRs   json.RawMessage `json:"msrs"`
	}
	if err := json.Unmarshal([]byte(own), &model); err != nil {
		t.Fatalf("%v: %s", err, own)
	}
	run := func(code int, text []byte) drive.Done {
		path := filepath.Join(t.TempDir(), "cpu.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return exec(t, ctx, w.Sites[0], code, "run", "--name", "alpha", "--memory", "32M", "--cmdline", "fill=4", "--cpu", path, "--detach", "--json")
	}
	run(0, []byte(own))
	exec(t, ctx, w.Sites[0], 0, "stop", "alpha")
	for i := range model.CPUID {
		if model.CPUID[i].Leaf == "0x80000001" {
			model.CPUID[i].ECX = "0xffffffff"
		}
	}
	more, err := json.Marshal(model)
	if err != nil {
		t.Fatal(err)
	}
	if got := failure(t, run(1, more), "cpu"); !strings.Contains(got.Message, "svm") {
		t.Errorf("got %q; want it to name what the host lacks, svm among it", got.Message)
	}
}
