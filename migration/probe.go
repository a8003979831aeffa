package migration

import (
	"bytes"
	"context"
	"net"
)

// RoleProbe is of a connection that only asks what the host at its other end can take. A receiver that is too old to know it refuses
// with code "protocol".
const RoleProbe Role = 8

// MaxOffer bounds what a receiver says of its host, in bytes.
const MaxOffer = 64 << 10

// Probe asks the receiver at the other end of a fresh connection, which it does not close, what its host can take. It reserves nothing,
// and the receiver listens on. What it answers is the receiver's own affair: see package vmm/supervisor/doctor. A *Refusal is an error.
func Probe(ctx context.Context, conn net.Conn) ([]byte, error) {
	defer endWith(ctx, conn)()
	h := EncodeHello(Hello{VersionMin: VersionMin, VersionMax: VersionMax, Role: RoleProbe})
	if _, err := conn.Write(h[:]); err != nil {
		return nil, linkError(err)
	}
	p, err := readReply(conn, frameOffer)
	return bytes.Clone(p), err
}

// WriteOffer answers a connection whose Hello has RoleProbe. Precondition: at most MaxOffer bytes.
func WriteOffer(conn net.Conn, offer []byte) error {
	return newOutlet(conn).frame(header{Type: frameOffer}, offer)
}
