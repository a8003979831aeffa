package vmm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/guests/loadgen"
	"github.com/ferryvmm/ferry/migration"
)

// builtinKernel is what people see as the kernel of a guest without --kernel.
const builtinKernel = "loadgen"

// Ids of the boot images in a move.
const (
	imageKernel = "kernel"
	imageInitrd = "initrd"
)

// maxImage bounds a boot image that a peer sends, in bytes.
const maxImage = 1 << 30

// images are what the guest boots from, now and after a reset. They move with
// it, unless the target has the same bytes built in.
type images struct {
	kernel     io.ReaderAt
	kernelSize int64
	initrd     io.ReaderAt // nil: none
	initrdSize int64
	files      []*os.File // to close

	once sync.Once // guards infos and err: hashing waits until a move wants it
	info []ImageInfo
	err  error
}

// openImages takes the boot images out of what was handed over. The kernel is
// the one built in if there is none.
func openImages(files fileSet) (*images, error) {
	im, err := takeImages(files)
	if err == nil && im.kernel == nil {
		im.builtin()
	}
	return im, err
}

// takeImages takes those boot images that were handed over.
func takeImages(files fileSet) (*images, error) {
	im := &images{}
	if f := files.take(RoleKernel); f != nil {
		im.files = append(im.files, f)
		st, err := f.Stat()
		if err != nil {
			return im, err
		}
		im.kernel, im.kernelSize = f, st.Size()
	}
	if f := files.take(RoleInitrd); f != nil {
		im.files = append(im.files, f)
		st, err := f.Stat()
		if err != nil {
			return im, err
		}
		im.initrd, im.initrdSize = f, st.Size()
	}
	return im, nil
}

func (im *images) builtin() {
	elf := loadgen.ELF()
	im.kernel, im.kernelSize = bytes.NewReader(elf), int64(len(elf))
}

func (im *images) close() {
	for _, f := range im.files {
		f.Close()
	}
}

// describe hashes the images.
func (im *images) describe() ([]ImageInfo, error) {
	im.once.Do(func() {
		im.info, im.err = hashImages(im)
	})
	return im.info, im.err
}

func hashImages(im *images) ([]ImageInfo, error) {
	var infos []ImageInfo
	for _, i := range []struct {
		id   string
		r    io.ReaderAt
		size int64
	}{{imageKernel, im.kernel, im.kernelSize}, {imageInitrd, im.initrd, im.initrdSize}} {
		if i.r == nil {
			continue
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(i.r, 0, i.size)); err != nil {
			return nil, fmt.Errorf("reading the %s: %w", i.id, err)
		}
		infos = append(infos, ImageInfo{ID: i.id, Size: i.size, SHA256: [32]byte(h.Sum(nil))})
	}
	return infos, nil
}

// blobs are the images in the words of a move.
func blobs(infos []ImageInfo) []migration.BlobInfo {
	b := make([]migration.BlobInfo, len(infos))
	for i, f := range infos {
		b[i] = migration.BlobInfo{ID: f.ID, Size: uint64(f.Size), SHA256: f.SHA256}
	}
	return b
}

// readers are the images' bytes by id.
func (im *images) readers() map[string]io.ReaderAt {
	m := map[string]io.ReaderAt{imageKernel: im.kernel}
	if im.initrd != nil {
		m[imageInitrd] = im.initrd
	}
	return m
}

// incoming returns where to put an image that a source offers, or nil if this
// binary has it.
func (im *images) incoming(b migration.BlobInfo) (io.WriteCloser, error) {
	if b.ID == imageKernel && im.kernel != nil || b.ID == imageInitrd && im.initrd != nil {
		return nil, nil // handed over
	}
	if b.Size > maxImage {
		return nil, &migration.Refusal{Code: "image", Message: fmt.Sprintf("the %s of %d bytes is over the limit of %d", b.ID, b.Size, maxImage), Remedy: "boot the guest from a smaller one"}
	}
	if b.ID == imageKernel && b.SHA256 == sha256.Sum256(loadgen.ELF()) {
		im.builtin()
		return nil, nil
	}
	fd, err := unix.MemfdCreate(b.ID, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory for the %s: %w", b.ID, err)
	}
	f := os.NewFile(uintptr(fd), b.ID)
	im.files = append(im.files, f)
	switch b.ID {
	case imageKernel:
		im.kernel, im.kernelSize = f, int64(b.Size)
	case imageInitrd:
		im.initrd, im.initrdSize = f, int64(b.Size)
	default:
		return nil, errors.New("unknown boot image " + b.ID)
	}
	return &imageWriter{f: f}, nil
}

// imageWriter keeps the file open behind Close: the guest may boot from it.
type imageWriter struct{ f *os.File }

func (w *imageWriter) Write(p []byte) (int, error) { return w.f.Write(p) }
func (w *imageWriter) Close() error                { return nil }
