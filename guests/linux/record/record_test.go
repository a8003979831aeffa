package record_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/guests/linux/record"
)

func encode(r record.Record) []byte {
	b := make([]byte, record.Size)
	r.Encode(b)
	return b
}

func TestRecordComesBack(t *testing.T) {
	for _, want := range []record.Record{{Number: 1, Slots: 1}, {Number: 1<<64 - 1, Writer: 1<<32 - 1, Slots: 1<<32 - 1}} {
		got, err := record.Decode(encode(want))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("got error %v and (-want +got):\n%s", err, diff)
		}
	}
}

func TestEveryFlippedBitTearsARecord(t *testing.T) {
	b := encode(record.Record{Number: 7, Writer: 1, Slots: 8})
	for i := range b {
		b[i] ^= 1 << (i % 8)
		if _, err := record.Decode(b); !errors.Is(err, record.ErrTorn) {
			t.Errorf("byte %d flipped: got %v; want ErrTorn", i, err)
		}
		b[i] ^= 1 << (i % 8)
	}
}

func TestHalfARecordIsTorn(t *testing.T) {
	for at := 512; at < record.Size; at += 512 {
		b := encode(record.Record{Number: 9, Slots: 8})
		copy(b[at:], encode(record.Record{Number: 1, Slots: 8})[at:])
		if _, err := record.Decode(b); !errors.Is(err, record.ErrTorn) {
			t.Errorf("%d bytes of 9 before the rest of 1: got %v; want ErrTorn", at, err)
		}
	}
}

func TestZerosAreEmpty(t *testing.T) {
	if _, err := record.Decode(make([]byte, record.Size)); !errors.Is(err, record.ErrEmpty) {
		t.Errorf("got %v; want ErrEmpty", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(make([]byte, record.Size))
	f.Add(encode(record.Record{Number: 1, Writer: 2, Slots: 3}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < record.Size {
			return
		}
		r, err := record.Decode(b)
		if err == nil && !bytes.Equal(encode(r), b[:record.Size]) {
			t.Errorf("got %+v of other bytes than it is encoded as", r)
		}
	})
}
