/* Prints the part of userfaultfd's ABI that package uffd relies on, one "name value" a line; abi_test.go compares. */
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define SIZE(type) printf("sizeof %s %#llx\n", #type, (unsigned long long)sizeof(type))
#define OFFSET(type, field) printf("offsetof %s.%s %#llx\n", #type, #field, (unsigned long long)offsetof(type, field))
#define VALUE(name) printf("%s %#llx\n", #name, (unsigned long long)(name))
#define BIT(name) printf("1 << %s %#llx\n", #name, 1ULL << (name))

int main(void)
{
	SIZE(struct uffdio_api);
	OFFSET(struct uffdio_api, features);
	OFFSET(struct uffdio_api, ioctls);
	SIZE(struct uffdio_range);
	OFFSET(struct uffdio_range, len);
	SIZE(struct uffdio_register);
	OFFSET(struct uffdio_register, mode);
	OFFSET(struct uffdio_register, ioctls);
	SIZE(struct uffdio_continue);
	OFFSET(struct uffdio_continue, mode);
	OFFSET(struct uffdio_continue, mapped);
	SIZE(struct uffdio_zeropage);
	OFFSET(struct uffdio_zeropage, mode);
	OFFSET(struct uffdio_zeropage, zeropage);
	SIZE(struct uffd_msg);
	OFFSET(struct uffd_msg, event);
	OFFSET(struct uffd_msg, arg.pagefault.flags);
	OFFSET(struct uffd_msg, arg.pagefault.address);
	OFFSET(struct uffd_msg, arg.pagefault.feat.ptid);
	VALUE(USERFAULTFD_IOC_NEW);
	VALUE(UFFDIO_API);
	VALUE(UFFDIO_REGISTER);
	VALUE(UFFDIO_UNREGISTER);
	VALUE(UFFDIO_WAKE);
	VALUE(UFFDIO_ZEROPAGE);
	VALUE(UFFDIO_CONTINUE);
	VALUE(UFFD_API);
	VALUE(UFFD_FEATURE_MISSING_HUGETLBFS);
	VALUE(UFFD_FEATURE_MISSING_SHMEM);
	VALUE(UFFD_FEATURE_MINOR_HUGETLBFS);
	VALUE(UFFD_FEATURE_MINOR_SHMEM);
	VALUE(UFFDIO_REGISTER_MODE_MISSING);
	VALUE(UFFDIO_REGISTER_MODE_MINOR);
	VALUE(UFFD_EVENT_PAGEFAULT);
	BIT(_UFFDIO_CONTINUE);
	return 0;
}
