package i8042

import (
	"testing"

	"github.com/ferryvmm/ferry/devices"
)

// unheard takes what devices say.
type unheard struct{}

func (unheard) Set(bool) error { return nil }

// FuzzController has a hostile guest at the controller, in a hostile state.
func FuzzController(f *testing.F) {
	f.Add(uint8(1), uint8(0xd1), true, []byte{1, 0xfe, 0, 0xf4, 2, 0, 3, 0})
	f.Fuzz(func(t *testing.T, control, waits uint8, full bool, accesses []byte) {
		c := New(&State{Control: control, Command: waits, Full: full}, func() {}, unheard{})
		c.Restored()
		for ; len(accesses) >= 2; accesses = accesses[2:] {
			h := []devices.Handler{c.Data(), c.Command()}[accesses[0]&1]
			p := []byte{accesses[1], accesses[1]}[:1+accesses[0]>>7]
			if accesses[0]&2 == 0 {
				h.Write(0, p)
			} else {
				h.Read(0, p)
			}
		}
		if got := New(ptr(c.Save()), func() {}, unheard{}).Save(); got != c.Save() {
			t.Errorf("restored: got %+v; want %+v", got, c.Save())
		}
	})
}

func ptr[T any](v T) *T { return &v }
