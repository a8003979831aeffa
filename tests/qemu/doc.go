// Package qemu drives QEMU as a peer to compare with: the same guest, on the
// same hosts of a lab, moved by QEMU's own live migration.
package qemu
