package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/sealed"
	"github.com/ferryvmm/ferry/internal/tcptest"
)

// configs are those of a server, a.example, and of a client that know each other.
func configs(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	lab := t.TempDir()
	if _, err := Issue(lab, [][]string{{"a.example"}, {"b.example"}}, time.Hour); err != nil {
		t.Fatal(err)
	}
	a, err := Load(filepath.Join(lab, "a.example"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Load(filepath.Join(lab, "b.example"))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{a.own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.authorities},
		&tls.Config{Certificates: []tls.Certificate{b.own}, RootCAs: b.authorities, ServerName: "a.example"}
}

// within bounds a test.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// shake shakes hands at both ends.
func shake(t testing.TB, serving, dialling *tls.Config, admit func(tls.ConnectionState) error) (s, c *sealed.Conn, serverErr, clientErr error) {
	t.Helper()
	a, b := tcptest.Pair(t)
	ctx := within(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if s, serverErr = server(ctx, b, serving, admit); serverErr != nil {
			b.Close()
		}
	}()
	if c, clientErr = client(ctx, a, dialling); clientErr != nil {
		a.Close()
	}
	<-done
	return s, c, serverErr, clientErr
}

// TestHandedOver: another process goes on with the connection, at either end.
func TestHandedOver(t *testing.T) {
	serving, dialling := configs(t)
	s, c, serverErr, clientErr := shake(t, serving, dialling, nil)
	if serverErr != nil || clientErr != nil {
		t.Fatal(serverErr, clientErr)
	}
	hello := []byte("hello")
	if _, err := c.Write(hello); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(hello); err != nil {
		t.Fatal(err)
	}
	for _, end := range []**sealed.Conn{&s, &c} {
		session, err := (*end).Session()
		if err != nil {
			t.Fatal(err)
		}
		f, err := (*end).Socket().(*exact).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		raw, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		if *end, err = sealed.New(raw, session); err != nil {
			t.Fatal(err)
		}
	}
	for _, way := range []struct{ from, to *sealed.Conn }{{c, s}, {s, c}} {
		got := make([]byte, 9)
		if _, err := way.from.Write([]byte("is it on?")); err != nil {
			t.Fatal(err)
		}
		if n, err := way.to.Read(got); err != nil || string(got[:n]) != "is it on?" {
			t.Errorf("got %q, %v; want what was written", got[:n], err)
		}
	}
}

// TestRefused: neither end goes on, and both know why.
func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		change                  func(server, client *tls.Config)
		admit                   func(tls.ConnectionState) error
		serverSays, clientHears string
		serverAs, clientAs      error
	}{
		"no certificate": {change: func(_, c *tls.Config) { c.Certificates = nil }, serverSays: "didn't provide a certificate", clientHears: "certificate required"},
		"another authority's": {
			change:     func(_, c *tls.Config) { _, other := configs(t); c.Certificates = other.Certificates },
			serverSays: "unknown authority", clientHears: "unknown certificate authority",
		},
		"the server is another": {change: func(_, c *tls.Config) { c.ServerName = "other" }, serverSays: "bad certificate", clientHears: "not other"},
		"TLS 1.2 of the client": {change: func(s, c *tls.Config) {}, serverSays: "unsupported versions", clientHears: "protocol version"},
		"not on the list": {
			admit: func(tls.ConnectionState) error { return errors.New("not on the list") }, serverSays: "not on the list", clientHears: "not on the list", clientAs: errNotAdmitted,
		},
	} {
		t.Run(name, func(t *testing.T) {
			serving, dialling := configs(t)
			if tc.change != nil {
				tc.change(serving, dialling)
			}
			var serverErr, clientErr error
			if strings.HasPrefix(name, "TLS 1.2") {
				a, b := tcptest.Pair(t)
				dialling.MaxVersion = tls.VersionTLS12
				done := make(chan struct{})
				go func() { defer close(done); clientErr = tls.Client(a, dialling).Handshake() }()
				_, serverErr = server(within(t), b, serving, nil)
				b.Close()
				<-done
			} else {
				_, _, serverErr, clientErr = shake(t, serving, dialling, tc.admit)
			}
			if serverErr == nil || !strings.Contains(serverErr.Error(), tc.serverSays) {
				t.Errorf("the server got %v; want %q", serverErr, tc.serverSays)
			}
			if clientErr == nil || !strings.Contains(clientErr.Error(), tc.clientHears) {
				t.Errorf("the client got %v; want %q", clientErr, tc.clientHears)
			}
			if tc.clientAs != nil && !errors.Is(clientErr, tc.clientAs) {
				t.Errorf("the client got %v; want %v", clientErr, tc.clientAs)
			}
		})
	}
}

// TestPlain: who speaks no TLS is told apart at once, at either end.
func TestPlain(t *testing.T) {
	serving, dialling := configs(t)
	for name, hand := range map[string]func(net.Conn) error{
		"server": func(c net.Conn) error { _, err := server(within(t), c, serving, nil); return err },
		"client": func(c net.Conn) error { _, err := client(within(t), c, dialling); return err },
	} {
		a, b := tcptest.Pair(t)
		if _, err := b.Write([]byte("FERRYMIG")); err != nil {
			t.Fatal(err)
		}
		if err := hand(a); !errors.Is(err, ErrPlain) {
			t.Errorf("%s: got %v; want ErrPlain", name, err)
		}
	}
}

// TestSilence: who says nothing is waited for no longer than the caller wants.
func TestSilence(t *testing.T) {
	serving, dialling := configs(t)
	for name, hand := range map[string]func(context.Context, net.Conn) error{
		"server": func(ctx context.Context, c net.Conn) error { _, err := server(ctx, c, serving, nil); return err },
		"client": func(ctx context.Context, c net.Conn) error { _, err := client(ctx, c, dialling); return err },
	} {
		a, _ := tcptest.Pair(t)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		if err := hand(ctx, a); err == nil {
			t.Errorf("%s: got a connection; want an error", name)
		}
		cancel()
	}
}
