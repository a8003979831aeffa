package ipc

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns two connected ends that serve with a and b.
func pair(t *testing.T, a, b Handler) (*Conn, *Conn) {
	t.Helper()
	fa, fb, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	ca, cb := New(fa, a), New(fb, b)
	t.Cleanup(func() { ca.Close(); cb.Close() })
	return ca, cb
}

func none(context.Context, *Request) (Reply, error) { return Reply{}, nil }

func TestCallAnswersWithBodyAndFiles(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ca, _ := pair(t, none, func(_ context.Context, q *Request) (Reply, error) {
		var s string
		if err := q.Decode(&s); err != nil {
			return Reply{}, err
		}
		_, err := io.WriteString(q.Files[0], s)
		q.CloseFiles()
		return Reply{Body: q.Method + "!"}, err
	})
	var out string
	if _, err := ca.Call(context.Background(), "hello", "through the pipe", &out, w); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r) // ends, for no copy of w is left
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"hello!", "through the pipe"}, []string{out, string(got)}); diff != "" {
		t.Errorf("answer and pipe (-want +got):\n%s", diff)
	}
}

// A socket that is handed over for long must not keep waking the poller of the process that it came from.
func TestFilesAreClosedWhileTheCallLasts(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	over := make(chan struct{})
	ca, _ := pair(t, none, func(_ context.Context, q *Request) (Reply, error) {
		q.CloseFiles()
		<-over
		return Reply{}, nil
	})
	called := make(chan error, 1)
	go func() {
		_, err := ca.Call(context.Background(), "x", nil, nil, w)
		called <- err
	}()
	if _, err := io.ReadAll(r); err != nil { // ends when neither process has w
		t.Error(err)
	}
	select {
	case err := <-called:
		t.Errorf("the call is over: %v", err)
	default:
	}
	close(over)
	if err := <-called; err != nil {
		t.Error(err)
	}
}

func TestErrorsKeepCodeAndRemedy(t *testing.T) {
	want := &Error{Code: "no_memory", Message: "no memory", Remedy: "add some"}
	ca, _ := pair(t, none, func(context.Context, *Request) (Reply, error) { return Reply{}, want })
	_, err := ca.Call(context.Background(), "x", nil, nil)
	var got *Error
	if !errors.As(err, &got) {
		t.Fatalf("got %v; want an *Error", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCallFailsWhenThePeerDies(t *testing.T) {
	entered := make(chan struct{})
	fa, fb, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	ca := New(fa, none)
	cb := New(fb, func(ctx context.Context, _ *Request) (Reply, error) {
		close(entered)
		<-ctx.Done()
		return Reply{}, ctx.Err()
	})
	go func() { <-entered; cb.Close() }()
	_, err = ca.Call(context.Background(), "x", nil, nil)
	if !errors.Is(err, ErrClosed) {
		t.Errorf("got %v; want ErrClosed", err)
	}
	<-ca.Done()
	if _, err := ca.Call(context.Background(), "x", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: got %v; want ErrClosed", err)
	}
	ca.Close()
}

func TestDrainLetsAnswersOut(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	fa, fb, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	ca := New(fa, none)
	cb := New(fb, func(context.Context, *Request) (Reply, error) {
		close(entered)
		<-release
		return Reply{Body: "answer"}, nil
	})
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		<-entered
		close(release)
		cb.Drain(time.Minute)
		cb.Close()
	}()
	var got string
	if _, err := ca.Call(context.Background(), "x", nil, &got); err != nil || got != "answer" {
		t.Errorf("got %q, %v; want the answer", got, err)
	}
	<-closed
	ca.Close()
}

func TestNotificationsKeepTheirOrder(t *testing.T) {
	const n = 500
	got := make(chan int, n)
	ca, _ := pair(t, none, func(_ context.Context, q *Request) (Reply, error) {
		var i int
		err := q.Decode(&i)
		got <- i
		return Reply{}, err
	})
	for i := range n {
		if err := ca.Notify("n", i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if v := <-got; v != i {
			t.Fatalf("notification %d: got %d", i, v)
		}
	}
}

func TestOversizedMessageIsRefusedAndTheConnectionLives(t *testing.T) {
	ca, _ := pair(t, none, none)
	if _, err := ca.Call(context.Background(), "x", make([]byte, maxPacket+1), nil); err == nil {
		t.Error("a message over the limit was sent")
	}
	if _, err := ca.Call(context.Background(), "x", nil, nil); err != nil {
		t.Errorf("after a refused message: %v", err)
	}
}

func FuzzEnvelope(f *testing.F) {
	f.Add([]byte{0xa1, 0x01, 0x01})
	f.Fuzz(func(t *testing.T, p []byte) {
		var e envelope
		_ = decMode.Unmarshal(p, &e)
		var s struct{ A string }
		_ = decode(e.Body, &s)
	})
}
