/* Virtio devices behind memory-mapped registers (VIRTIO 1.2, 4.2), modern only. */
#ifndef VIRTIO_H
#define VIRTIO_H

#include "ring.h"

#define VIRTIO_F_INDIRECT (1ul << 28)
#define VIRTIO_F_EVENT_INDEX (1ul << 29)
#define VIRTIO_F_VERSION_1 (1ul << 32)

#define MAX_RINGS 4

struct virtio {
	volatile u32 *registers;
	u32 id, irq;                  /* what kind of device; its pin of the I/O APIC */
	u64 features;                 /* agreed on */
	u32 ring_count;
	struct ring *rings[MAX_RINGS];
};

/* A word SIZE@BASE:IRQ of the command line says where a device is. false: malformed, or where loadgen maps no device. */
bool virtio_add(const char *word);

/* The first device of a kind, reset, and those of the features agreed on that it offers. Of these VIRTIO_F_VERSION_1 is a must,
 * the ring's two are always wanted. false: no such device, or it refuses. */
bool virtio_open(struct virtio *v, u32 id, u64 wanted);
bool virtio_offers(const struct virtio *v, u64 feature);

/* Sets up queue number with at most size descriptors. false: the device has no such queue. */
bool virtio_ring(struct virtio *v, u32 number, u32 size, struct ring *r);

void virtio_go(struct virtio *v, u32 vector); /* driver ready; interrupts go to this CPU */
void virtio_acknowledge(const struct virtio *v); /* the interrupt that came, so that the next one can */
u32 virtio_status(const struct virtio *v);
void virtio_fail(const struct virtio *v); /* the driver gives the device up */

/* Of the device's configuration. */
u8 virtio_config8(const struct virtio *v, u32 offset);
u32 virtio_config32(const struct virtio *v, u32 offset);
u64 virtio_config64(const struct virtio *v, u32 offset);
void virtio_config_set32(const struct virtio *v, u32 offset, u32 value);

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4
#define STATUS_FEATURES_OK 8
#define STATUS_NEEDS_RESET 64
#define STATUS_FAILED 128

#endif
