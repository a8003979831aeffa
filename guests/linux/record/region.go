package record

import (
	"errors"
	"fmt"
	"io"
)

// Region is where one writer's records are: Slots of them, written in order and then over again.
type Region struct {
	Writer uint32
	Slots  uint32
}

// Offset of a slot, in bytes from the beginning of the disk: the writers' regions lie one behind the other.
func (g Region) Offset(slot uint32) int64 {
	return (int64(g.Writer)*int64(g.Slots) + int64(slot)) * Size
}

// Slot of the record with this number.
// Precondition: number >= 1.
func (g Region) Slot(number uint64) uint32 { return uint32((number - 1) % uint64(g.Slots)) }

// Record returns the record with this number.
func (g Region) Record(number uint64) Record {
	return Record{Number: number, Writer: g.Writer, Slots: g.Slots}
}

// Before returns the number of the record that is in the slot of number before number is written; 0: none.
// Precondition: number >= 1.
func (g Region) Before(number uint64) uint64 {
	if number <= uint64(g.Slots) {
		return 0
	}
	return number - uint64(g.Slots)
}

// ErrWrong says that a slot does not hold what it must. The caller should count it as data lost or torn.
var ErrWrong = errors.New("record: wrong")

// Check tells whether b, read from the slot of the record with this number, holds it: ErrWrong if not. Number 0
// stands for nothing written yet.
// Precondition: len(b) >= Size.
func (g Region) Check(b []byte, number uint64) error {
	got, err := g.decode(b)
	return compare(got, err, number)
}

// decode returns the number of the region's record in b; 0: none was ever there.
func (g Region) decode(b []byte) (uint64, error) {
	r, err := Decode(b)
	switch {
	case errors.Is(err, ErrEmpty):
		return 0, nil
	case err != nil:
		return 0, err
	case r != g.Record(r.Number):
		return 0, fmt.Errorf("record %d of writer %d with %d slots, not of writer %d with %d",
			r.Number, r.Writer, r.Slots, g.Writer, g.Slots)
	}
	return r.Number, nil
}

// compare tells whether what decode returned is the record with the wanted number.
func compare(got uint64, err error, want uint64) error {
	switch {
	case err != nil:
		return fmt.Errorf("%w: want=%d: %w", ErrWrong, want, err)
	case got != want:
		return fmt.Errorf("%w: want=%d got=%d", ErrWrong, want, got)
	}
	return nil
}

// Report is what a Scan found.
type Report struct {
	Last     uint64 // the highest number; 0: no record
	InFlight bool   // the record after Last is there in part: it was being written when the guest was killed
	Wrong    []Fault
}

// Fault is a slot that does not hold what it must.
type Fault struct {
	Slot uint32
	Err  error // is ErrWrong
}

// maxFaults is how many a Report lists.
const maxFaults = 16

// Scan reads all slots and tells whether they are what a writer leaves that waits for each record to be durable
// before it writes the next. It uses buf, of at least Size bytes. Its error is that of the disk.
func (g Region) Scan(disk io.ReaderAt, buf []byte) (Report, error) {
	type content struct {
		number uint64
		err    error
	}
	var rep Report
	buf = buf[:Size]
	found := make([]content, g.Slots)
	for i := range found {
		if _, err := disk.ReadAt(buf, g.Offset(uint32(i))); err != nil {
			return Report{}, fmt.Errorf("record: slot %d: %w", i, err)
		}
		c := &found[i]
		c.number, c.err = g.decode(buf)
		if c.number > 0 && g.Slot(c.number) == uint32(i) {
			rep.Last = max(rep.Last, c.number)
		}
	}
	for i, c := range found {
		slot := uint32(i)
		err := compare(c.number, c.err, g.latest(slot, rep.Last))
		switch {
		case err == nil:
		case slot == g.Slot(rep.Last+1) && errors.Is(err, ErrTorn):
			rep.InFlight = true
		case len(rep.Wrong) < maxFaults:
			rep.Wrong = append(rep.Wrong, Fault{slot, err})
		}
	}
	return rep, nil
}

// latest returns the number of the record that is in slot after last was written; 0: none.
func (g Region) latest(slot uint32, last uint64) uint64 {
	if last == 0 {
		return 0
	}
	back := (uint64(g.Slot(last)) + uint64(g.Slots) - uint64(slot)) % uint64(g.Slots)
	if back >= last {
		return 0
	}
	return last - back
}
