package vmm

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration"
)

// TestOrigins wants whole pages that were read to be known by their image, and peers to read nothing but images that a guest only reads.
func TestOrigins(t *testing.T) {
	const page = guestmem.PageSize
	content := make([]byte, 8*page)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	image := openImage(t, path)
	defer image.Close()
	layout := guestmem.Layout{{GPA: 0, Size: 16 * page}, {GPA: 64 * page, Size: 16 * page}}
	writable, readable := &disk{id: "a"}, &disk{id: "b", pages: image}
	if o := newOrigins([]*disk{writable}, layout); o != nil || o.of(writable) != nil {
		t.Error("an image that the guest writes is looked at")
	}
	o := newOrigins([]*disk{writable, readable}, layout)
	if o.of(writable) != nil {
		t.Error("reads of an image that the guest writes are told")
	}
	tell := o.of(readable)
	tell(2*page, 2*page, page)            // two pages
	tell(64*page+512, 3*page, 4*page+512) // two whole ones in the middle
	tell(10*page, page, 512)              // a page of memory, none of the image
	tell(12*page, page-512, 0)            // none
	tell(1<<40, page, 0)                  // outside of memory: nothing happens
	got := make(map[uint64]migration.Origin)
	for n := range uint64(90) {
		if from, ok := o.Origin(n * page); ok {
			got[n] = from
		}
	}
	want := map[uint64]migration.Origin{
		2: {Image: 1, Offset: page}, 3: {Image: 1, Offset: 2 * page}, 65: {Image: 1, Offset: 5 * page}, 66: {Image: 1, Offset: 6 * page},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("origins (-want +got):\n%s", diff)
	}
	p := make([]byte, page)
	if err := o.ReadPage(p, want[65]); err != nil || !bytes.Equal(p, content[5*page:6*page]) {
		t.Errorf("got %v or another page", err)
	}
	for _, bad := range []migration.Origin{{Image: 0}, {Image: 2}, {Image: 1 << 31}, {Image: 1, Offset: 8 * page}, {Image: 1, Offset: 1<<64 - page}, {Image: 1, Offset: 1 << 62}} {
		if err := o.ReadPage(p, bad); err == nil {
			t.Errorf("%+v can be read", bad)
		}
	}
}
