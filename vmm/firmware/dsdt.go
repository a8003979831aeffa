package firmware

import (
	"fmt"

	"github.com/ferryvmm/ferry/devices/power"
	"github.com/ferryvmm/ferry/devices/rtc"
	"github.com/ferryvmm/ferry/devices/serial"
)

// maxDevices is what two hexadecimal digits of a name can tell apart.
const maxDevices = 256

// notifyPressed is the notification of a button that was pressed (5.6.6).
const notifyPressed = 0x80

// dsdt is the definition block: the machine's devices and how it powers off.
func dsdt(c Config) []byte {
	devices := []term{
		device("COM1",
			name("_HID", eisa("PNP0501")),
			name("_UID", integer(0)),
			name("_CRS", resources(portRange(serial.COM1, serial.Size), interrupt(serialGSI)))),
		device("RTC", // without its interrupt: it has no alarm
			name("_HID", eisa("PNP0B00")),
			name("_CRS", resources(portRange(rtc.Port, rtc.Size)))),
		device("PWRB",
			name("_HID", eisa("PNP0C0C"))),
		// The generic event device (5.6.9): its interrupt runs _EVT, which asks
		// the button, and by reading takes the interrupt away.
		device("GED",
			name("_HID", text("ACPI0013")),
			name("_CRS", resources(interrupt(ButtonGSI))),
			ports("EVTR", power.ButtonPort, power.ButtonSize),
			field("EVTR", "EVTS"),
			method("_EVT", 1, onEvent())),
	}
	for _, d := range c.Devices {
		devices = append(devices, device(fmt.Sprintf("VR%02X", d.UID),
			name("_HID", text("LNRO0005")),
			name("_UID", integer(uint32(d.UID))),
			name("_CCA", integer(1)),
			name("_CRS", resources(memory32(uint32(d.Base), uint32(d.Size)), interrupt(d.GSI)))))
	}
	var body []byte
	body = append(body, scope("_SB", devices...)...)
	return append(body, name("_S5", list(integer(power.SleepTypeOff), integer(0), integer(0), integer(0)))...)
}

// onEvent is
//
//	Store (EVTS, Local0)
//	If (And (Local0, 1)) { Notify (\_SB.PWRB, 0x80) }
func onEvent() term {
	read := append(append(term{opStore}, segment("EVTS")...), opLocal0)
	pressed := append(append(term{opAnd, opLocal0}, integer(power.ButtonPressed)...), 0) // the result goes nowhere else
	notify := append(append(term{opNotify}, path("_SB", "PWRB")...), integer(notifyPressed)...)
	return append(read, block(term{opIf}, pressed, notify)...)
}
