package vcpu

import "testing"

func TestCounters(t *testing.T) {
	m := counting(t)
	if c := m.Counters(); len(c) != 1 || c[0] != (Counters{}) {
		t.Errorf("got %+v of a guest that has not run; want nothing counted", c)
	}
	must(t, m.Resume())
	m.goesOn(t)
	m.pause(t)
	if c := m.Counters()[0]; c.IO < 10 || c.MMIO == 0 || c.RingFull != 0 || c.Throttled != 0 {
		t.Errorf("got %+v; want accesses to ports and memory, and nothing else", c)
	}
	must(t, m.Close())
}
