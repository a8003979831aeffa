package migration

import (
	"context"
	"net"
)

// Bereave tells a target, on a fresh connection, which it does not close, that the
// source's machine is dead: pages that are missing never come. It returns when the
// target knows.
func Bereave(ctx context.Context, conn net.Conn, q Query) error {
	defer endWith(ctx, conn)()
	h := EncodeHello(Hello{VersionMin: VersionMin, VersionMax: VersionMax, Role: RoleBereave, Move: q.Move, Epoch: q.Epoch})
	if _, err := conn.Write(h[:]); err != nil {
		return linkError(err)
	}
	_, err := readAnswer(conn, q)
	return err
}
