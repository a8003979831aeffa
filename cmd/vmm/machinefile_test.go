package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/vmm/supervisor"
)

// everything is a machine file with a value for each field that has no default.
const everything = `{
  "$schema": "https://example.org/machine.schema.json",
  "name": "alpha", "memory": "1G", "hugepages": "2M", "cpus": 3, "cpu": "baseline", "kernel": "vmlinux", "initrd": "initramfs", "cmdline": "",
  "clock": "freeze", "dirty_tracking": "ring", "disk": ["root=/x.img,ro", "data=/y.img,queues=2"], "net": ["eth=tap=tap0"], "balloon": true, "rng": true,
  "virtio_console": "unix:/c", "vsock": "7=unix:/v", "console": "none", "fence_hook": "/f", "shared_records": "/s"
}`

// written writes a machine file.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "machine.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// asked is what run was asked for.
func asked(t *testing.T, args ...string) supervisor.RunConfig {
	t.Helper()
	h := newHarness(t)
	if got := h.run(append([]string{"run"}, args...)...); got != 0 || len(h.calls) != 1 {
		t.Fatalf("%v: got exit %d, calls %v; want one\n%s", args, got, h.calls, h.stderr)
	}
	c := h.calls[0].(supervisor.RunConfig)
	c.Dir = ""
	return c
}

// TestMachineFile wants a file to say what flags say, and flags to override it.
func TestMachineFile(t *testing.T) {
	flags := []string{
		"--name", "alpha", "--memory", "1G", "--hugepages", "2M", "--cpus", "3", "--cpu", "baseline", "--kernel", "vmlinux", "--initrd", "initramfs", "--cmdline", "",
		"--clock", "freeze", "--dirty-tracking", "ring", "--disk", "root=/x.img,ro", "--disk", "data=/y.img,queues=2", "--net", "eth=tap=tap0", "--balloon", "--rng",
		"--virtio-console", "unix:/c", "--vsock", "7=unix:/v", "--console", "none", "--fence-hook", "/f", "--shared-records", "/s",
	}
	want := asked(t, flags...)
	if diff := cmp.Diff(want, asked(t, "-f", written(t, everything)), cmp.AllowUnexported()); diff != "" {
		t.Errorf("the file (-flags +file):\n%s", diff)
	}
	over := asked(t, "--file", written(t, everything), "--memory", "2G", "--disk", "only=/z.img", "--rng=false", "--cmdline", "x")
	if over.MemoryBytes != 2<<30 || len(over.Devices.Disks) != 1 || over.Devices.Disks[0].ID != "only" || over.Devices.RNG || over.Cmdline != "x" || over.CPUs != 3 {
		t.Errorf("got %+v; want flags to override the file", over)
	}
}

// TestInspect wants what it prints to be a machine file of the same guest.
func TestInspect(t *testing.T) {
	for _, text := range []string{everything, "{}", `{"cmdline": "a \"b\" \u001b"}`} {
		path := written(t, text)
		h := newHarness(t)
		if got := h.run("inspect", "-f", path, "--cpus", "2"); got != 0 || h.calls != nil {
			t.Fatalf("got exit %d, calls %v; want nothing started\n%s", got, h.calls, h.stderr)
		}
		if diff := cmp.Diff(asked(t, "-f", path, "--cpus", "2"), asked(t, "-f", written(t, h.stdout.String()))); diff != "" {
			t.Errorf("%s: what inspect prints (-asked +printed):\n%s\n%s", text, diff, h.stdout)
		}
	}
}

// TestMachineFileInBackground wants the process in the background to be told all, and to read no file.
func TestMachineFileInBackground(t *testing.T) {
	h := newHarness(t)
	if got := h.run("run", "-f", written(t, `{"memory": "64M", "disk": ["a=/a", "b=/b"], "rng": true}`), "--detach", "--cpus", "2"); got != 0 {
		t.Fatalf("got exit %d; want 0\n%s", got, h.stderr)
	}
	args := h.calls[0].([]string)
	for _, want := range []string{"--memory=64M", "--disk=a=/a", "--disk=b=/b", "--rng=true", "--cpus=2"} {
		if !slices.Contains(args, want) {
			t.Errorf("got %q; want %s among it", args, want)
		}
	}
	if slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--file") }) {
		t.Errorf("got %q; want no file", args)
	}
}

