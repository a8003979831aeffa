package vcpu

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
)

// bit sets a named feature.
func set(t *testing.T, m *Model, names ...string) {
	t.Helper()
	for _, name := range names {
		i := slices.IndexFunc(features, func(f feature) bool { return f.name == name })
		if i < 0 {
			t.Fatalf("no feature %q", name)
		}
		f := features[i]
		j := slices.IndexFunc(m.CPUID, func(e kvm.CPUIDEntry) bool { return e.Function == f.leaf && e.Index == f.subleaf })
		if j < 0 {
			t.Fatalf("no leaf %#x.%d", f.leaf, f.subleaf)
		}
		*f.reg.of(&m.CPUID[j]) |= 1 << f.bit
	}
}

func (m Model) has(name string) bool {
	f := features[slices.IndexFunc(features, func(f feature) bool { return f.name == name })]
	e := find(m.CPUID, f.leaf, f.subleaf)
	return *f.reg.of(&e)>>f.bit&1 != 0
}

// newModel is a host of a vendor with some features.
func newModel(t *testing.T, vendor uint32, names ...string) Model {
	m := Model{CPUID: []kvm.CPUIDEntry{
		{Function: 0, EAX: 0x1c, EBX: vendor, ECX: 1, EDX: 2},
		{Function: 1, EAX: 0x00a10f11, EBX: 0x01020800, EDX: 1},
		{Function: 7, Flags: kvm.CPUIDSignificantIndex, EAX: 1},
		{Function: 0xd, Flags: kvm.CPUIDSignificantIndex, EAX: 3},
		{Function: 0xd, Index: 2, Flags: kvm.CPUIDSignificantIndex, EAX: 256, EBX: 576},
		{Function: 0xd, Index: 9, Flags: kvm.CPUIDSignificantIndex, EAX: 8, EBX: 2688},
		{Function: 0x40000001},
		{Function: 0x80000000, EAX: 0x80000021},
		{Function: 0x80000001, EDX: 1},
		{Function: 0x80000008, EAX: 0x3030},
	}}
	set(t, &m, names...)
	return m
}

func TestBaseline(t *testing.T) {
	rich := []string{"sse2", "sse3", "x2apic", "hypervisor", "cx16", "popcnt", "avx", "xsave", "avx2", "pcid", "nx", "lm", "syscall", "svm", "kvmclock", "kvm_pv_ipi", "clzero", "xsaveerptr"}
	for _, vendor := range []uint32{intelEBX, amdEBX} {
		got := newModel(t, vendor, rich...).Baseline()
		for _, name := range rich {
			want := slices.Contains([]string{"sse2", "sse3", "x2apic", "hypervisor", "nx", "lm", "syscall", "kvmclock", "xsaveerptr"}, name)
			if got.has(name) != want {
				t.Errorf("%s: got %v; want %v", name, got.has(name), want)
			}
		}
		if e := find(got.CPUID, 0x80000008, 0); e.EAX != 48<<8|39 {
			t.Errorf("address bits: got %#x; want 48, 39", e.EAX)
		}
		if e := find(got.CPUID, 1, 0); e.EAX != map[uint32]uint32{intelEBX: 0x6fb, amdEBX: 0x60fb1}[vendor] || e.EBX != 0x0800 {
			t.Errorf("leaf 1: got %#x, %#x; want an old signature and the host's cache line", e.EAX, e.EBX)
		}
		if e := find(got.CPUID, 0x80000001, 0); e.EDX&1 == 0 {
			t.Error("what AMD repeats of leaf 1 is gone")
		}
		if got.PhysicalBits() != 39 || (Model{}).PhysicalBits() != 36 {
			t.Errorf("physical address bits: got %d, and %d where nothing says; want 39, 36", got.PhysicalBits(), Model{}.PhysicalBits())
		}
		poor := newModel(t, vendor, "sse2").Baseline()
		if poor.has("x2apic") {
			t.Error("the baseline has what the host lacks")
		}
	}
}

