package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/client"
	"github.com/ferryvmm/ferry/tests/drive"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// TestExamples runs the examples where there is KVM, and wants them to print what they say.
func TestExamples(t *testing.T) {
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	kvm.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	if _, err := drive.Build(ctx, dir); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, example := range map[string]func(){"ExampleHost_Run": ExampleHost_Run, "ExampleHost_Receive": ExampleHost_Receive} {
		t.Setenv("FERRY_DIR", t.TempDir())
		if got, want := printed(t, example), promised(t, string(source), name); got != want {
			t.Errorf("%s: got\n%s; want\n%s", name, got, want)
		}
	}
}

// printed is what a function prints.
func printed(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	read := make(chan string)
	go func() {
		var all bytes.Buffer
		_, _ = io.Copy(&all, r)
		read <- all.String()
	}()
	stdout := os.Stdout
	os.Stdout = w
	f()
	os.Stdout = stdout
	w.Close()
	return <-read
}

// promised is what an example says that it prints.
func promised(t *testing.T, source, name string) string {
	t.Helper()
	_, body, _ := strings.Cut(source, "func "+name+"()")
	body, _, _ = strings.Cut(body, "\n}\n")
	_, said, ok := strings.Cut(body, "// It prints:\n")
	if !ok {
		t.Fatalf("%s does not say what it prints", name)
	}
	var lines []string
	for line := range strings.Lines(said) {
		lines = append(lines, strings.TrimPrefix(strings.TrimSpace(line), "// "))
	}
	return strings.Join(lines, "\n") + "\n"
}

// script is a Host whose command is a shell script.
func script(t *testing.T, text string) client.Host {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vmm")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return client.Host{Dir: t.TempDir(), Command: path}
}

func TestStartThatFails(t *testing.T) {
	h := script(t, `echo '{"error":{"code":"no_kvm","message":"no /dev/kvm","remedy":"load it"}}'; exit 1`)
	_, err := h.Run(t.Context())
	if known, ok := errors.AsType[*api.Error](err); !ok || known.Code != "no_kvm" || known.Remedy != "load it" {
		t.Errorf("got %v; want the command's error", err)
	}
	if _, _, err := script(t, "echo no JSON").Receive(t.Context()); err == nil {
		t.Error("got no error of a command that makes no sense; want one")
	}
	if _, err := (client.Host{Command: "/nonexistent/vmm"}).Run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v; want that there is no such command", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("it takes too long")
	cancel(why)
	if _, err := h.Run(ctx); !errors.Is(err, why) {
		t.Errorf("got %v; want %v", err, why)
	}
}

func TestStartPassesFlagsAndFolder(t *testing.T) {
	h := script(t, `echo "{\"name\":\"$*\",\"socket\":\"$FERRY_DIR/x.sock\",\"listening\":\"tcp:h:1\"}"`)
	address, c, err := h.Receive(t.Context(), "--listen", "tcp:h:0")
	if err != nil || address != "tcp:h:1" || c.Socket() != filepath.Join(h.Dir, "x.sock") {
		t.Errorf("got %q, %v, %v; want the address and the socket in %s", address, c, err, h.Dir)
	}
}

func TestMachineThatIsNotThere(t *testing.T) {
	h := client.Host{Dir: t.TempDir()}
	c, err := h.Machine("alpha")
	if err != nil {
		t.Fatal(err)
	}
	err = c.Pause(t.Context())
	if known, ok := errors.AsType[*api.Error](err); !ok || known.Code != api.CodeNoSuchMachine {
		t.Errorf("got %v; want code %s", err, api.CodeNoSuchMachine)
	}
	if _, err := h.Machine("../alpha"); err == nil {
		t.Error("got a machine with a path as its name; want an error")
	}
	if err := os.WriteFile(filepath.Join(h.Dir, "dead.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := h.Machines(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("got %v, %v; want none", all, err)
	}
}
