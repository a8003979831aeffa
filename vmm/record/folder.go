package record

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Side of a move. Each side has a record of its own: source and target may
// share a folder.
type Side string

// The sides, as the files are called.
const (
	Target Side = ".move"
	Source Side = ".source"
)

func path(dir string, side Side, move [16]byte) string {
	return filepath.Join(dir, hex.EncodeToString(move[:])+string(side))
}

// Create makes the record of a move, Reserved and durable, its folder entry
// included. It fails if there is one already: a move id is never used twice.
// As long as the file, or a duplicate of it, is open, Living is true.
func Create(dir string, side Side, r Record) (*os.File, error) {
	r.State = Reserved
	f, err := os.OpenFile(path(dir, side, r.Move), os.O_CREATE|os.O_EXCL|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ownership record: %w", err)
	}
	b := r.Encode()
	err = set(f, unix.F_WRLCK, lifeAt)
	if err == nil {
		_, err = f.WriteAt(b[:], 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		f.Close()
		os.Remove(path(dir, side, r.Move))
		return nil, fmt.Errorf("ownership record: %w", err)
	}
	return f, nil
}

// Open opens a move's record to decide it, or returns ErrNone.
func Open(dir string, side Side, move [16]byte) (*os.File, error) {
	f, err := os.OpenFile(path(dir, side, move), os.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNone
	}
	return f, err
}

// Find returns what the folder's record of a move says, or ErrNone.
func Find(dir string, side Side, move [16]byte) (Record, error) {
	f, err := Open(dir, side, move)
	if err != nil {
		return Record{}, err
	}
	defer f.Close()
	return Read(f)
}

// Remove forgets a move: only when nobody can ask about it any more.
func Remove(dir string, side Side, move [16]byte) error {
	err := os.Remove(path(dir, side, move))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Found is one record of a folder.
type Found struct {
	Record
	Living bool // as the function of that name says
}

// List returns the records of one side that can be read; none of a folder that
// is not there.
func List(dir string, side Side) ([]Found, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ownership records: %w", err)
	}
	var all []Found
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), string(side))
		move, err := hex.DecodeString(id)
		if !ok || err != nil || len(move) != 16 {
			continue
		}
		f, err := Open(dir, side, [16]byte(move))
		if err != nil {
			continue // removed meanwhile
		}
		r, err := Read(f)
		living, lockErr := Living(f)
		f.Close()
		if err == nil && lockErr == nil && r.Move == [16]byte(move) {
			all = append(all, Found{Record: r, Living: living})
		}
	}
	return all, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
