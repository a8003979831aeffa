package migration

import (
	"context"
	"errors"
	"net"
	"testing"
)

// answering has a peer read a hello and answer it.
func answering(t *testing.T, answer func(net.Conn, Hello) error) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		h, err := ReadHello(far)
		if err == nil {
			err = answer(far, h)
		}
		if err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		near.Close()
		<-done
	})
	return near
}

func TestProbe(t *testing.T) {
	conn := answering(t, func(c net.Conn, h Hello) error {
		if h.Role != RoleProbe {
			t.Errorf("got role %v; want a probe", h.Role)
		}
		return WriteOffer(c, []byte("all of it"))
	})
	if got, err := Probe(t.Context(), conn); err != nil || string(got) != "all of it" {
		t.Errorf("got %q, %v; want the offer", got, err)
	}
}

func TestProbeThatIsRefused(t *testing.T) {
	conn := answering(t, func(c net.Conn, _ Hello) error { return Refuse(c, &Refusal{Code: "protocol", Message: "role 8"}) })
	_, err := Probe(t.Context(), conn)
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Code != "protocol" {
		t.Errorf("got %v; want the refusal", err)
	}
	conn = answering(t, func(c net.Conn, _ Hello) error { return WriteAnswer(c, Query{}, Started) })
	if _, err := Probe(t.Context(), conn); !errors.Is(err, ErrProtocol) {
		t.Errorf("got %v of a peer that answers something else; want ErrProtocol", err)
	}
	conn = answering(t, func(net.Conn, Hello) error { return nil })
	if _, err := Probe(t.Context(), conn); err == nil {
		t.Error("got an offer of a peer that hung up; want an error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	near, far := net.Pipe()
	defer far.Close()
	if _, err := Probe(ctx, near); err == nil {
		t.Error("got an offer of a peer that says nothing; want the context's end")
	}
}