// TestHostModels asks the real host: what it offers it must take back, and the baseline too.
func TestHostModels(t *testing.T) {
	sys := kvmtest.Open(t)
	host, err := HostModel(sys, 1)
	must(t, err)
	for _, name := range []string{ModelHost, ModelBaseline} {
		m, err := host.Choose(name, nil, 2)
		must(t, err)
		must(t, host.Check(m))
		if f, e := find(m.CPUID, 1, 0).EBX>>16&0xff, m.has("ht"); f != 2 || !e {
			t.Errorf("%s: got %d APIC ids, %v; want the topology of two", name, f, e)
		}
		for _, feature := range []string{"sse2", "lm", "nx", "syscall", "x2apic", "kvmclock", "hypervisor"} {
			if !m.has(feature) {
				t.Errorf("%s: %s is missing", name, feature)
			}
		}
		file, err := m.Encode()
		must(t, err)
		again, err := host.Choose("cpu.json", file, 2)
		must(t, err)
		if diff := cmp.Diff(m.MSRs, again.MSRs); diff != "" {
			t.Errorf("%s, MSRs through a file (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(m.CPUID, again.CPUID); diff != "" {
			t.Errorf("%s, CPUID through a file (-want +got):\n%s", name, diff)
		}
		v := newMachine(t, sys, 2, newDevices(), func(c *Config) { c.CPUID, c.MSRs = m.CPUID, m.MSRs })
		for _, e := range m.MSRs {
			got := []kvm.MSREntry{{Index: e.Index}}
			if n, err := v.cpus[1].kvm.MSRs(got); err != nil || n != 1 || got[0].Data != e.Data {
				t.Errorf("%s: MSR %#x: got %#x, %v; want %#x", name, e.Index, got[0].Data, err, e.Data)
			}
		}
		v.load(codeAt, codeID...)
		start(t, v, func(st *State) { v.longMode(&st.VCPUs[0], 0, codeAt) })
		must(t, v.Resume())
		v.dev.wait(t, 4)
		v.pause(t)
	}
	if _, err := host.Choose(ModelHost, nil, 0); err == nil {
		t.Error("no vCPU: got no error")
	}
	if _, err := host.Choose("cpu.json", []byte("{}"), 1); !errors.Is(err, ErrModel) {
		t.Errorf("an empty file: got %v; want %v", err, ErrModel)
	}
}

func TestRefusedMSRIsNamed(t *testing.T) {
	sys := kvmtest.Open(t)
	m := newMachine(t, sys, 1, newDevices())
	const none = 0x12345
	cfg := m.cfg
	cfg.MSRs = []kvm.MSREntry{{Index: none, Data: 1}}
	vm, err := sys.CreateVM()
	must(t, err)
	defer vm.Close()
	must(t, vm.CreateIRQChip())
	cfg.VM = vm
	if _, err := NewSet(cfg); !errors.Is(err, ErrMSR) || !strings.Contains(err.Error(), "0x12345") {
		t.Errorf("got %v; want %v with the register", err, ErrMSR)
	}
}

func TestCheckNamesMSRs(t *testing.T) {
	caps := func(v uint64) []kvm.MSREntry { return []kvm.MSREntry{{Index: 0x10a, Data: v}, {Index: 0x8b, Data: 7}} }
	host := newModel(t, intelEBX, "arch_capabilities")
	host.MSRs = []kvm.MSREntry{{Index: 0x10a, Data: 0x1}, {Index: 0x8b, Data: 1}}
	for name, c := range map[string]struct {
		msrs []kvm.MSREntry
		want string // "" is no error
	}{
		"none":               {nil, ""},
		"the same":           {caps(1), ""},
		"admits a weakness":  {caps(1 | 1<<2), ""},
		"named":              {caps(1 | 1<<5), "mds_no (MSR 0x10a IA32_ARCH_CAPABILITIES bit 5)"},
		"without a name":     {caps(1 | 1<<62), "MSR 0x10a IA32_ARCH_CAPABILITIES bit 62"},
		"register not there": {[]kvm.MSREntry{{Index: 0xcf}}, "MSR 0xcf IA32_CORE_CAPABILITIES"},
		"unknown register":   {[]kvm.MSREntry{{Index: 0x1234}}, "MSR 0x1234"},
	} {
		wanted := host
		wanted.MSRs = c.msrs
		err := host.Check(wanted)
		if c.want == "" {
			must(t, err)
			continue
		}
		if !errors.Is(err, ErrCPU) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v; want %v with %q", name, err, ErrCPU, c.want)
		}
	}
	both := newModel(t, intelEBX, "arch_capabilities", "avx")
	both.MSRs = caps(1 << 5)
	err := host.Check(both)
	if err == nil || !strings.Contains(err.Error(), "avx") || !strings.Contains(err.Error(), "mds_no") {
		t.Errorf("got %v; want the feature and the MSR", err)
	}
}

