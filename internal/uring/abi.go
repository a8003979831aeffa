package uring

// The ABI of <linux/io_uring.h>, as far as it is used; abi_test.go compares.

// Operations.
const (
	opNop         = 0
	opReadv       = 1
	opWritev      = 2
	opFsync       = 3
	opPollAdd     = 6
	opSendmsg     = 9
	opAsyncCancel = 14
	opFallocate   = 17
	opSendZC      = 47
)

// Flags of operations.
const (
	fsyncDatasync = 1 << 0
	pollMulti     = 1 << 0

	sqeLink         = 1 << 2 // sqe.flags
	sendFixedBuf    = 1 << 2 // sqe.ioprio
	sendReportUsage = 1 << 3
)

// Flags of io_uring_setup.
const (
	setupRDisabled    = 1 << 6  // until a thread enables the ring
	setupSubmitAll    = 1 << 7  // an operation that is refused does not end the batch
	setupTaskrunFlag  = 1 << 9  // sqTaskrun says when
	setupSingleIssuer = 1 << 12 // one thread submits
	setupDeferTaskrun = 1 << 13 // and completes, when it enters
)

// Features that io_uring_setup reports.
const (
	featSingleMmap   = 1 << 0 // both rings in one mapping
	featNodrop       = 1 << 1 // completions that do not fit are kept
	featSubmitStable = 1 << 2 // iovecs are copied at submission
)

// Flags in the submission ring.
const (
	sqCQOverflow = 1 << 1 // completions wait for room
	sqTaskrun    = 1 << 2 // or to be completed
)

// Flags and operations of the other two system calls.
const (
	enterGetEvents        = 1 << 0
	registerEnableRings   = 12
	registerBuffers2      = 15
	registerBuffersUpdate = 16
	rsrcSparse            = 1 << 0
	cqeMore               = 1 << 1
	cqeNotif              = 1 << 3
)

// rsrcRegister is struct io_uring_rsrc_register.
type rsrcRegister struct {
	nr, flags         uint32
	resv2, data, tags uint64
}

// rsrcUpdate2 is struct io_uring_rsrc_update2.
type rsrcUpdate2 struct {
	offset, resv uint32
	data, tags   uint64
	nr, resv2    uint32
}

// Where the mappings begin, as file offsets.
const (
	offSQRing = 0
	offSQEs   = 0x10000000
)

// sqe is struct io_uring_sqe.
type sqe struct {
	opcode      uint8
	flags       uint8
	ioprio      uint16
	fd          int32
	off         uint64
	addr        uint64
	len         uint32
	opFlags     uint32 // rw_flags, fsync_flags, poll32_events and so on
	userData    uint64
	bufIndex    uint16
	personality uint16
	spliceFD    int32
	addr3       uint64
	pad         uint64
}

// cqe is struct io_uring_cqe.
type cqe struct {
	userData uint64
	res      int32
	flags    uint32
}

// sqOffsets is struct io_sqring_offsets.
type sqOffsets struct {
	head, tail, ringMask, ringEntries, flags, dropped, array, resv1 uint32
	resv2                                                           uint64
}

// cqOffsets is struct io_cqring_offsets.
type cqOffsets struct {
	head, tail, ringMask, ringEntries, overflow, cqes, flags, resv1 uint32
	resv2                                                           uint64
}

// params is struct io_uring_params.
type params struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	resv                                                                   [3]uint32
	sqOff                                                                  sqOffsets
	cqOff                                                                  cqOffsets
}
