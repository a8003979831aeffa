package e2e

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// TestDeb makes the Debian package, and has dpkg install it into a folder, keep what the administrator has changed, and take it away again.
func TestDeb(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	root, err := drive.Root(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"dpkg", "dpkg-deb"} {
		if _, err := osexec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := osexec.CommandContext(ctx, name, args...)
		cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	file := filepath.Join(dir, "ferry.deb")
	// The command is built already, and so is the tree that is packaged.
	run("make", "-C", root, "deb", "-o", "build", "BIN="+vmm, "DEB="+file, "DEBTIME=1700000000")

	if info := run("dpkg-deb", "-I", file); !regexp.MustCompile(`(?s)Package: ferry\n Version: 0\.0\.0~20231114221320\n Architecture: amd64\n.*Installed-Size: \d{5}\n`).MatchString(info) {
		t.Errorf("got %s; want what the package is", info)
	}
	list := run("dpkg-deb", "-c", file)
	for _, want := range []string{
		`-rwxr-xr-x root/root +\d+ 2023-11-14 22:13 ./usr/bin/vmm`, `-rw-r--r-- .* ./usr/lib/systemd/system/ferry@.service`, `.* ./usr/lib/systemd/system/ferry-receive@.service`,
		`.* ./usr/share/man/man1/vmm-migrate.1.gz`, `.* ./usr/share/bash-completion/completions/vmm`, `.* ./usr/share/zsh/site-functions/_vmm`,
		`.* ./usr/share/fish/vendor_completions.d/vmm.fish`, `.* ./usr/share/doc/ferry/copyright`, `.* ./usr/share/doc/ferry/docs/cli.md`, `.* ./usr/share/doc/ferry/openapi.json`, `.* ./etc/ferry/receive.conf`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(list) {
			t.Errorf("got no %s in\n%s", want, list)
		}
	}
	if bad := regexp.MustCompile(`(?m)^.{10} (root/[^r].*|[^r].*)$`).FindString(list); bad != "" {
		t.Errorf("got %q; want all of it root's", bad)
	}

	// A system of nothing but dpkg's notes. The scripts are run beside it, and told so.
	sys := filepath.Join(dir, "system")
	for _, folder := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		if err := os.MkdirAll(filepath.Join(sys, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(sys, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg := func(args ...string) string {
		t.Helper()
		return run("dpkg", append([]string{"--root=" + sys, "--force-script-chrootless", "--force-confold", "--log=" + filepath.Join(dir, "log")}, args...)...)
	}
	if os.Geteuid() != 0 {
		run("dpkg-deb", "--extract", file, sys) // dpkg itself wants root
		return
	}
	dpkg("--install", file)
	if got, want := run(filepath.Join(sys, "usr/bin/vmm"), "version"), run(vmm, "version"); got != want {
		t.Errorf("got version %q; want %q", got, want)
	}
	if left := dpkg("--verify", "ferry"); left != "" {
		t.Errorf("got %s from dpkg --verify; want that all is as packaged", left)
	}
	conf := filepath.Join(sys, "etc/ferry/receive.conf")
	if err := os.WriteFile(conf, []byte("ADDRESS=192.0.2.7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg("--install", file)
	if text, err := os.ReadFile(conf); err != nil || string(text) != "ADDRESS=192.0.2.7\n" {
		t.Errorf("got %q, %v; want the administrator's file as it was", text, err)
	}
	dpkg("--remove", "ferry")
	if _, err := os.Stat(conf); err != nil {
		t.Errorf("got %v; want the administrator's file still there", err)
	}
	dpkg("--purge", "ferry")
	for _, path := range tree(t, sys) {
		if !strings.HasPrefix(path, "var/lib/dpkg/") {
			t.Errorf("got %s left; want nothing", path)
		}
	}
}
