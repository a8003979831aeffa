/* From the PVH entry (32-bit, flat, paging off, EBX = start info) and from an AP's start-up IPI to ring 3.
 * Ring 0 does only what ring 3 cannot: some hosts interpret it slowly. */
#include "layout.h"

#define CR0_RUN 0x80010033      /* PG WP NE ET MP PE */
#define CR4_RUN 0x620           /* OSXMMEXCPT OSFXSR PAE */
#define EFER 0xc0000080
#define EFER_LME 0x100
#define RFLAGS_USER 2           /* interrupts off; IOPL 0, because not every host honours it: ports go by the TSS */

	.section .note.pvh, "a", @note
	.align 4
	.long 4, 4, 18          /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long _start

	.text
	.code32
	.globl _start
_start:
	cli
	cld
	movl %ebx, start_info
	lgdt gdtr
	xorl %ebp, %ebp         /* CPU number */
	jmp long_mode

/* An AP in 32-bit protected mode, straight from the trampoline. */
ap_protected:
	movw $SEL_KDATA, %ax
	movw %ax, %ds
	movl $1, %ebp
	lock xaddl %ebp, ap_next
	cmpl $MAX_CPUS, %ebp
	jb long_mode
park:
	hlt
	jmp park

/* Precondition: EBP = CPU number. Uses no stack. */
long_mode:
	movl $CR4_RUN, %eax
	movl %eax, %cr4
	movl $pml4, %eax
	movl %eax, %cr3
	movl $EFER, %ecx
	rdmsr
	orl $EFER_LME, %eax
	wrmsr
	movl $CR0_RUN, %eax
	movl %eax, %cr0
	ljmp $SEL_KCODE, $in_long_mode

	.code64
in_long_mode:
	xorl %eax, %eax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %fs
	movw %ax, %gs
	movl $SEL_KDATA, %eax
	movw %ax, %ss
	lidt idtr
	movl %ebp, %eax
	shll $4, %eax
	addl $SEL_TSS, %eax
	ltr %ax
	movl %ebp, %edi
	shll $CPU_SHIFT, %edi
	addl $CPUS_BASE, %edi   /* first argument: struct cpu */
	leal (1 << CPU_SHIFT)(%rdi), %esp
	leal 1(%rbp), %eax
	shll $STACK_SHIFT, %eax
	addl $STACKS_BASE, %eax
	subl $8, %eax           /* as if called: the ABI wants RSP + 8 aligned to 16 */
	pushq $SEL_UDATA
	pushq %rax
	pushq $RFLAGS_USER
	pushq $SEL_UCODE
	testl %ebp, %ebp
	jnz 1f
	pushq $main
	iretq
1:	pushq $ap_main
	iretq

/* Copied to TRAMPOLINE. */
	.section .rodata
	.code16
	.globl trampoline, trampoline_end
trampoline:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	lgdtl TRAMPOLINE + (trampoline_gdtr - trampoline)
	movl $0x11, %eax
	movl %eax, %cr0
	ljmpl $SEL_KCODE32, $ap_protected
	.align 4
trampoline_gdtr:
	.word gdt_end - gdt - 1
	.long gdt
trampoline_end:

	.data
	.globl start_info, ap_next
start_info:
	.long 0
ap_next:
	.long 1

	.align 8
	.word 0, 0, 0
gdtr:
	.word gdt_end - gdt - 1
	.quad gdt
	.word 0, 0, 0
idtr:
	.word VECTORS * 16 - 1
	.quad idt

	.align 16
gdt:
	.quad 0
	.quad 0x00af9b000000ffff        /* ring 0 code, 64 bit */
	.quad 0x00cf93000000ffff        /* ring 0 data */
	.quad 0x00cff3000000ffff        /* ring 3 data */
	.quad 0x00affb000000ffff        /* ring 3 code, 64 bit */
	.quad 0x00cf9b000000ffff        /* ring 0 code, 32 bit */
	.set i, 0
	.rept MAX_CPUS
	.set base, CPUS_BASE + (i << CPU_SHIFT) + CPU_TSS
	.quad 0x0000890000000000 | (TSS_SIZE - 1) | ((base & 0xffffff) << 16) | ((base >> 24) << 56)
	.quad 0
	.set i, i + 1
	.endr
gdt_end:

/* Identity mapping of the first GiB, for ring 3 too; map.c adds the rest. */
	.align 4096
	.globl pml4, pdpt
pml4:
	.quad pdpt + 7
	.fill 511, 8, 0
pdpt:
	.quad pd_first + 7
	.fill 511, 8, 0
pd_first:
	.set i, 0
	.rept 512
	.quad (i << 21) | 0x87          /* 2 MiB, user, writable, present */
	.set i, i + 1
	.endr

	.section .note.GNU-stack, "", @progbits
