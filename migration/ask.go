package migration

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// Answer is what a target's host can say about a commit.
type Answer uint8

//go:generate go tool stringer -type=Answer -linecomment
const (
	// Unknown proves nothing: there is no record, or it is damaged.
	Unknown Answer = iota + 1 // unknown
	// Pending: the move is still under way there. Ask again. (Earlier versions
	// said so; now a question about what is not decided decides it.)
	Pending // pending
	// NotStarted: a tombstone is durable; the guest will never start there.
	NotStarted // not_started
	// Started: the guest started there, or may have.
	Started // started
	// Lost: the guest started there, and its processes were killed.
	Lost // lost
)

// Query is the question what became of a commit.
type Query struct {
	Move  MoveID `cbor:"move" json:"move"`
	Epoch uint64 `cbor:"epoch" json:"epoch"`
}

// AskPeer asks on a fresh connection, which it does not close. The answer
// belongs to the query: a peer that answers another one is an ErrProtocol. A
// *Refusal is an error.
func AskPeer(ctx context.Context, conn net.Conn, q Query) (Answer, error) {
	defer endWith(ctx, conn)()
	h := EncodeHello(Hello{VersionMin: VersionMin, VersionMax: VersionMax, Role: RoleAsk, Move: q.Move, Epoch: q.Epoch})
	if _, err := conn.Write(h[:]); err != nil {
		return Unknown, linkError(err)
	}
	return readAnswer(conn, q)
}

// endWith has whatever is done with conn end with ctx, until the function that it returns is called.
func endWith(ctx context.Context, conn net.Conn) (stop func() bool) {
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	return context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
}

// readAnswer reads what WriteAnswer or Refuse wrote.
func readAnswer(r io.Reader, q Query) (Answer, error) {
	p, err := readReply(r, frameAnswer)
	if err != nil {
		return Unknown, err
	}
	var m answerMessage
	if err := decode(frameAnswer, p, &m); err != nil {
		return Unknown, err
	}
	if m.Query != q || m.Answer < Unknown || m.Answer > Lost {
		return Unknown, fmt.Errorf("%w: answer %d about %v, epoch %d", ErrProtocol, m.Answer, m.Query.Move, m.Query.Epoch)
	}
	return m.Answer, nil
}

// readReply reads the frame of that type that a question is answered with. That it was refused is an error, the *Refusal.
func readReply(r io.Reader, t frameType) ([]byte, error) {
	in := newInlet(r, controlBuffer)
	h, err := in.next()
	if err != nil {
		return nil, linkError(err)
	}
	if h.Type != t && h.Type != frameRefused {
		return nil, fmt.Errorf("%w: %v to a question", ErrProtocol, h.Type)
	}
	p, err := in.payload(h)
	if err != nil {
		return nil, linkError(err)
	}
	if h.Type == frameRefused {
		return nil, refused(h, p)
	}
	return p, nil
}

// refused is the *Refusal that a frame carries, or why it carries none.
func refused(h header, p []byte) error {
	r := new(Refusal)
	if err := decode(h.Type, p, r); err != nil {
		return err
	}
	return r
}

// WriteAnswer answers a connection whose Hello has RoleAsk. Before it is called
// with NotStarted, the tombstone must be durable.
func WriteAnswer(conn net.Conn, q Query, a Answer) error {
	return newOutlet(conn).message(header{Type: frameAnswer}, answerMessage{Query: q, Answer: a})
}

// Refuse answers a connection with why it will not be served, for instance
// after a hello with ErrVersion. It does not close the connection. A peer of
// any version understands it.
func Refuse(conn net.Conn, r *Refusal) error {
	return newOutlet(conn).message(header{Type: frameRefused}, r)
}
