package image

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// openTwice opens one image as two hosts do.
func openTwice(t *testing.T, ro bool) (a, b *os.File) {
	t.Helper()
	s := Spec{ID: "d", Path: tempImage(t, 1<<20), ReadOnly: ro}
	return mustOpen(t, s).File, mustOpen(t, s).File
}

func TestLock(t *testing.T) {
	a, b := openTwice(t, false)
	for i, step := range []struct {
		f    *os.File
		ro   bool
		want error
	}{
		{a, false, nil},
		{a, false, nil}, // again, it has it
		{b, false, ErrLocked},
		{b, true, ErrLocked},
		{a, true, nil}, // only reads from now on
		{b, true, nil},
		{a, false, ErrLocked},
	} {
		if err := Lock(step.f, step.ro); !errors.Is(err, step.want) {
			t.Fatalf("step %d: got %v; want %v", i, err, step.want)
		}
	}
	if err := Unlock(b); err != nil {
		t.Fatal(err)
	}
	if err := Lock(a, false); err != nil {
		t.Errorf("after the other let go: %v", err)
	}
	var f *Failure
	if err := Lock(b, false); !errors.As(err, &f) || !strings.Contains(f.Message, a.Name()) || f.Remedy == "" || f.code != "image_locked" {
		t.Errorf("got %#v; want a Failure that names %s", err, a.Name())
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Lock(b, false); err != nil {
		t.Errorf("after the other was closed: %v", err)
	}
}

func TestLockWithin(t *testing.T) {
	a, b := openTwice(t, false)
	if err := Lock(a, false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error)
	go func() { got <- LockWithin(ctx, b, false) }()
	time.AfterFunc(3*retryInterval, func() { _ = Unlock(a) })
	if err := <-got; err != nil {
		t.Fatalf("got %v; want the lock once the other let go", err)
	}
	go func() { got <- LockWithin(ctx, a, false) }()
	cancel()
	if err := <-got; !errors.Is(err, ErrLocked) {
		t.Errorf("called off: got %v; want ErrLocked", err)
	}
}

func TestWitness(t *testing.T) {
	for _, ro := range []bool{false, true} {
		source, target := openTwice(t, ro)
		stranger := mustOpen(t, Spec{ID: "d", Path: tempImage(t, 1<<20)}).File
		const token = 1<<63 + 12345
		check := func(when string, f *os.File, token uint64, want bool) {
			t.Helper()
			if got, err := Witnessed(f, token); got != want || err != nil {
				t.Errorf("%s: got %v, %v; want %v", when, got, err, want)
			}
		}
		if err := Lock(source, ro); err != nil {
			t.Fatal(err)
		}
		check("only locked", target, token, false)
		if err := Witness(source, token); err != nil {
			t.Fatal(err)
		}
		check("witnessed", target, token, true)
		check("another token", target, token+1, false)
		check("another image", stranger, token, false)
		check("by oneself", source, token, false)
		if err := Unlock(source); err != nil {
			t.Fatal(err)
		}
		check("unlocked", target, token, true)
		if err := Lock(target, ro); err != nil {
			t.Errorf("lock beside a witness: %v", err)
		}
		if err := Forget(source, token); err != nil {
			t.Fatal(err)
		}
		check("forgotten", target, token, false)
	}
}

// TestQEMU has QEMU hold an image, and Ferry.
func TestQEMU(t *testing.T) {
	const qemu = "qemu-system-x86_64"
	if _, err := exec.LookPath(qemu); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	path := tempImage(t, 1<<20)
	rw, ro := mustOpen(t, Spec{ID: "d", Path: path}).File, mustOpen(t, Spec{ID: "d", Path: path, ReadOnly: true}).File
	command := exec.Command(qemu, "-M", "microvm", "-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none", "-S", "-qmp", "stdio",
		"-drive", "if=none,id=d,format=raw,file.locking=on,file="+path, "-device", "virtio-blk-device,drive=d")
	command.WaitDelay = time.Second
	if err := Lock(ro, true); err != nil {
		t.Fatal(err)
	}
	if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "lock") {
		t.Errorf("QEMU beside a reader: got %v, %s; want that it finds the lock", err, out)
	}
	if err := Unlock(ro); err != nil {
		t.Fatal(err)
	}

	command = exec.Command(command.Path, command.Args[1:]...)
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = command.Wait() }()
	defer in.Close()
	defer func() { _, _ = in.Write([]byte(`{"execute":"quit"}`)) }()
	// It answers once it has made all its devices.
	if _, err := in.Write([]byte(`{"execute":"qmp_capabilities"}`)); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			t.Fatalf("QEMU's answer: %v", lines.Err())
		}
		if strings.Contains(lines.Text(), `"return"`) {
			break
		}
	}
	for name, err := range map[string]error{"writer": Lock(rw, false), "reader": Lock(ro, true)} {
		if !errors.Is(err, ErrLocked) {
			t.Errorf("%s beside QEMU: got %v; want ErrLocked", name, err)
		}
	}
}
