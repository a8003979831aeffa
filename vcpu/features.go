package vcpu

import "github.com/ferryvmm/ferry/internal/kvm"

// register is one of the four that a CPUID leaf fills.
type register uint8

const (
	eax register = iota
	ebx
	ecx
	edx
)

func (r register) String() string { return [...]string{"EAX", "EBX", "ECX", "EDX"}[r] }

// of points at the register in an entry.
func (r register) of(e *kvm.CPUIDEntry) *uint32 {
	return [...]*uint32{&e.EAX, &e.EBX, &e.ECX, &e.EDX}[r]
}

// feature names one bit of CPUID.
type feature struct {
	name          string
	leaf, subleaf uint32
	reg           register
	bit           uint8
}

// features are the bits that have a name here; the names are those of /proc/cpuinfo where it has one. Others are reported by number.
var features = flatten([]bank{
	{1, 0, ecx, "sse3 pclmulqdq dtes64 mwait ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm . pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx f16c rdrand hypervisor"},
	{1, 0, edx, "fpu vme de pse tsc msr pae mce cx8 apic . sep mtrr pge mca cmov pat pse36 pn clflush . dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe"},
	{6, 0, eax, ". . arat"},
	{7, 0, ebx, "fsgsbase tsc_adjust sgx bmi1 hle avx2 fdp_excptn_only smep bmi2 erms invpcid rtm cqm zero_fcs_fds mpx rdt_a avx512f avx512dq rdseed adx smap avx512ifma . clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl"},
	{7, 0, ecx, "prefetchwt1 avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme avx512_vpopcntdq . la57 . . . . . rdpid . bus_lock_detect cldemote . movdiri movdir64b enqcmd sgx_lc pks"},
	{7, 0, edx, ". . avx512_4vnniw avx512_4fmaps fsrm uintr . . avx512_vp2intersect . md_clear . . . serialize hybrid tsxldtrk . pconfig arch_lbr ibt . amx_bf16 avx512_fp16 amx_tile amx_int8 ibrs stibp flush_l1d arch_capabilities core_capabilities ssbd"},
	{7, 1, eax, ". . . . avx_vnni avx512_bf16 . cmpccxadd . . fzrm fsrs fsrc . . . . fred lkgs . . amx_fp16 . avx_ifma . . lam"},
	{0xd, 0, eax, "xsave_x87 xsave_sse xsave_avx xsave_bndregs xsave_bndcsr xsave_opmask xsave_zmm_hi256 xsave_hi16_zmm . xsave_pkru . . . . . . . xsave_tilecfg xsave_tiledata"},
	{0xd, 1, eax, "xsaveopt xsavec xgetbv1 xsaves xfd"},
	{0x80000001, 0, ecx, "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt . lwp fma4 tce . nodeid_msr . tbm topoext perfctr_core perfctr_nb . bpext ptsc perfctr_llc mwaitx"},
	{0x80000001, 0, edx, ". . . . . . . . . . . syscall . . . . . . . mp nx . mmxext . . fxsr_opt pdpe1gb rdtscp . lm 3dnowext 3dnow"},
	{0x80000007, 0, edx, ". . . . . . . . invtsc"},
	{0x80000008, 0, ebx, "clzero irperf xsaveerptr . rdpru . . . . wbnoinvd . . amd_ibpb . amd_ibrs amd_stibp . stibp_always_on . . . . . . amd_ssbd virt_ssbd amd_ssb_no"},
	{0x40000001, 0, eax, "kvmclock_old kvm_nopiodelay kvm_mmu_op kvmclock kvm_asyncpf kvm_steal_time kvm_pv_eoi kvm_pv_unhalt . kvm_pv_tlb_flush kvm_asyncpf_vmexit kvm_pv_ipi kvm_poll_control kvm_pv_sched_yield kvm_asyncpf_int kvm_msi_ext_dest_id kvm_hc_map_gpa_range kvm_migration_control . . . . . . kvmclock_stable"},
})

// bank is the names of one register's bits, from bit 0 up; a dot is a bit without a name.
type bank struct {
	leaf, subleaf uint32
	reg           register
	names         string
}
