/* Exceptions and interrupts. Ring 3 reaches ring 0 by executing a privileged instruction: the #GP handler carries
 * out HLT, STI, WRMSR and RDMSR for it, INVD and CLTS as calls, and returns behind them. (SYSCALL and INT n do not work on every host.) */
#include "layout.h"

	.macro stub vector, has_error
	.align 16
	.if \has_error == 0
	pushq $0
	.endif
	pushq $\vector
	jmp trap
	.endm

	.text
	.code64
	.align 16
	.globl trap_stubs
trap_stubs:
	.irp v, 0, 1, 2, 3, 4, 5, 6, 7
	stub \v, 0
	.endr
	stub 8, 1
	stub 9, 0
	.irp v, 10, 11, 12
	stub \v, 1
	.endr
	.align 16
	jmp trap_privileged
	stub 14, 1
	stub 15, 0
	stub 16, 0
	stub 17, 1
	.irp v, 18, 19, 20
	stub \v, 0
	.endr
	stub 21, 1
	.irp v, 22, 23, 24, 25, 26, 27, 28
	stub \v, 0
	.endr
	stub 29, 1
	stub 30, 1
	stub 31, 0
	.align 16
	jmp trap_timer
	.irp bit, 0, 1, 2, 3, 4, 5, 6, 7
	.align 16
	pushq %rax
	movl $1 << \bit, %eax
	jmp trap_device
	.endr
	.irp v, 41, 42, 43, 44, 45, 46
	stub \v, 0
	.endr
	.align 16
	iretq                           /* spurious */

/* void panic(const struct trap_frame *frame, u64 cr2), does not return */
trap:
	movq %rsp, %rdi
	movq %cr2, %rsi
	andq $-16, %rsp
	call panic

/* One more tick; nothing else, so that a wake-up is cheap where ring 0 is slow. */
trap_timer:
	pushq %rax
	pushq %rcx
	pushq %rdx
	movq %rsp, %rdx
	andq $-(1 << CPU_SHIFT), %rdx
	incl CPU_TICKS(%rdx)
end_interrupt:
	movq CPU_EOI(%rdx), %rdx
	testq %rdx, %rdx
	jnz 1f
	movl $0x80b, %ecx               /* x2APIC EOI */
	xorl %eax, %eax
	wrmsr
	popq %rdx
	popq %rcx
	popq %rax
	iretq
1:	movl $0, (%rdx)                 /* EOI register of an xAPIC */
	popq %rdx
	popq %rcx
	popq %rax
	iretq

/* Notes in EAX which device it was; the rest is ring 3's. */
trap_device:
	pushq %rcx
	pushq %rdx
	movq %rsp, %rdx
	andq $-(1 << CPU_SHIFT), %rdx
	orl %eax, CPU_PENDING(%rdx)
	jmp end_interrupt

/* Stack: error code, RIP, CS, RFLAGS, RSP, SS. */
trap_privileged:
	testb $3, 16(%rsp)
	jz 1f
	pushq %rax
	pushq %rbx
	movq 24(%rsp), %rbx
	movzwl (%rbx), %ebx
	cmpb $0xf4, %bl
	je do_hlt
	cmpb $0xfb, %bl
	je do_sti
	cmpw $0x300f, %bx
	je do_wrmsr
	cmpw $0x320f, %bx
	je do_rdmsr
	cmpw $0x080f, %bx
	je do_send
	cmpw $0x060f, %bx
	je do_cpuid
	popq %rbx
	popq %rax
1:	pushq $13
	jmp trap

/* Sleeps until an interrupt, unless one came that ring 3 has not seen. */
do_hlt:
	incq 24(%rsp)
	movq %rsp, %rbx
	andq $-(1 << CPU_SHIFT), %rbx
	movl CPU_TICKS(%rbx), %eax
	cmpl CPU_SEEN(%rbx), %eax
	jne done
	cmpl $0, CPU_PENDING(%rbx)
	jne done
	sti
	hlt
	cli
done:
	popq %rbx
	popq %rax
	addq $8, %rsp
	iretq

do_sti:
	incq 24(%rsp)
	orl $0x200, 40(%rsp)
	jmp done

do_wrmsr:
	addq $2, 24(%rsp)
	movq 8(%rsp), %rax
	wrmsr
	jmp done

do_rdmsr:
	addq $2, 24(%rsp)
	popq %rbx
	addq $16, %rsp
	rdmsr
	iretq

/* CLTS stands for CPUID. */
do_cpuid:
	addq $2, 24(%rsp)
	movq 8(%rsp), %rax
	cpuid
	addq $24, %rsp
	iretq

/* INVD stands for: send RCX > 0 bytes at RSI to COM1. In ring 0 a port access costs some hosts a small part of
 * what it costs in ring 3. Every access is an exit to the VMM, so the status is read once a FIFO's worth. */
do_send:
	addq $2, 24(%rsp)
	pushq %rcx
	pushq %rdx
	pushq %rsi
1:	movl $COM1 + 5, %edx
2:	inb %dx, %al
	testb $0x20, %al                /* all sent */
	jz 2b
	movl $COM1, %edx
	movl $16, %ebx
3:	lodsb
	outb %al, %dx
	decl %ecx
	jz 4f
	decl %ebx
	jnz 3b
	jmp 1b
4:	popq %rsi
	popq %rdx
	popq %rcx
	jmp done

	.globl triple_fault
triple_fault:
	lidt no_idt
	ud2

	.section .rodata
no_idt:
	.word 0
	.quad 0

	.section .note.GNU-stack, "", @progbits