func TestIntersect(t *testing.T) {
	a := newModel(t, intelEBX, "sse2", "avx", "xsave_avx", "xsave_pkru", "arch_capabilities", "pcid")
	b := newModel(t, intelEBX, "sse2", "avx", "xsave_avx", "arch_capabilities", "avx2")
	b.CPUID[1].EAX, b.CPUID[9].EAX = 0x000906e9, 0x302e
	a.MSRs = []kvm.MSREntry{{Index: 0x8b, Data: 9}, {Index: 0x10a, Data: 1<<0 | 1<<5}, {Index: 0xce, Data: 1}}
	b.MSRs = []kvm.MSREntry{{Index: 0x8b, Data: 7}, {Index: 0x10a, Data: 1<<0 | 1<<2}}
	got, err := Intersect(a, b)
	must(t, err)
	must(t, a.Check(got))
	must(t, b.Check(got))
	for name, want := range map[string]bool{"sse2": true, "avx": true, "xsave_avx": true, "xsave_pkru": false, "pcid": false, "avx2": false} {
		if got.has(name) != want {
			t.Errorf("%s: got %v; want %v", name, got.has(name), want)
		}
	}
	if diff := cmp.Diff([]kvm.MSREntry{{Index: 0x8b, Data: 7}, {Index: 0x10a, Data: 1<<0 | 1<<2}}, got.MSRs); diff != "" {
		t.Errorf("MSRs (-want +got):\n%s", diff)
	}
	if e := find(got.CPUID, 0xd, 0); e.EBX != 832 || e.ECX != 832 || find(got.CPUID, 0xd, 9).EAX != 0 {
		t.Errorf("XSAVE area: got %+v; want 832 bytes, without component 9", e)
	}
	if e := find(got.CPUID, 0x80000008, 0); e.EAX != 0x302e {
		t.Errorf("address bits: got %#x; want 0x302e", e.EAX)
	}
	if e := find(got.CPUID, 1, 0); e.EAX != 0x000906e9 {
		t.Errorf("signature: got %#x; want the smaller", e.EAX)
	}
	swapped, err := Intersect(b, a)
	must(t, err)
	if diff := cmp.Diff(got, swapped); diff != "" {
		t.Errorf("the order matters (-first +second):\n%s", diff)
	}
	noCaps := newModel(t, intelEBX, "sse2")
	if got, err := Intersect(a, noCaps); err != nil || len(got.MSRs) != 0 {
		t.Errorf("got %v, %v; want no MSR of a CPU that lacks it", got.MSRs, err)
	}
	moved := newModel(t, intelEBX, "xsave_pkru")
	moved.CPUID[5].EBX = 2432
	for name, models := range map[string][]Model{"none": nil, "vendors": {a, newModel(t, amdEBX)}, "XSAVE layout": {a, moved}} {
		if _, err := Intersect(models...); !errors.Is(err, ErrModel) {
			t.Errorf("%s: got %v; want %v", name, err, ErrModel)
		}
	}
}
