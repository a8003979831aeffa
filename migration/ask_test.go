package migration_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/tcptest"
	"github.com/ferryvmm/ferry/migration"
)

func TestAsk(t *testing.T) {
	q := migration.Query{Move: migration.NewMoveID(), Epoch: 4}
	for name, tc := range map[string]struct {
		answer func(net.Conn)
		want   migration.Answer
		err    error
	}{
		"started":     {func(c net.Conn) { migration.WriteAnswer(c, q, migration.Started) }, migration.Started, nil},
		"not started": {func(c net.Conn) { migration.WriteAnswer(c, q, migration.NotStarted) }, migration.NotStarted, nil},
		"lost":        {func(c net.Conn) { migration.WriteAnswer(c, q, migration.Lost) }, migration.Lost, nil},
		"another": {func(c net.Conn) { migration.WriteAnswer(c, migration.Query{Move: q.Move, Epoch: 5}, migration.Started) },
			migration.Unknown, migration.ErrProtocol},
		"no answer":   {func(c net.Conn) { migration.WriteAnswer(c, q, 9) }, migration.Unknown, migration.ErrProtocol},
		"closed":      {func(c net.Conn) { c.Close() }, migration.Unknown, migration.ErrLinkLost},
		"silent":      {func(c net.Conn) {}, migration.Unknown, migration.ErrLinkLost},
		"no ferry":    {func(c net.Conn) { c.Write(make([]byte, 100)) }, migration.Unknown, migration.ErrNotFerry},
		"not serving": {func(c net.Conn) { migration.Refuse(c, refusal) }, migration.Unknown, refusal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asker, answerer := tcptest.Pair(t)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			heard := make(chan error, 1)
			go func() {
				h, err := migration.ReadHello(answerer)
				if err == nil && (h.Role != migration.RoleAsk || h.Move != q.Move || h.Epoch != q.Epoch) {
					err = errors.New("another question")
				}
				tc.answer(answerer)
				heard <- err
			}()
			got, err := migration.AskPeer(ctx, asker, q)
			if got != tc.want || !sameError(err, tc.err) {
				t.Errorf("got %v, %v; want %v, %v", got, err, tc.want, tc.err)
			}
			if err := <-heard; err != nil {
				t.Error(err)
			}
		})
	}
}

var refusal = &migration.Refusal{Code: "busy", Message: "another time"}

// sameError is errors.Is for sentinels, and compares refusals, which are read from the wire.
func sameError(got, want error) bool {
	var g, w *migration.Refusal
	if errors.As(want, &w) {
		return errors.As(got, &g) && *g == *w
	}
	return errors.Is(got, want)
}
