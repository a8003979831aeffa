package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// helloOf is the first thing on a connection, of a program that speaks only
// one version of the protocol.
func helloOf(version uint16) []byte {
	b := make([]byte, 64)
	copy(b, "FERRYMIG")
	binary.LittleEndian.PutUint16(b[8:], version)
	binary.LittleEndian.PutUint16(b[10:], version)
	b[12] = 1 // control
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// TestSourceOfAnotherVersion is refused with an answer, and the receiver
// listens on.
func TestSourceOfAnotherVersion(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{})
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(target.Listening, "tcp:")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.Lab.Hosts[0].Dial(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(helloOf(9)); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(answer), "version") {
		t.Errorf("got answer %q, %v; want why, and the end", answer, err)
	}
	if log := exec(t, ctx, w.Sites[1], 0, "logs", "receive-"+port); !strings.Contains(log.Stdout, "version") {
		t.Errorf("got no word of it in the log\n%s", log)
	}
	m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening)
	if err != nil || m.Outcome != "completed" {
		t.Fatalf("got %+v, %v; want it completed", m, err)
	}
	if err := trip.Observer.WaitBeats(ctx, "target", 1, 40); err != nil {
		t.Error(err)
	}
	exec(t, ctx, w.Sites[1], 0, "stop", "alpha")
	endInOrder(t, ctx, trip.Process, target)
}

// otherVersion builds the command as it is but for the version of the protocol.
func otherVersion(t *testing.T, ctx context.Context) string {
	t.Helper()
	root, err := drive.Root(ctx)
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(root, "migration", "hello.go")
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, "hello.go")
	ours := []byte("\tVersionMin = 1\n\tVersionMax = 4 ")
	if bytes.Count(text, ours) != 1 {
		t.Fatalf("got %s without %q; want the versions there", source, ours)
	}
	text = bytes.Replace(text, ours, []byte("\tVersionMin = 8\n\tVersionMax = 9 "), 1)
	if err := os.WriteFile(changed, text, 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: changed}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := drive.Build(ctx, dir, "-overlay", file)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTargetOfAnotherVersion: a receiver that speaks only later versions says
// so, and the guest goes on where it is.
func TestTargetOfAnotherVersion(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	w.Sites[1].Vmm = otherVersion(t, ctx)
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening)
	if err != nil {
		t.Fatal(err)
	}
	failedAtSource(t, m, "failed")
	if m.Error == nil || m.Error.Code != "version" || !strings.Contains(m.Error.Message, "8 to 9") || !strings.Contains(m.Error.Message, "1 to 4") {
		t.Errorf("got error %+v; want code version, and both sides' versions", m.Error)
	}
	stays(t, ctx, trip)
	interrupted(t, ctx, target)
	w.Sites[1].Vmm = vmm
	movesAfterAll(t, ctx, w, trip)
}
