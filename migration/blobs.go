package migration

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// blobs takes the files that come with a guest. Its methods are called by one
// goroutine.
type blobs struct {
	all []blobInlet
}

// blobInlet takes one file. Its w is nil if the file is not wanted, or complete.
type blobInlet struct {
	info   BlobInfo
	w      io.WriteCloser
	wanted bool
	got    uint64
	sum    hash.Hash
}

// openBlobs asks which files are wanted.
func openBlobs(b Built, infos []BlobInfo) (*blobs, error) {
	bs := new(blobs)
	for _, info := range infos {
		w, err := b.Blob(info)
		if err != nil {
			return nil, fmt.Errorf("blob %q: %w", info.ID, err)
		}
		bs.all = append(bs.all, blobInlet{info: info, w: w, wanted: w != nil, sum: sha256.New()})
	}
	return bs, nil
}

// ids are those of the files that are wanted.
func (b *blobs) ids() []string {
	var ids []string
	for _, one := range b.all {
		if one.wanted {
			ids = append(ids, one.info.ID)
		}
	}
	return ids
}

// take puts the bytes of a Blob frame in place.
func (b *blobs) take(h header, p []byte) error {
	if int64(h.Count) >= int64(len(b.all)) {
		return fmt.Errorf("%w: blob %d of %d", ErrProtocol, h.Count, len(b.all))
	}
	one := &b.all[h.Count]
	last := h.Flags&flagLast != 0
	if one.wanted && one.w == nil || uint64(len(p)) > one.info.Size-one.got ||
		last != (one.got+uint64(len(p)) == one.info.Size) || len(p) == 0 && !last {
		return fmt.Errorf("%w: blob %q: %d bytes at %d of %d", ErrProtocol, one.info.ID, len(p), one.got, one.info.Size)
	}
	one.got += uint64(len(p))
	one.sum.Write(p)
	if one.w != nil {
		if _, err := one.w.Write(p); err != nil {
			return &localError{fmt.Errorf("blob %q: %w", one.info.ID, err)}
		}
	}
	if !last {
		return nil
	}
	if !bytes.Equal(one.sum.Sum(nil), one.info.SHA256[:]) {
		return fmt.Errorf("%w: blob %q has another hash", ErrCorrupt, one.info.ID)
	}
	if one.w == nil {
		return nil
	}
	err := one.w.Close()
	one.w = nil
	if err != nil {
		return &localError{fmt.Errorf("blob %q: %w", one.info.ID, err)}
	}
	return nil
}

// complete checks that every file that is wanted is here.
func (b *blobs) complete() error {
	for _, one := range b.all {
		if one.w != nil {
			return fmt.Errorf("%w: blob %q is missing", ErrProtocol, one.info.ID)
		}
	}
	return nil
}

// localError is a failure on this side, not of the link or of the peer.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// bulkError tells a broken connection from everything else that ends reading it.
func bulkError(err error) error {
	var here *localError
	if errors.As(err, &here) {
		return err
	}
	return linkError(err)
}
