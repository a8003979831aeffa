package vcpu

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
)

// TestBootStates starts one machine in both modes, one after the other, as resets into different kernels would.
func TestBootStates(t *testing.T) {
	m := newMachine(t, kvmtest.Open(t), 1, newDevices())
	m.longMode(&CPUState{}, 0, 0) // for its page tables
	const gdtAt = bufferAt
	for i, descriptor := range []uint64{0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff} {
		binary.LittleEndian.PutUint64(m.mem[gdtAt+8*i:], descriptor)
	}
	m.load(codeAt, codeBoot...)
	m.load(otherAt, codeBoot64...)
	protected := BootState{RIP: codeAt, RBX: 0x55}
	long := BootState{RIP: otherAt, RSI: 0x66 << 32, CR3: tablesAt, GDT: gdtAt}
	for _, c := range []struct {
		boot BootState
		want []byte
	}{{long, []byte{0x66, 0x18}}, {protected, []byte{0x55}}, {long, []byte{0x66, 0x18}}} {
		must(t, m.SetBootState(c.boot))
		must(t, m.Resume())
		if diff := cmp.Diff(c.want, m.dev.wait(t, len(c.want))); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.boot, diff)
		}
		m.pause(t)
	}
}
