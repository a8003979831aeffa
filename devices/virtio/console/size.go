package console

import (
	"encoding/binary"
	"sync"
)

// Configuration space, section 5.3.4: columns and rows of 16 bits, the number of
// ports, and the register of emergency output, of 32 bits each.
const (
	emergencyOffset = 8
	configSize      = 12
)

// size is the terminal's, in characters.
type size struct {
	mu            sync.Mutex // guards the next two
	columns, rows uint16
}

func (s *size) get() (columns, rows uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.columns, s.rows
}

// SetSize tells the guest how large the terminal is, in characters; 0 is unknown.
func (d *Device) SetSize(columns, rows uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.size.mu.Lock() // while the guest is told, so that it reads nothing before that
	defer d.size.mu.Unlock()
	if d.size.columns == columns && d.size.rows == rows {
		return
	}
	if d.driver.Has(featureSize) {
		d.driver.Transport.ConfigChanged()
	}
	d.size.columns, d.size.rows = columns, rows
}

// ReadConfig reads the size, and one port.
func (d *Device) ReadConfig(offset uint64, p []byte) {
	columns, rows := d.size.get()
	var config [configSize]byte
	binary.LittleEndian.PutUint16(config[0:], columns)
	binary.LittleEndian.PutUint16(config[2:], rows)
	binary.LittleEndian.PutUint32(config[4:], 1)
	clear(p)
	if offset < configSize {
		copy(p, config[offset:])
	}
}

// WriteConfig prints a character of a guest that has no driver yet.
func (d *Device) WriteConfig(offset uint64, p []byte) {
	if offset != emergencyOffset || len(p) == 0 {
		return
	}
	d.size.mu.Lock()
	defer d.size.mu.Unlock()
	d.emergency[0] = p[0]
	_, _ = d.output.Write(d.emergency[:])
}
