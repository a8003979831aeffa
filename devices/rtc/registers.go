package rtc

import "time"

// Registers. Those of an alarm are plain memory.
const (
	regSecond  = 0
	regMinute  = 2
	regHour    = 4
	regWeekday = 6 // 1 is Sunday
	regDay     = 7
	regMonth   = 8
	regYear    = 9
	regA       = 0xa
	regB       = 0xb
	regC       = 0xc
	regD       = 0xd
)

// Bits of the registers.
const (
	indexMask   = 0x7f
	updating    = 1 << 7 // A
	rateDefault = 0x26   // A: 32768 Hz, 1024 interrupts a second
	set         = 1 << 7 // B: the clock stands, to be set
	binary      = 1 << 2 // B: not BCD
	hours24     = 1 << 1 // B
	valid       = 1 << 7 // D: the battery is good
	afternoon   = 1 << 7 // hour, with 12 hours
)

// updateTime is how long before the second's end the chip shows that it updates:
// 244 µs of warning and 1984 µs of work.
const updateTime = 2228 * time.Microsecond

// maxOffset is beyond what four digits of a year can set, in seconds.
const maxOffset = 20000 * 366 * 86400

// read reads a register. Precondition: mu is held.
func (r *RTC) read(reg uint8) byte {
	switch {
	case isTime(reg) && r.s.Memory[regB]&set == 0:
		return r.encode(reg, r.time())
	case reg == regA:
		a := r.s.Memory[regA] &^ updating
		if r.s.Memory[regB]&set == 0 && r.now().Nanosecond() >= int(time.Second-updateTime) {
			a |= updating
		}
		return a
	case reg == regC:
		return 0
	case reg == regD:
		return valid
	}
	return r.s.Memory[reg]
}

// write writes a register. A time register is the clock's at once, or with SET
// when that is cleared. Precondition: mu is held.
func (r *RTC) write(reg, b byte) {
	standing := r.s.Memory[regB]&set != 0
	switch {
	case reg == regC || reg == regD: // read-only
	case reg == regB && b&set != 0 && !standing:
		r.latch()
		r.s.Memory[regB] = b
	case reg == regB && b&set == 0 && standing:
		r.s.Memory[regB] = b
		r.adjust()
	case isTime(reg) && !standing:
		r.latch()
		r.s.Memory[reg] = b
		r.adjust()
	default:
		r.s.Memory[reg] = b
	}
}

func isTime(reg uint8) bool {
	switch reg {
	case regSecond, regMinute, regHour, regWeekday, regDay, regMonth, regYear, Century:
		return true
	}
	return false
}

// time is the guest's. Precondition: mu is held.
func (r *RTC) time() time.Time { return time.Unix(r.now().Unix()+r.s.Offset, 0).UTC() }

// latch puts the time into the memory. Precondition: mu is held.
func (r *RTC) latch() {
	t := r.time()
	for reg := range uint8(Bytes) {
		if isTime(reg) {
			r.s.Memory[reg] = r.encode(reg, t)
		}
	}
}

// adjust makes the time in the memory the guest's. What no calendar has is
// carried over: the 31st of April is the 1st of May. Precondition: mu is held.
func (r *RTC) adjust() {
	m := &r.s.Memory
	year := 100*fromBCD(m[Century]) + r.decode(m[regYear])
	hour := m[regHour]
	if m[regB]&hours24 == 0 {
		pm := hour&afternoon != 0
		hour = byte(r.decode(hour&^afternoon)) % 12
		if pm {
			hour += 12
		}
	} else {
		hour = byte(r.decode(hour))
	}
	t := time.Date(year, time.Month(r.decode(m[regMonth])), r.decode(m[regDay]), int(hour), r.decode(m[regMinute]), r.decode(m[regSecond]), 0, time.UTC)
	r.s.Offset = t.Unix() - r.now().Unix()
}

// encode gives a time register's content. Precondition: mu is held.
func (r *RTC) encode(reg uint8, t time.Time) byte {
	year := (t.Year()%10000 + 10000) % 10000
	n, half := 0, byte(0)
	switch reg {
	case regSecond:
		n = t.Second()
	case regMinute:
		n = t.Minute()
	case regHour:
		n = t.Hour()
		if r.s.Memory[regB]&hours24 == 0 {
			if n >= 12 {
				half = afternoon
			}
			n = (n+11)%12 + 1
		}
	case regWeekday:
		n = int(t.Weekday()) + 1
	case regDay:
		n = t.Day()
	case regMonth:
		n = int(t.Month())
	case regYear:
		n = year % 100
	case Century:
		return toBCD(year / 100)
	}
	if r.s.Memory[regB]&binary != 0 {
		return byte(n) | half
	}
	return toBCD(n) | half
}

// decode reads a number as register B says. Precondition: mu is held.
func (r *RTC) decode(b byte) int {
	if r.s.Memory[regB]&binary != 0 {
		return int(b)
	}
	return fromBCD(b)
}

func toBCD(n int) byte   { return byte(n/10<<4 | n%10) }
func fromBCD(b byte) int { return int(b>>4)*10 + int(b&0xf) }
