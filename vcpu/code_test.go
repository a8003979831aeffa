package vcpu

// The test guests, assembled by hand.
var (
	// spin: jmp spin
	codeSpin = []byte{0xeb, 0xfe}

	// halt: hlt; jmp halt    (ring 0)
	codeHalt = []byte{0xf4, 0xeb, 0xfd}

	// Reads two counters in turn and wants 0, 1, 2, … from both (ring 3; dx = portCount, rdi = mmioAt, ebx = 0):
	//	loop: in eax,dx; cmp eax,ebx; jne bad; mov eax,[rdi]; cmp eax,ebx; jne bad; inc ebx; jmp loop
	//	bad:  out portBad,eax; jmp bad
	codeCount = []byte{
		0xed, 0x39, 0xd8, 0x75, 0x0a, 0x8b, 0x07, 0x39, 0xd8, 0x75, 0x04, 0xff, 0xc3, 0xeb, 0xf1,
		0xe7, portBad, 0xeb, 0xfc,
	}

	// Writes 64 bytes from bufferAt to portOut, again and again (64-bit):
	//	loop: mov esi,bufferAt; mov ecx,64; mov edx,portOut; rep outsb; jmp loop
	codeString = []byte{
		0xbe, 0, 0, 2, 0, 0xb9, 64, 0, 0, 0, 0xba, portOut, 0, 0, 0, 0xf3, 0x6e, 0xeb, 0xed,
	}

	// Writes the x2APIC id of CPUID leaf 0xb to portOut (64-bit):
	//	mov eax,0xb; xor ecx,ecx; cpuid; mov eax,edx; out portOut,eax; jmp $
	codeID = []byte{0xb8, 0xb, 0, 0, 0, 0x31, 0xc9, 0x0f, 0xa2, 0x89, 0xd0, 0xe7, portOut, 0xeb, 0xfe}

	// Writes the TSC to portOut, low half first, then halves of 0 (64-bit):
	//	rdtsc; out portOut,eax; mov eax,edx; out portOut,eax; jmp $
	codeTSC = []byte{0x0f, 0x31, 0xe7, portOut, 0x89, 0xd0, 0xe7, portOut, 0xeb, 0xfe}

	// Writes BL to portOut in 32-bit protected mode, then spins: mov al,bl; out portOut,al; jmp $
	codeBoot = []byte{0x88, 0xd8, 0xe6, portOut, 0xeb, 0xfe}

	// Writes bits 39:32 of RSI to portOut, then the selector in DS once it has been loaded again from its table (ring 0, 64-bit):
	//	mov rax,rsi; shr rax,32; out portOut,al; mov eax,ds; mov ds,eax; out portOut,al; jmp $
	codeBoot64 = []byte{0x48, 0x89, 0xf0, 0x48, 0xc1, 0xe8, 32, 0xe6, portOut, 0x8c, 0xd8, 0x8e, 0xd8, 0xe6, portOut, 0xeb, 0xfe}

	// Arms the TSC-deadline timer ebx ticks ahead, writes 'A' to portOut, and halts with interrupts on; the interrupt writes 'T' (real mode;
	// ds has base 0xfee00000; vector 0x40 at 0x100 points at codeTimerTick):
	//	mov dword [0xf0],0x1ff      ; LAPIC on
	//	mov dword [0x320],0x40040   ; LVT timer: TSC-deadline, vector 0x40
	//	rdtsc; add eax,ebx; adc edx,0; mov ecx,0x6e0; wrmsr
	//	mov al,'A'; out portOut,al
	//	sti; hlt; jmp $-1
	codeTimer = []byte{
		0x66, 0xc7, 0x06, 0xf0, 0, 0xff, 1, 0, 0,
		0x66, 0xc7, 0x06, 0x20, 3, 0x40, 0, 4, 0,
		0x0f, 0x31, 0x66, 0x01, 0xd8, 0x66, 0x83, 0xd2, 0, 0x66, 0xb9, 0xe0, 6, 0, 0, 0x0f, 0x30,
		0xb0, 'A', 0xe6, portOut,
		0xfb, 0xf4, 0xeb, 0xfd,
	}
	// mov al,'T'; out portOut,al; iret
	codeTimerTick = []byte{0xb0, 'T', 0xe6, portOut, 0xcf}

	// Wakes the other vCPU at otherAt by INIT and SIPI, then halts (real mode; ds has base 0xfee00000):
	//	mov dword [0xf0],0x1ff
	//	mov dword [0x310],0x01000000; mov dword [0x300],0x4500      ; INIT to APIC id 1
	//	mov dword [0x300],0x4600 | otherAt>>12                      ; SIPI
	//	hlt; jmp $-1
	codeWake = []byte{
		0x66, 0xc7, 0x06, 0xf0, 0, 0xff, 1, 0, 0,
		0x66, 0xc7, 0x06, 0x10, 3, 0, 0, 0, 1,
		0x66, 0xc7, 0x06, 0, 3, 0, 0x45, 0, 0,
		0x66, 0xc7, 0x06, 0, 3, otherAt >> 12, 0x46, 0, 0,
		0xf4, 0xeb, 0xfd,
	}
	// mov al,'W'; out portOut,al; hlt; jmp $-1
	codeWoken = []byte{0xb0, 'W', 0xe6, portOut, 0xf4, 0xeb, 0xfd}

	// Triple fault, for want of an interrupt table: ud2
	codeFault = []byte{0x0f, 0x0b}
)
