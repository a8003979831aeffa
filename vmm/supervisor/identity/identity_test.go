package identity

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ferryvmm/ferry/internal/sealed"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// made is a laboratory with the folders of two hosts.
func made(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "lab")
	if _, err := Issue(dir, [][]string{{"a.example", "127.0.0.1"}, {"b.example"}}, time.Hour); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestIssue(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	now := time.Now()
	got, err := issue(dir, [][]string{{"a.example", "::1"}, {"b"}}, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	until := now.Add(time.Hour).UTC().Truncate(time.Second)
	want := []Issued{{[]string{"a.example", "::1"}, filepath.Join(dir, "a.example"), until}, {[]string{"b"}, filepath.Join(dir, "b"), until}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("issued (-want +got):\n%s", diff)
	}
	for _, path := range []string{"ca-key.pem", "a.example/key.pem", "b/key.pem", "b/cert.pem"} {
		st, err := os.Stat(filepath.Join(dir, path))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %v, %v; want mode 0600", path, st, err)
		}
	}
	a, err := Load(filepath.Join(dir, "a.example"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a.example", "::1"}, a.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	// Another day the same authority gives b a new certificate, not longer than it has itself.
	later, err := issue(dir, [][]string{{"b"}}, now.Add(300*24*time.Hour), 1000*time.Hour*24)
	if err != nil {
		t.Fatal(err)
	}
	if got, most := later[0].Expires, now.Add(caValid); got.After(most) {
		t.Errorf("got a certificate until %v; want one until %v at the latest", got, most)
	}
	if _, err := load(filepath.Join(dir, "b"), now.Add(300*24*time.Hour)); err != nil {
		t.Errorf("renewed: %v", err)
	}
	if _, err := issue(dir, [][]string{{"b"}}, now.Add(400*24*time.Hour), time.Hour); api.AsError(err) == nil || api.AsError(err).Code != api.CodeTLS {
		t.Errorf("of an authority that is over: got %v; want an error of code tls", err)
	}
	for _, name := range []string{"", "../x", "a b", "*.x"} {
		if _, err := Issue(dir, [][]string{{name}}, time.Hour); err == nil {
			t.Errorf("%q: got a certificate; want an error", name)
		}
	}
}

// TestLoad: what nobody would trust is found before anything begins, with what to do about it.
func TestLoad(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, dir string)
		later time.Duration
		want  string
	}{
		"nothing there": {spoil: func(t *testing.T, dir string) { os.RemoveAll(dir) }, want: "no such file"},
		"no key":        {spoil: func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, keyFile)) }, want: "key.pem: no such file"},
		"anybody's key": {spoil: func(t *testing.T, dir string) { os.Chmod(filepath.Join(dir, keyFile), 0o640) }, want: "can be read by other users (mode 0640)"},
		"no authority":  {spoil: func(t *testing.T, dir string) { os.WriteFile(filepath.Join(dir, caFile), []byte("x"), 0o600) }, want: "no certificate in PEM"},
		"another's key": {spoil: func(t *testing.T, dir string) { other(t, dir, keyFile) }, want: "private key does not match"},
		"another's CA":  {spoil: func(t *testing.T, dir string) { other(t, dir, caFile) }, want: "unknown authority"},
		"no file": {spoil: func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, caFile))
			os.Mkdir(filepath.Join(dir, caFile), 0o700)
		}, want: "is no file"},
		"too large": {spoil: func(t *testing.T, dir string) { os.Truncate(filepath.Join(dir, caFile), maxFile+1) }, want: "bytes"},
		"over":      {later: 2 * time.Hour, want: "was valid until"},
		"not yet":   {later: -2 * time.Hour, want: "is valid from"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(made(t), "a.example")
			if tc.spoil != nil {
				tc.spoil(t, dir)
			}
			_, err := load(dir, time.Now().Add(tc.later))
			e, ok := errors.AsType[*api.Error](err)
			if !ok || e.Code != api.CodeTLS || e.Remedy == "" || !strings.Contains(e.Message, tc.want) {
				t.Errorf("got %+v; want an error of code tls with %q and a remedy", err, tc.want)
			}
		})
	}
}

// other puts the file of another laboratory's host into a folder.
func other(t *testing.T, dir, file string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(made(t), "b.example", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestMeet: a client wants the host that it dialled, a server one of its list.
func TestMeet(t *testing.T) {
	lab := made(t)
	for name, tc := range map[string]struct {
		host   string
		allow  []string
		client string // its folder
		want   string // in the client's error; empty: none
		code   string
	}{
		"by name":           {host: "a.example"},
		"by address":        {host: "127.0.0.1"},
		"allowed":           {host: "a.example", allow: []string{"x", "B.example"}},
		"not allowed":       {host: "a.example", allow: []string{"x"}, want: "does not allow b.example"},
		"another host":      {host: "c.example", want: "its certificate is of a.example, 127.0.0.1, not of c.example"},
		"another authority": {host: "a.example", client: filepath.Join(made(t), "b.example"), want: "another authority"},
	} {
		t.Run(name, func(t *testing.T) {
			server, err := Load(filepath.Join(lab, "a.example"))
			if err != nil {
				t.Fatal(err)
			}
			if tc.client == "" {
				tc.client = filepath.Join(lab, "b.example")
			}
			client, err := Load(tc.client)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			served := make(chan error, 1)
			go func() {
				conn, err := l.Accept()
				if err == nil {
					defer conn.Close()
					_, err = server.Admit(ctx, conn, tc.allow)
				}
				served <- err
			}()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			var c *sealed.Conn
			c, err = client.Meet(ctx, conn, tc.host)
			if err != nil {
				conn.Close()
			}
			serverErr := <-served
			if tc.want == "" {
				if err != nil || serverErr != nil || c.Suite() == "" {
					t.Errorf("got %v, %v; want a connection", err, serverErr)
				}
				return
			}
			e, ok := errors.AsType[*api.Error](err)
			if !ok || e.Code != api.CodeTLS || e.Remedy == "" || !strings.Contains(e.Message, tc.want) || serverErr == nil {
				t.Errorf("got %+v, at the server %v; want an error of code tls with %q", err, serverErr, tc.want)
			}
		})
	}
}
