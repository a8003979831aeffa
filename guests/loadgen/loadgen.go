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
//	touches=0|1      STAT says how many first accesses took how long
//	cpus=N           wait for N CPUs; without it as many as come
//	workers=0        CPUs that do rate= and read=; 0: all
//
// And of the virtio devices that virtio_mmio.device words on the command line tell of, the first of each kind that
// an option asks for, with drivers of its own, all on CPU 0:
//
//	net=IP/LEN       answers ARP or neighbour solicitations, ICMP echo, and UDP echo on port 7; may be given for IPv4 and for IPv6
//	netload=tx       sends frames of type 0x88b5, the first 8 bytes behind it their number from 0
//	netload=tso      sends TCP segments for the device to cut, to 192.0.2.1
//	netload=rx       only counts what comes
//	netload=echo     sends frames of type 0x88b5 back
//	netsize=1514     bytes of a frame sent, 60 to 65000
//	netrate=0        frames sent a second; 0: as many as go
//	netpeer=MAC      to whom; without it to who last asked for IP
//	blkload=randread|randwrite|seqread|seqwrite
//	blkverify=0|1    records of 4 KiB all over the disk, up to 16384, written, zeroed, discarded, flushed, read and compared
//	blksize=4096     bytes of a request of blkload, in whole sectors, up to 1 MiB
//	blkdepth=32      requests under way, up to 128
//	blkrate=0        requests a second; 0: as many as go
//	rng=0|1          reads entropy: neither zeroes nor what came before
//	vcon=0|1         port 0 of the console gives back what it gets
//	balloon=0|1      8 MiB of its memory, which it reports as free and uses again, or gives and takes as the host asks
//	vsock=PORT       gives back what comes on connections to this port
//	vsockdial=PORT   connects to this port of the host, sends a pattern and checks that it comes back
//
// Lines on COM1 (0x3f8):
//
//	INFO cpus=N pages=N first=ADDR   what it owns, and the address of page 0
//	READY                            all filled, all CPUs at work; then byte 1 to port 0x3f0
//	HB cpu n ns                      n counts from 0; ns since READY
//	STAT verified= corrupt= doubled= lost= write_mib_s= read_mib_s= touch_p50_us= touch_p99_us= passes=
//	                                 once a second; rates and times are since the line before, all else since
//	                                 READY; passes: complete passes of the slowest CPU. Then, of the devices in use:
//	    touches= touch_N=            with touches=1: first accesses that took over 2 us, all since READY; those of them that took
//	                                 up to N us and more than the N before, for each N from 57 on (49 us and more) that there is
//	    irqs=                        interrupts taken
//	    rx= tx= rx_bad= tx_full=     frames; those for it that were damaged; answers for which there was no room
//	    rx_pps= tx_pps= rx_mib_s= tx_mib_s=   with netload
//	    blk_iops= blk_mib_s= blk_done= blk_bad= blk_lost= blk_p50_us= blk_p99_us=   blk_lost: under way while it ran for 30 s
//	    rng= vcon=                   bytes read, given back
//	    balloon= reported=           pages of 4 KiB in the balloon; reported as free, in all
//	    vsock_open= vsock= vsockdial= vsock_resets=   connections; bytes given back, checked; resets of the transport
//	CORRUPT page=N expected=PAGE.GENERATION.SUM got=PAGE.GENERATION.SUM
//	CORRUPT page=WHAT expected=X got=X   WHAT: xmmN, mxcsrCPU, x87controlCPU, fsbaseCPU, epochCPU, generationsCPU;
//	                                 of a disk recordN, zeroesN, blkstatusTYPE, blklenTYPE, blklostTYPE; of the other
//	                                 devices frameN, framepartsN, rng, rnglen, vconlen, balloonN, vsockN, vsocklen,
//	                                 vsockcreditPORT; of any completionDEVICE and completionsDEVICE (more than were
//	                                 asked for, or twice), statusDEVICE (it needs a reset)
//	WARN …, PANIC …, BYE
//
// A page found corrupt is counted once and put right. The first time anything is counted wrong, and each time after
// it, byte 0xC0 goes to port 0x3f0. When bit 0 of byte port 0x3f2 reads set (and not all bits), it verifies everything
// once more, prints STAT and BYE and powers off by port 0x600; where that does nothing, it resets. A panic ends in a
// triple fault.
//
// It finds its peers by their answers alone: it sends no ARP. Its rings and buffers lie in memory that it takes before it
// counts the pages that it owns, and only for what was asked for. CPU 0 polls after each page that it works on. With nothing
// to do it asks for interrupts and sleeps; at once, or, while requests and packets come at intervals below 500 us, after 200 us.
//
// touch_* are the durations of first accesses that took over 2 us: a page that the host had to bring.
package loadgen

import _ "embed"

//go:generate ./build loadgen.elf

//go:embed loadgen.elf
var elf []byte

// ELF returns a copy of the kernel: an ELF64 executable with a PVH entry note, linked at 1 MiB.
func ELF() []byte { return append([]byte(nil), elf...) }