func TestMachineFileThatIsWrong(t *testing.T) {
	for text, says := range map[string]string{
		"":                           "not an object",
		"[]":                         "not an object",
		"{":                          "EOF",
		`{"cpus": 1} x`:              "follows",
		`{"cpus": 1, "cpus": 2}`:     "twice",
		`{"cores": 1}`:               `no field "cores"`,
		`{"detach": true}`:           `no field "detach"`,
		`{"dirty-tracking": "ring"}`: `no field "dirty-tracking"`,
		`{"cpus": "2"}`:              "cpus: want a value of type integer",
		`{"cpus": 0}`:                "cpus",
		`{"memory": 256}`:            "memory: want a value of type string",
		`{"memory": "256"}`:          "such as 256M",
		`{"disk": "root=/x"}`:        "disk: want a value of type array",
		`{"disk": ["root"]}`:         "disk",
		`{"rng": "yes"}`:             "rng: want a value of type boolean",
		`{"name": null}`:             "null",
		`{"initrd": "x"}`:            "--kernel",
		strings.Repeat(" ", 257<<10): "longer than",
	} {
		h := newHarness(t)
		if got := h.run("run", "-f", written(t, text)); got != 2 || h.calls != nil || !strings.Contains(h.stderr.String(), says) {
			t.Errorf("%.40q: got exit %d, %v, %q; want 2, and that it says %q", text, got, h.calls, h.stderr, says)
		}
	}
	if h := newHarness(t); h.run("run", "-f", "/nonexistent/x.json") != 2 {
		t.Errorf("got %s of a file that is not there; want a usage error", h.stderr)
	}
}

// TestMachineSchema holds docs/machine.schema.json against the flags of run, both ways.
func TestMachineSchema(t *testing.T) {
	text, err := os.ReadFile("../../docs/machine.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	type property struct {
		Type        string
		Enum        []string
		Default     any
		Description string
		Maximum     int
		Pattern     string
		Minimum     int
		Items       *struct{ Type string }
	}
	var schema struct {
		Properties           map[string]property
		AdditionalProperties *bool
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.AdditionalProperties == nil || *schema.AdditionalProperties {
		t.Error("got further fields allowed; want none")
	}
	got := map[string]property{}
	for name, p := range schema.Properties {
		if p.Description == "" {
			t.Errorf("%s: got no description; want one", name)
		}
		if p.Items != nil && p.Items.Type != "string" {
			t.Errorf("%s: got items of type %s; want string", name, p.Items.Type)
		}
		p.Description, p.Items, p.Pattern, p.Minimum = "", nil, "", 0
		if name != "$schema" {
			got[name] = p
		}
	}
	want := map[string]property{}
	run, _, err := newHarness(t).root().Find([]string{"run"})
	if err != nil {
		t.Fatal(err)
	}
	run.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if slices.Contains(notInFile, f.Name) {
			return
		}
		p := property{Type: jsonKind(f)}
		if f.DefValue != "" {
			p.Default = any(f.DefValue)
		}
		switch v := f.Value.(type) {
		case *choice:
			p.Enum = v.among
		case *count:
			p.Maximum, p.Default = v.max, 1.0
		}
		if p.Type == "boolean" {
			p.Default = false
		}
		if f.Name == "cmdline" {
			p.Default = "console=ttyS0 panic=-1" // said in its help; given, it would be more than a default
		}
		want[fieldOf(f.Name)] = p
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-flags +schema):\n%s", diff)
	}
}

func FuzzMachineFile(f *testing.F) {
	f.Add(everything)
	f.Add(`{"cpus": 1e9, "disk": [null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		fields, err := decodeMachineFile([]byte(text))
		if err != nil {
			return
		}
		for _, field := range fields {
			if !json.Valid(field.value) {
				t.Errorf("%q: got %q; want JSON", field.name, field.value)
			}
		}
	})
}
