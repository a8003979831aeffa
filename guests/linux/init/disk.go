package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/guests/linux/record"
)

// sayEvery is how often a writer says how far it is, at most.
const sayEvery = 250 * time.Millisecond

// diskWriter writes the records of one region, and reads each back before it is overwritten.
type diskWriter struct {
	disk    *os.File
	name    string
	region  record.Region
	next    uint64
	torn    bool // the slot of next was torn when the guest was killed
	buf     []byte
	console *console

	durable, verified, bad atomic.Uint64 // records; verified: before they were overwritten
}

// openDisk makes the writers of a disk ready. Direct access: what is read comes from the disk.
func openDisk(o diskOption, c *console) ([]*diskWriter, error) {
	return newWriters("/dev/"+o.name, o, c, unix.O_DIRECT)
}

// newWriters opens the file with further flags, and checks what earlier writers left in it.
func newWriters(path string, o diskOption, c *console, flags int) (all []*diskWriter, err error) {
	disk, err := os.OpenFile(path, os.O_RDWR|flags, 0)
	if err != nil {
		return nil, err
	}
	for i := range o.writers {
		// A mapping is aligned as direct access wants it.
		buf, err := unix.Mmap(-1, 0, record.Size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return nil, err
		}
		w := &diskWriter{
			disk: disk, name: o.name, region: record.Region{Writer: i, Slots: o.slots}, buf: buf, console: c,
		}
		found, err := w.region.Scan(disk, buf)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, f := range found.Wrong {
			w.wrong(f.Err)
		}
		w.next, w.torn = found.Last+1, found.InFlight
		w.durable.Store(found.Last)
		all = append(all, w)
	}
	return all, nil
}

func (w *diskWriter) work() {
	said := time.Now()
	for {
		if err := w.step(); err != nil {
			w.wrong(err)
			return
		}
		if now := time.Now(); now.Sub(said) >= sayEvery {
			said = now
			w.console.line("DISK %d %d", w.durable.Load(), w.region.Writer)
		}
	}
}

// step replaces the oldest record, once it is verified, by the next, and returns when that is durable. Its error is
// the disk's.
func (w *diskWriter) step() error {
	at := w.region.Offset(w.region.Slot(w.next))
	if _, err := w.disk.ReadAt(w.buf, at); err != nil {
		return err
	}
	before := w.region.Before(w.next)
	switch err := w.region.Check(w.buf, before); {
	case w.torn:
		w.torn = false
	case err != nil:
		w.wrong(err)
	case before > 0:
		w.verified.Add(1)
	}
	w.region.Record(w.next).Encode(w.buf)
	if _, err := w.disk.WriteAt(w.buf, at); err != nil {
		return err
	}
	if err := w.disk.Sync(); err != nil {
		return err
	}
	w.durable.Store(w.next)
	w.next++
	return nil
}

// wrong shows and counts what was found.
func (w *diskWriter) wrong(err error) {
	w.bad.Add(1)
	w.console.wrong("DISKBAD writer=%d %v", w.region.Writer, err)
}

func (w *diskWriter) total() string {
	return fmt.Sprintf("disk=%s writer=%d durable=%d verified=%d bad=%d",
		w.name, w.region.Writer, w.durable.Load(), w.verified.Load(), w.bad.Load())
}
