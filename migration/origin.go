package migration

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/ferryvmm/ferry/migration/pack"
)

// Images are disk images that both hosts of a move have open and that no guest can write. Several goroutines use them at once.
type Images interface {
	// Origin tells which page of an image the guest has read into the page at gpa. It may have written that since.
	Origin(gpa uint64) (Origin, bool)
	// Note tells that the page at gpa has come from an image.
	Note(gpa uint64, from Origin)
	// ReadPage fills a page with what an image has. The error names the image; from may be what a peer made up.
	ReadPage(page []byte, from Origin) error
}

// Origin is a page of a disk image.
type Origin struct {
	Image  uint32 // its number, the same at both hosts
	Offset uint64 // in bytes, a multiple of the page size
}

// originSize is the length of a reference to an image in bytes: the page's fingerprint, number u32 and offset u64, little-endian.
const originSize = pack.PrintSize + 4 + 8

// append appends a reference to the page with that fingerprint.
func (o Origin) append(b []byte, print pack.Print) []byte {
	b = binary.LittleEndian.AppendUint32(append(b, print[:]...), o.Image)
	return binary.LittleEndian.AppendUint64(b, o.Offset)
}

// parseOrigin reads what append has written.
//
// Precondition: b has originSize bytes.
func parseOrigin(b []byte) (o Origin, print pack.Print) {
	print = pack.Print(b[:pack.PrintSize])
	b = b[pack.PrintSize:]
	return Origin{Image: binary.LittleEndian.Uint32(b), Offset: binary.LittleEndian.Uint64(b[4:])}, print
}

// origin puts a page as a reference to the image that the guest has read it from, if it still is what is there.
func (k *packer) origin(g gatherer, gpa uint64, live []byte) bool {
	images := k.all.images
	from, ok := images.Origin(gpa)
	if !ok {
		return false
	}
	start := len(k.arena)
	page := k.arena[start : start+len(live)]
	// What cannot be read here is sent as it is: the guest sees to its disk's failures itself.
	if images.ReadPage(page, from) != nil || !bytes.Equal(page, live) {
		return false
	}
	k.forget(gpa, uint64(len(live)))
	packed := append(k.arena[:start+len(page)], noSum[:]...)[start+len(page):]
	k.alone(g, pack.Image, gpa, from.append(packed, k.print.Print(page)))
	return true
}

// image makes a page that is the same as one of a disk image. One that is not there, or is another, ends the move: the guest's disk would change under it.
func (u *unpacker) image(page []byte, gpa uint64, packed []byte) error {
	from, print := parseOrigin(packed)
	if u.images == nil || from.Offset&pageMask != 0 {
		return fmt.Errorf("%w: the page at %#x is one of a disk image, at %d, that is not here", ErrProtocol, gpa, from.Offset)
	}
	const remedy = "give both hosts the same image, which nobody may write"
	if err := u.images.ReadPage(page, from); err != nil {
		return &localError{&Refusal{Code: "image_differs", Message: fmt.Sprintf("a page of the guest is to come from a disk's image, and cannot: %v", err), Remedy: remedy}}
	}
	if u.print.Print(page) != print {
		return &localError{&Refusal{Code: "image_differs", Message: fmt.Sprintf("the image of a disk that the guest only reads is another here than at the source, at %d", from.Offset), Remedy: remedy}}
	}
	u.images.Note(gpa, from)
	return nil
}
