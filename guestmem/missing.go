package guestmem

// Missing lists what is missing, in ascending order; nothing without a Pull.
func (m *Memory) Missing() []Range {
	if p := m.pull.Load(); p != nil {
		return p.MissingRanges()
	}
	return nil
}
