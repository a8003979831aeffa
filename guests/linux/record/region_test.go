package record_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ferryvmm/ferry/guests/linux/record"
)

// region is the second writer's.
var region = record.Region{Writer: 1, Slots: 4}

// written returns a disk on which records 1 to last were written.
func written(last uint64) []byte {
	disk := make([]byte, 2*4*record.Size)
	for n := uint64(1); n <= last; n++ {
		put(disk, n, region.Record(n))
	}
	return disk
}

// put writes r to the slot of the record with this number.
func put(disk []byte, number uint64, r record.Record) {
	r.Encode(disk[region.Offset(region.Slot(number)):])
}

// tear overwrites the second half of the slot of the record with this number.
func tear(disk []byte, number uint64) {
	at := region.Offset(region.Slot(number)) + record.Size/2
	copy(disk[at:at+record.Size/2], bytes.Repeat([]byte{0x55}, record.Size/2))
}

func TestScan(t *testing.T) {
	wrong := func(slots ...uint32) (all []record.Fault) {
		for _, s := range slots {
			all = append(all, record.Fault{Slot: s, Err: record.ErrWrong})
		}
		return all
	}
	for _, tt := range []struct {
		name  string
		last  uint64
		spoil func(disk []byte)
		want  record.Report
	}{
		{"fresh disk", 0, nil, record.Report{}},
		{"fresh disk, first record torn", 0, func(d []byte) { tear(d, 1) }, record.Report{InFlight: true}},
		{"fresh disk, second slot torn", 0, func(d []byte) { tear(d, 2) }, record.Report{Wrong: wrong(1)}},
		{"one record", 1, nil, record.Report{Last: 1}},
		{"all slots once", 4, nil, record.Report{Last: 4}},
		{"over again", 10, nil, record.Report{Last: 10}},
		{"next torn", 10, func(d []byte) { tear(d, 11) }, record.Report{Last: 10, InFlight: true}},
		{"last torn", 10, func(d []byte) { tear(d, 10) }, record.Report{Last: 9, InFlight: true}},
		{"one before torn", 10, func(d []byte) { tear(d, 9) }, record.Report{Last: 10, Wrong: wrong(0)}},
		{"lost", 10, func(d []byte) { put(d, 9, region.Record(5)) }, record.Report{Last: 10, Wrong: wrong(0)}},
		{"back to zeros", 10, func(d []byte) { clear(d[region.Offset(0):][:record.Size]) }, record.Report{Last: 10, Wrong: wrong(0)}},
		{"two lost", 10, func(d []byte) { put(d, 8, region.Record(4)); put(d, 9, region.Record(5)) }, record.Report{Last: 10, Wrong: wrong(0, 3)}},
		{"another slot's", 10, func(d []byte) { put(d, 8, region.Record(10)) }, record.Report{Last: 10, Wrong: wrong(3)}},
		{"ahead in another slot", 10, func(d []byte) { put(d, 8, region.Record(21)) }, record.Report{Last: 10, Wrong: wrong(3)}},
		{"another writer's", 10, func(d []byte) { put(d, 8, record.Record{Number: 8, Writer: 0, Slots: 4}) }, record.Report{Last: 10, Wrong: wrong(3)}},
		{"other slots", 10, func(d []byte) { put(d, 8, record.Record{Number: 8, Writer: 1, Slots: 5}) }, record.Report{Last: 10, Wrong: wrong(3)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := written(tt.last)
			if tt.spoil != nil {
				tt.spoil(disk)
			}
			got, err := region.Scan(bytes.NewReader(disk), make([]byte, record.Size))
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateErrors()); diff != "" || err != nil {
				t.Errorf("got error %v and (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestScanSaysThatTheDiskIsShort(t *testing.T) {
	disk := written(4)
	_, err := region.Scan(bytes.NewReader(disk[:len(disk)-1]), make([]byte, record.Size))
	if !errors.Is(err, io.EOF) {
		t.Errorf("got %v; want io.EOF", err)
	}
}

func TestCheckAgainstWhatWasThereBefore(t *testing.T) {
	disk := written(10)
	slot := func(number uint64) []byte { return disk[region.Offset(region.Slot(number)):] }
	if err := region.Check(slot(11), region.Before(11)); err != nil {
		t.Errorf("before 11 is written: got %v; want 7 there", err)
	}
	put(disk, 11, region.Record(11))
	if err := region.Check(slot(11), region.Before(11)); !errors.Is(err, record.ErrWrong) {
		t.Errorf("after 11 is written: got %v; want ErrWrong", err)
	}
	if got := region.Before(4); got != 0 {
		t.Errorf("before 4 of 4 slots: got record %d; want none", got)
	}
}

func FuzzScan(f *testing.F) {
	f.Add(written(10), uint16(3000), byte(1))
	f.Fuzz(func(t *testing.T, disk []byte, at uint16, b byte) {
		if len(disk) > 2*4*record.Size {
			return
		}
		if int(at) < len(disk) {
			disk[at] ^= b
		}
		rep, err := region.Scan(bytes.NewReader(disk), make([]byte, record.Size))
		if err == nil && len(rep.Wrong) > int(region.Slots) {
			t.Errorf("got %d faults in %d slots", len(rep.Wrong), region.Slots)
		}
	})
}
