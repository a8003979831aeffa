package loadgen_test

import (
	"os"
	"path/filepath"
	"testing"
)

// newDisk makes an image of MiB.
func newDisk(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "disk")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(size << 20); err != nil {
		t.Fatal(err)
	}
	return path
}

func checkDisk(t *testing.T, s stat, lines []string) {
	t.Helper()
	checkNothingWrong(t, s, lines)
	if s["blk_bad"] != 0 || s["blk_lost"] != 0 {
		t.Errorf("got %v; want nothing bad or lost", s)
	}
}

func TestDiskIsVerified(t *testing.T) {
	for _, c := range []struct {
		name    string
		boot    boot
		cmdline string
		size    int64
		options string // QEMU's
	}{
		{"vmm, many in flight", bootFerry, "", 256, ""},
		{"vmm, one in flight", bootFerry, "blkdepth=1", 1, ""},
		{"vmm, slowly", bootFerry, "blkrate=300", 64, ""},
		{"qemu, many in flight", bootQEMU, "", 256, ""},
		{"qemu, no indirect descriptors", bootQEMU, "blkdepth=128", 64, ",indirect_desc=off"},
		{"qemu, no event index", bootQEMU, "", 64, ",event_idx=off"},
		{"qemu, only reads and writes", bootQEMU, "", 64, ",discard=off,write-zeroes=off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			disk := newDisk(t, c.size)
			r := c.boot(t, guest{disk: disk, options: c.options,
				cmdline: "heartbeat=10000 verify=16 blkverify=1 " + c.cmdline})
			s, lines := r.until(t, "records written and read", func(s stat) bool { return s["blk_done"] > 500 && s["blk_iops"] > 0 })
			checkDisk(t, s, lines)
			if s["blk_mib_s"] <= 0 || s["blk_p50_us"] <= 0 || s["blk_p99_us"] < s["blk_p50_us"] {
				t.Errorf("got %v; want a rate and times", s)
			}
		})
	}
}

func TestDiskLoad(t *testing.T) {
	for _, load := range []string{"randread", "randwrite", "seqread blksize=65536 blkdepth=4", "seqwrite blksize=1000"} {
		t.Run(load, func(t *testing.T) {
			underEach(t, func(t *testing.T, boot boot) {
				r := boot(t, guest{disk: newDisk(t, 64), cmdline: "heartbeat=10000 verify=16 blkload=" + load})
				s, lines := r.until(t, "requests done", func(s stat) bool { return s["blk_done"] > 500 && s["blk_mib_s"] > 0 })
				checkDisk(t, s, lines)
			})
		})
	}
}

// Each record that is damaged behind the guest's back is found, and once.
func TestNoticesADamagedDisk(t *testing.T) {
	t.Parallel()
	disk := newDisk(t, 1)
	r := bootQEMU(t, guest{disk: disk, options: ",discard=off,write-zeroes=off",
		cmdline: "heartbeat=10000 verify=16 blkverify=1 blkrate=2000"})
	r.until(t, "records written", func(s stat) bool { return s["blk_done"] > 2000 })
	file, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const record = 77
	number := make([]byte, 1)
	if _, err := file.ReadAt(number, record*pageSize+8); err != nil {
		t.Fatal(err)
	}
	if number[0] != record {
		t.Fatalf("got the number %d in record %d", number[0], record)
	}
	// It may be overwritten before it is read.
	for s := (stat{}); s["blk_bad"] == 0; {
		if _, err := file.WriteAt([]byte{record ^ 1}, record*pageSize+8); err != nil {
			t.Fatal(err)
		}
		s, _ = r.until(t, "another line", func(stat) bool { return true })
		if s["corrupt"] != s["blk_bad"] {
			t.Errorf("got %v; want what is bad counted as corrupt", s)
		}
	}
}

// A disk that keeps nothing, one that fails, and one that cannot be written to.
func TestNoticesABadDisk(t *testing.T) {
	const lossy, failing = "driver=null-co,size=64M,read-zeroes=on", "driver=raw,file.driver=blkdebug,file.inject-error.0.event=read_aio,file.image.driver=null-co,file.image.size=64M"
	for _, c := range []struct{ name, drive, report string }{
		{"forgets", lossy, "CORRUPT page=record"},
		{"fails", failing, "CORRUPT page=blkstatus"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := bootQEMU(t, guest{drive: c.drive, options: ",discard=off,write-zeroes=off",
				cmdline: "heartbeat=10000 verify=16 blkverify=1 blkrate=1000"})
			r.await(t, c.report)
			r.until(t, "bad ones", func(s stat) bool { return s["blk_bad"] > 0 })
		})
	}
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		r := bootQEMU(t, guest{drive: lossy + ",read-only=on", cmdline: "blkload=seqwrite"})
		if line, _ := r.await(t, "WARN"); line != "WARN no device for blkload blkverify" {
			t.Errorf("got %q; want no device that will do", line)
		}
	})
}
