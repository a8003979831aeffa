/* Prints the part of io_uring's ABI that package uring relies on, one "name value" a line; abi_test.go compares. */
#include <linux/io_uring.h>
#include <stddef.h>
#include <stdio.h>

#define SIZE(type) printf("sizeof %s %#llx\n", #type, (unsigned long long)sizeof(type))
#define OFFSET(type, field) printf("offsetof %s.%s %#llx\n", #type, #field, (unsigned long long)offsetof(type, field))
#define VALUE(name) printf("%s %#llx\n", #name, (unsigned long long)(name))

int main(void)
{
	SIZE(struct io_uring_sqe);
	OFFSET(struct io_uring_sqe, opcode);
	OFFSET(struct io_uring_sqe, flags);
	OFFSET(struct io_uring_sqe, ioprio);
	OFFSET(struct io_uring_sqe, fd);
	OFFSET(struct io_uring_sqe, off);
	OFFSET(struct io_uring_sqe, addr);
	OFFSET(struct io_uring_sqe, len);
	OFFSET(struct io_uring_sqe, rw_flags);
	OFFSET(struct io_uring_sqe, fsync_flags);
	OFFSET(struct io_uring_sqe, poll32_events);
	OFFSET(struct io_uring_sqe, user_data);
	OFFSET(struct io_uring_sqe, buf_index);
	OFFSET(struct io_uring_sqe, personality);
	OFFSET(struct io_uring_sqe, splice_fd_in);
	OFFSET(struct io_uring_sqe, addr3);
	SIZE(struct io_uring_rsrc_register);
	OFFSET(struct io_uring_rsrc_register, nr);
	OFFSET(struct io_uring_rsrc_register, flags);
	OFFSET(struct io_uring_rsrc_register, data);
	OFFSET(struct io_uring_rsrc_register, tags);
	SIZE(struct io_uring_rsrc_update2);
	OFFSET(struct io_uring_rsrc_update2, offset);
	OFFSET(struct io_uring_rsrc_update2, data);
	OFFSET(struct io_uring_rsrc_update2, tags);
	OFFSET(struct io_uring_rsrc_update2, nr);
	VALUE(IORING_OP_SENDMSG);
	VALUE(IORING_OP_SEND_ZC);
	VALUE(IOSQE_IO_LINK);
	VALUE(IORING_RECVSEND_FIXED_BUF);
	VALUE(IORING_SEND_ZC_REPORT_USAGE);
	VALUE(IORING_NOTIF_USAGE_ZC_COPIED);
	VALUE(IORING_REGISTER_BUFFERS2);
	VALUE(IORING_REGISTER_BUFFERS_UPDATE);
	VALUE(IORING_RSRC_REGISTER_SPARSE);
	VALUE(IORING_CQE_F_NOTIF);
	SIZE(struct io_uring_cqe);
	OFFSET(struct io_uring_cqe, user_data);
	OFFSET(struct io_uring_cqe, res);
	OFFSET(struct io_uring_cqe, flags);
	SIZE(struct io_sqring_offsets);
	OFFSET(struct io_sqring_offsets, head);
	OFFSET(struct io_sqring_offsets, tail);
	OFFSET(struct io_sqring_offsets, ring_mask);
	OFFSET(struct io_sqring_offsets, ring_entries);
	OFFSET(struct io_sqring_offsets, flags);
	OFFSET(struct io_sqring_offsets, array);
	SIZE(struct io_cqring_offsets);
	OFFSET(struct io_cqring_offsets, head);
	OFFSET(struct io_cqring_offsets, tail);
	OFFSET(struct io_cqring_offsets, ring_mask);
	OFFSET(struct io_cqring_offsets, ring_entries);
	OFFSET(struct io_cqring_offsets, overflow);
	OFFSET(struct io_cqring_offsets, cqes);
	OFFSET(struct io_cqring_offsets, flags);
	SIZE(struct io_uring_params);
	OFFSET(struct io_uring_params, sq_entries);
	OFFSET(struct io_uring_params, cq_entries);
	OFFSET(struct io_uring_params, flags);
	OFFSET(struct io_uring_params, features);
	OFFSET(struct io_uring_params, sq_off);
	OFFSET(struct io_uring_params, cq_off);
	VALUE(IORING_OP_NOP);
	VALUE(IORING_OP_READV);
	VALUE(IORING_OP_WRITEV);
	VALUE(IORING_OP_FSYNC);
	VALUE(IORING_OP_POLL_ADD);
	VALUE(IORING_OP_ASYNC_CANCEL);
	VALUE(IORING_OP_FALLOCATE);
	VALUE(IORING_FSYNC_DATASYNC);
	VALUE(IORING_POLL_ADD_MULTI);
	VALUE(IORING_SETUP_R_DISABLED);
	VALUE(IORING_SETUP_SUBMIT_ALL);
	VALUE(IORING_SETUP_TASKRUN_FLAG);
	VALUE(IORING_SETUP_SINGLE_ISSUER);
	VALUE(IORING_SETUP_DEFER_TASKRUN);
	VALUE(IORING_FEAT_SINGLE_MMAP);
	VALUE(IORING_FEAT_NODROP);
	VALUE(IORING_FEAT_SUBMIT_STABLE);
	VALUE(IORING_SQ_CQ_OVERFLOW);
	VALUE(IORING_SQ_TASKRUN);
	VALUE(IORING_ENTER_GETEVENTS);
	VALUE(IORING_REGISTER_ENABLE_RINGS);
	VALUE(IORING_CQE_F_MORE);
	VALUE(IORING_OFF_SQ_RING);
	VALUE(IORING_OFF_SQES);
	return 0;
}
