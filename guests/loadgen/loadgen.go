// Package loadgen holds the guest that judges migrations: a bare-metal PVH kernel that owns memory, keeps it
// changing at a chosen rate, and checks all of it the whole time.
//
// Every owned page has one right content, a function of the seed, its number and its generation; the expected
// generation of each page is kept apart from the page. So a flipped bit, a page of another place, an older copy of
// the page, and an older copy of the generations are all noticed, before a page is overwritten and by a pass over
// everything that never ends. A count of changes in a register and its copy in memory notice a memory image
// older than the registers; known values in the vector and floating-point registers and in the FS base notice
// registers that were not moved.
//
// Options on its command line, with defaults:
//
//	fill=32          MiB owned, spread over all memory; the rest of the memory is never touched
//	wss=8            MiB of that which are rewritten
//	rate=0 read=0    MiB/s rewritten and read (and verified), of the whole machine
//	verify=128       MiB/s verified besides, by a pass in order
//	order=seq|rand   of writes and reads
//	heartbeat=500    us between the HB lines of a CPU; 0: none
//	seed=1           of contents and random order
//	data=random|text|half|mixed   how well contents compress
//	countreg=0|1     read the test device that counts its reads
//	cpus=N           wait for N CPUs; without it as many as come
//
// Lines on COM1 (0x3f8):
//
//	INFO cpus=N pages=N first=ADDR   what it owns, and the address of page 0
//	READY                            all filled, all CPUs at work; then byte 1 to port 0x3f0
//	HB cpu n ns                      n counts from 0; ns since READY
//	STAT verified= corrupt= doubled= lost= write_mib_s= read_mib_s= touch_p50_us= touch_p99_us= passes=
//	                                 once a second; rates and touch_* are since the line before, all else since
//	                                 READY; passes: complete passes of the slowest CPU
//	CORRUPT page=N expected=PAGE.GENERATION.SUM got=PAGE.GENERATION.SUM
//	CORRUPT page=WHAT expected=X got=X   WHAT: xmmN, mxcsrCPU, x87controlCPU, fsbaseCPU, epochCPU, generationsCPU
//	WARN …, PANIC …, BYE
//
// A page found corrupt is counted once and put right. The first time anything is counted wrong, and each time after
// it, byte 0xC0 goes to port 0x3f0. When bit 0 of byte port 0x3f2 reads set (and not all bits), it verifies everything
// once more, prints STAT and BYE and powers off by port 0x600; where that does nothing, it resets. A panic ends in a
// triple fault.
//
// touch_* are the durations of first accesses that took over 2 us: a page that the host had to bring.
package loadgen

import _ "embed"

//go:generate ./build loadgen.elf

//go:embed loadgen.elf
var elf []byte

// ELF returns a copy of the kernel: an ELF64 executable with a PVH entry note, linked at 1 MiB.
func ELF() []byte { return append([]byte(nil), elf...) }
