package vcpu

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
)

func TestCPUIDIsDeterministicAndReduced(t *testing.T) {
	sys := kvmtest.Open(t)
	first, err := CPUID(sys, 4)
	must(t, err)
	for range 20 {
		again, err := CPUID(sys, 4)
		must(t, err)
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatalf("two calls differ (-first +second):\n%s", diff)
		}
	}
	if got := find(first, 1, 0).ECX; got&leaf1Hypervisor == 0 || got&leaf1OSXSAVE != 0 {
		t.Errorf("leaf 1 ECX: got %#x; want a hypervisor and no OSXSAVE", got)
	}
	for _, f := range features {
		e := find(first, f.leaf, f.subleaf)
		if slices.Contains([]string{"vmx", "svm", "sgx", "invtsc", "amx_tile"}, f.name) && *f.reg.of(&e)>>f.bit&1 != 0 {
			t.Errorf("%s is offered", f.name)
		}
	}
	must(t, CheckCPUID(first, first))
	if _, err := CPUID(sys, 0); err == nil {
		t.Error("no vCPU: got no error")
	}
	if _, err := CPUID(sys, MaxCount+1); err == nil {
		t.Error("too many vCPUs: got no error")
	}
}

func TestEachVCPUSeesItsOwnID(t *testing.T) {
	const count = 3
	m := newMachine(t, kvmtest.Open(t), count, newDevices())
	m.load(codeAt, codeID...)
	start(t, m, func(st *State) {
		for i := range st.VCPUs {
			m.longMode(&st.VCPUs[i], 0, codeAt)
		}
	})
	must(t, m.Resume())
	got := m.dev.wait(t, 4*count)
	var ids []uint32
	for i := range count {
		ids = append(ids, binary.LittleEndian.Uint32(got[4*i:]))
	}
	slices.Sort(ids)
	if want := []uint32{0, 1, 2}; !slices.Equal(ids, want) {
		t.Errorf("got %v; want %v", ids, want)
	}
}

func TestTopology(t *testing.T) {
	intel := []kvm.CPUIDEntry{
		{Function: 0, EAX: 0x1f, EBX: intelEBX},
		{Function: 1, EBX: 0x55aa0800},
		{Function: 4, Index: 0, EAX: 0xfc1fc121}, // level 1
		{Function: 4, Index: 3, EAX: 0xfc1fc163}, // level 3
		{Function: 0xb, Index: 0, EAX: 7, EBX: 7, EDX: 99},
		{Function: 0x1f, Index: 5, EAX: 7},
	}
	got := perCPU(intel, 4, 6)
	checks := map[string][2]uint32{
		"APIC id and ids":          {find(got, 1, 0).EBX, 4<<24 | 8<<16 | 0x0800},
		"ids are valid":            {find(got, 1, 0).EDX >> 28 & 1, 1},
		"level 1 is private":       {find(got, 4, 0).EAX, 7<<26 | 0x121},
		"level 3 is shared":        {find(got, 4, 3).EAX, 7<<26 | 7<<14 | 0x163},
		"x2APIC id":                {find(got, 0xb, 0).EDX, 4},
		"threads a core":           {find(got, 0xb, 0).EBX, 1},
		"cores":                    {find(got, 0xb, 1).EBX, 6},
		"bits of a core":           {find(got, 0xb, 1).EAX, 3},
		"the last level":           {find(got, 0xb, 2).ECX, 2},
		"the extended leaf agrees": {find(got, 0x1f, 1).EBX, 6},
		"the host's is gone":       {find(got, 0x1f, 5).EAX, 0},
	}
	for name, c := range checks {
		if c[0] != c[1] {
			t.Errorf("%s: got %#x; want %#x", name, c[0], c[1])
		}
	}
	if one := perCPU(intel, 0, 1); find(one, 1, 0).EBX != 0x0800 || find(one, 1, 0).EDX>>28&1 != 0 || find(one, 0xb, 1).EAX != 0 {
		t.Errorf("one vCPU: got %+v", one)
	}
	amd := []kvm.CPUIDEntry{{Function: 0, EBX: amdEBX}, {Function: 0x80000008, EAX: 0x3030}, {Function: 0x8000001e, EAX: 77, EBX: 77, ECX: 77}}
	got = perCPU(amd, 2, 4)
	if e := find(got, 0x80000008, 0); e.ECX != 3|2<<12 {
		t.Errorf("AMD cores: got %#x; want %#x", e.ECX, 3|2<<12)
	}
	if e := find(got, 0x8000001e, 0); e.EAX != 2 || e.EBX != 2 || e.ECX != 0 {
		t.Errorf("AMD ids: got %+v", e)
	}
	if intel[1].EBX != 0x55aa0800 {
		t.Error("the argument was changed")
	}
}

func TestCheckCPUIDNamesWhatIsMissing(t *testing.T) {
	base := []kvm.CPUIDEntry{
		{Function: 0, EBX: intelEBX},
		{Function: 1, ECX: 1<<28 | 1<<13, EDX: 1},
		{Function: 7, EBX: 1 << 5},
		{Function: 0x80000008, EAX: 0x3028},
	}
	with := func(i int, change func(*kvm.CPUIDEntry)) []kvm.CPUIDEntry {
		out := slices.Clone(base)
		change(&out[i])
		return out
	}
	tests := map[string]struct {
		host []kvm.CPUIDEntry
		want string // "" is no error
	}{
		"same":              {base, ""},
		"more":              {with(1, func(e *kvm.CPUIDEntry) { e.ECX = ^uint32(0) }), ""},
		"no AVX2":           {with(2, func(e *kvm.CPUIDEntry) { e.EBX = 0 }), "avx2 (CPUID 0x7.0 EBX bit 5)"},
		"no AVX":            {with(1, func(e *kvm.CPUIDEntry) { e.ECX &^= 1 << 28 }), "avx (CPUID 0x1.0 ECX bit 28)"},
		"other vendor":      {with(0, func(e *kvm.CPUIDEntry) { e.EBX = amdEBX }), "vendor"},
		"shorter addresses": {with(3, func(e *kvm.CPUIDEntry) { e.EAX = 0x3027 }), "40 physical address bits (have 39)"},
		"no leaf at all":    {base[:1], "cx16"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := CheckCPUID(test.host, base)
			if test.want == "" {
				must(t, err)
				return
			}
			var missing *MissingError
			if !errors.Is(err, ErrCPU) || !errors.As(err, &missing) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v; want %v with %q", err, ErrCPU, test.want)
			}
		})
	}
}

func TestWithout(t *testing.T) {
	base := []kvm.CPUIDEntry{{Function: 1, ECX: 1<<13 | 1<<23 | 1}}
	got, err := Without(base, "cx16", "popcnt", "avx2")
	must(t, err)
	if got[0].ECX != 1 || base[0].ECX == 1 {
		t.Errorf("got %#x, argument %#x; want 0x1 and the argument as it was", got[0].ECX, base[0].ECX)
	}
	if _, err := Without(base, "warp"); err == nil {
		t.Error("unknown feature: got no error")
	}
	seen := map[string]bool{}
	for _, name := range FeatureNames() {
		if seen[name] {
			t.Errorf("%s names two features", name)
		}
		seen[name] = true
	}
	for _, h := range hidden {
		if !seen[h.name] {
			t.Errorf("hidden feature %s has no bit", h.name)
		}
	}
}
