package blk_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio/blk"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// Records of the test that kills.
const (
	recordSize = 4096
	records    = 4096
	killChild  = "BLK_TEST_KILL_CHILD" // the image that the child writes to
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is numbered and checksummed.
func record(n uint32) []byte {
	b := make([]byte, recordSize)
	r := rand.NewPCG(uint64(n), 7)
	for i := 8; i < recordSize; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	binary.LittleEndian.PutUint32(b[4:], n)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// TestKill kills a process that serves a disk, again and again, at any moment:
// what its guest has flushed is in the image, whole.
func TestKill(t *testing.T) {
	if path := os.Getenv(killChild); path != "" {
		writeUntilKilled(t, path)
		return
	}
	onEngines(t, func(t *testing.T, _ blk.Opener) {
		engine := filepath.Base(t.Name())
		for run := range 8 {
			path := filepath.Join(t.TempDir(), "disk.img")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, records*recordSize); err != nil {
				t.Fatal(err)
			}
			flushed := killOne(t, path, engine, rand.IntN(60)+run)
			image, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for n := range flushed {
				want(t, fmt.Sprintf("run %d: record %d of %d that were flushed", run, n, flushed), record(n), image[n*recordSize:][:recordSize])
			}
		}
	})
}

// killOne runs a child until it has told of some flushes, kills it, and returns
// how many records it had flushed.
func killOne(t *testing.T, path, engine string, flushes int) (flushed uint32) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run", "^TestKill$")
	child.Env = append(os.Environ(), killChild+"="+path, killChild+"_ENGINE="+engine)
	child.Stdout, child.Stderr = os.Stderr, os.Stderr
	told, tells, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	child.ExtraFiles = []*os.File{tells}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	tells.Close()
	lines := bufio.NewScanner(told)
	for i := 0; lines.Scan(); i++ {
		n, err := strconv.ParseUint(lines.Text(), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		flushed = uint32(n)
		if i == flushes {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); child.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", err)
	}
	if flushed == 0 {
		t.Fatal("the child flushed nothing")
	}
	return flushed
}

// writeUntilKilled writes records, some at a time, flushes now and then, and
// tells on descriptor 3 how many of the first are safe.
func writeUntilKilled(t *testing.T, path string) {
	tells := os.NewFile(3, "tells")
	c := blk.Config{Name: "root", File: openFile(t, path, os.O_RDWR), Size: records * recordSize, BlockSize: 512, Queues: 1,
		Engine: engines[os.Getenv(killChild+"_ENGINE")]}
	d := newDisk(t, c, virtiotest.Options{Indirect: true})
	for n, step := uint32(0), uint32(1); ; step = step%7 + 1 {
		var writes []*virtiotest.Request
		for range step {
			if n == records {
				select {} // all is written: wait for the end
			}
			writes = append(writes, d.q.Send([][]byte{header(tOut, uint64(n)*recordSize/512), record(n)}, 1))
			n++
		}
		for _, w := range writes {
			if got := d.status(d.q.Wait(w)); got != ok {
				t.Fatalf("write: got status %d; want ok", got)
			}
		}
		if got := d.do(tFlush, 0); got != ok {
			t.Fatalf("flush: got status %d; want ok", got)
		}
		fmt.Fprintln(tells, n)
	}
}
