package migration_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/migration"
)

// text makes a guest's data compressible, but for what it writes.
func (b *bench) text(t testing.TB) {
	t.Helper()
	line := []byte(strings.Repeat("a page of text, as there are many; ", 30000)[:mib])
	for at := uint64(0); at < 24*mib; at += mib {
		for i := 0; i < mib; i += 512 {
			line[i] = byte(uint64(i) * at >> 9)
		}
		if err := b.guest.VM.Write(line, at); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCompress moves a writing guest with each compression, and to a target of an older version.
func TestCompress(t *testing.T) {
	for _, how := range []migration.Compression{migration.CompressAuto, migration.CompressS2, migration.CompressZstd, migration.CompressDelta} {
		for _, version := range []uint16{migration.VersionMax, migration.VersionMax - 1} {
			b := newBench(t, 2000)
			b.text(t)
			b.send.Compress, b.send.Bandwidth = how, 800e6
			b.recv.Hello.VersionMax = version
			e := b.run(t, within(t, 30*time.Second))
			if e.sentErr != nil || e.receivedErr != nil {
				t.Fatalf("%s: got %v, %v; want it moved", how, e.sentErr, e.receivedErr)
			}
			b.wantMoved(t)
			r := e.sent
			if got, want := e.received.PageBytes, r.PageBytes; got != want {
				t.Errorf("%s: page bytes at the target: got %d; want %d", how, got, want)
			}
			var pages, in, out uint64
			for _, c := range r.Compress.Codecs {
				pages, in, out = pages+c.Pages, in+c.InBytes, out+c.OutBytes
			}
			if pages != r.Pages.Data || in != pages*4096 || out != r.PageBytes {
				t.Errorf("%s: the codecs' sums are %d pages, %d and %d bytes; want %d pages and %d bytes: %+v", how, pages, in, out, r.Pages.Data, r.PageBytes, r.Compress)
			}
			old := version < migration.VersionMax
			if packed := r.PageBytes < r.Pages.Data*4096; packed == old && (old || how != migration.CompressDelta) {
				t.Errorf("%s with version %d: got %+v", how, version, r.Compress)
			}
			if old && !strings.Contains(r.Compress.Reason, "does not unpack") {
				t.Errorf("%s with version %d: got the reason %q", how, version, r.Compress.Reason)
			}
		}
	}
}

// TestCompressOverChannels: what one channel sent is what another's differences are made from.
func TestCompressOverChannels(t *testing.T) {
	b := newBench(t, 4000)
	b.pulls(t) // for its connections
	b.text(t)
	b.send.Mode, b.send.Compress, b.send.Channels, b.send.Bandwidth = migration.Precopy, migration.CompressAuto, 3, 800e6
	b.recv.Hello.VersionMax = migration.VersionMax
	e := b.run(t, within(t, 30*time.Second))
	if e.sentErr != nil || e.receivedErr != nil {
		t.Fatalf("got %v, %v; want it moved", e.sentErr, e.receivedErr)
	}
	b.wantMoved(t)
	if r := e.sent; len(r.Channels) != 3 || r.PageBytes != e.received.PageBytes || r.PageBytes > r.Pages.Data*4095 {
		t.Errorf("got %d channels, %d bytes of pages, %d at the target, for %d pages", len(r.Channels), r.PageBytes, e.received.PageBytes, r.Pages.Data)
	}
}

// TestCompressedPull moves a guest whose memory follows it, packed.
func TestCompressedPull(t *testing.T) {
	for _, how := range []migration.Compression{migration.CompressAuto, migration.CompressZstd} {
		b := newBench(t, 2000)
		b.pulls(t)
		b.text(t)
		b.send.Mode, b.send.Compress, b.send.Bandwidth = migration.Postcopy, how, 800e6
		b.recv.Hello.VersionMax = migration.VersionMax
		e := b.run(t, within(t, 30*time.Second))
		if e.sentErr != nil || e.receivedErr != nil {
			t.Fatalf("%s: got %v, %v; want it moved", how, e.sentErr, e.receivedErr)
		}
		b.wantMoved(t)
		most := uint64(4096 / 2)
		if how == migration.CompressAuto { // a busy host packs less
			most = 4095
		}
		if r := e.sent; r.PageBytes > r.Pages.Data*most {
			t.Errorf("%s: got %d bytes of pages for %d pages; want fewer: %+v", how, r.PageBytes, r.Pages.Data, r.Compress)
		}
	}
}

// altered is a connection that alters one byte of what it reads.
type altered struct {
	net.Conn
	at, read int
}

func (a *altered) Read(p []byte) (int, error) {
	n, err := a.Conn.Read(p)
	if a.at >= a.read && a.at < a.read+n {
		p[a.at-a.read] ^= 0x10
	}
	a.read += n
	return n, err
}

// TestCorruptPackedPage: the move fails, says which pages are damaged, and the guest runs on.
func TestCorruptPackedPage(t *testing.T) {
	b := newBench(t, 0)
	b.text(t)
	b.send.Compress = migration.CompressZstd
	b.recv.Hello.VersionMax = migration.VersionMax
	b.recv.Bulk = &altered{Conn: b.recv.Bulk, at: 20_000}
	e := b.run(t, within(t, 30*time.Second))
	if !errors.Is(e.receivedErr, migration.ErrCorrupt) || e.sent.Outcome != migration.OutcomeFailed {
		t.Errorf("got %v, %s; want it failed, ErrCorrupt at the target", e.receivedErr, e.sent.Outcome)
	}
	if e.sentErr == nil || !strings.Contains(e.sentErr.Error(), "pages at 0x") {
		t.Errorf("got %v at the source; want it to name the pages", e.sentErr)
	}
	b.wantHome(t)
}
