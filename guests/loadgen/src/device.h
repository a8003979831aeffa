/* The devices that the options ask for. All belong to CPU 0, which polls them; their interrupts only end its sleep. */
#ifndef DEVICE_H
#define DEVICE_H

#include "serial.h"
#include "virtio.h"

/* A driver, one for each kind of device. */
struct driver {
	const char *options;                             /* that ask for it */
	bool (*wanted)(void);
	bool (*start)(struct cpu *c, struct virtio *v);  /* opens the device and fills its rings; false: there is none that will do */
	bool (*poll)(struct cpu *c, u64 now, bool stopping); /* true: there was something to do */
	void (*stat)(struct line *l, u64 ns);            /* adds fields; ns since the last time */
	bool (*settled)(void);                           /* of a guest that stops: no more is to come. NULL: always */
};

extern const struct driver net_driver, blk_driver, rng_driver, vcon_driver, balloon_driver, vsock_driver;

void devices_start(struct cpu *c);                 /* before memory_claim, because rings and buffers take memory */
bool devices_poll(struct cpu *c, bool stopping);   /* true: there was something to do */
void devices_sleep(struct cpu *c);                 /* until an interrupt, though first, for a while, not at all */
void devices_check(struct cpu *c);                 /* once a second: is each still well? */
void devices_stat(struct line *l, u64 ns);
bool devices_settled(void);

#endif
