package supervisor

import (
	"context"
	"testing"

	"github.com/ferryvmm/ferry/internal/ipc"
)

// What a machine asked for before it went is answered before its end is taken for one: the answer may have taken a name.
func TestEndAwaitsAnswers(t *testing.T) {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	asked, answer := make(chan struct{}), make(chan struct{})
	p := &process{gone: make(chan struct{})}
	close(p.gone)
	answered := false
	p.conn = ipc.New(ours, func(context.Context, *ipc.Request) (ipc.Reply, error) {
		close(asked)
		<-answer
		answered = true
		return ipc.Reply{}, nil
	})
	peer := ipc.New(theirs, func(context.Context, *ipc.Request) (ipc.Reply, error) { return ipc.Reply{}, nil })
	go peer.Call(t.Context(), "arriving", nil, nil) //nolint:errcheck // the connection ends
	<-asked
	peer.Close()
	ended := make(chan struct{})
	go func() {
		p.end()
		close(ended)
	}()
	<-p.conn.Done() // from here on it could return
	select {
	case <-ended:
		t.Error("it returned before the machine was answered")
	default:
	}
	close(answer)
	<-ended
	if !answered {
		t.Error("it returned before the machine was answered")
	}
}
