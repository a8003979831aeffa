package sealed

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ferryvmm/ferry/internal/tcptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// configs are those of a server and of a client that know each other.
func configs(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"host"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	own := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	return &tls.Config{Certificates: own, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool},
		&tls.Config{Certificates: own, RootCAs: pool, ServerName: "host"}
}

// pair is two ends of one session.
func pair(t testing.TB) (s, c *Conn) {
	t.Helper()
	x, y := Direction{Secret: noise(32), Records: 5}, Direction{Secret: bytes.Repeat([]byte{7}, 32)}
	a, b := tcptest.Pair(t)
	s, err1 := New(a, Session{Suite: suiteID, In: x, Out: y})
	c, err2 := New(b, Session{Suite: suiteID, In: y, Out: x})
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return s, c
}

// suiteID is of TLS_AES_128_GCM_SHA256.
const suiteID = tls.TLS_AES_128_GCM_SHA256

// noise is bytes of no pattern.
func noise(n int) []byte {
	p := make([]byte, n)
	r := mathrand.NewChaCha8([32]byte{1})
	r.Read(p)
	return p
}

// pour writes all of p in pieces of all sizes.
func pour(w io.Writer, p []byte) error {
	for n := 1; len(p) > 0; n = n*3 + 1 {
		k := min(n, len(p))
		if _, err := w.Write(p[:k]); err != nil {
			return err
		}
		p = p[k:]
		n %= 200_000
	}
	return nil
}

// scoop reads n bytes with buffers of all sizes.
func scoop(r io.Reader, n int) ([]byte, error) {
	got := make([]byte, 0, n)
	for size := 1; len(got) < n; size = (size*5 + 1) % 100_000 {
		k, err := r.Read(got[len(got):min(len(got)+size, n)])
		got = got[:len(got)+k]
		if err != nil {
			return got, err
		}
	}
	return got, nil
}

// TestWhatIsWrittenIsRead, in both directions, by another process than the one that shook hands, and with a new key now and then.
func TestWhatIsWrittenIsRead(t *testing.T) {
	s, c := pair(t)
	for i, end := range []**Conn{&s, &c} {
		session, err := (*end).Session()
		if err != nil {
			t.Fatal(err)
		}
		if *end, err = New((*end).Socket(), session); err != nil {
			t.Fatal(err)
		}
		(*end).out.renews = uint64(3 + i)
	}
	want := noise(3 << 20)
	for _, way := range []struct{ from, to *Conn }{{s, c}, {c, s}} {
		wrote := make(chan error, 1)
		go func() { wrote <- pour(way.from, want) }()
		got, err := scoop(way.to, len(want))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, the same: %v, %v; want %d", len(got), bytes.Equal(got, want), err, len(want))
		}
		if err := <-wrote; err != nil {
			t.Error(err)
		}
		go func() {
			_, err := way.from.WriteBuffers(net.Buffers{nil, want[:5], {}, want[5:70_000], want[70_000:], nil})
			wrote <- err
		}()
		if got, err = scoop(way.to, len(want)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("parts: got %d bytes, %v; want %d, the same", len(got), err, len(want))
		}
		if err := <-wrote; err != nil {
			t.Error(err)
		}
	}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v; want the end", err)
	}
	s.Close()
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("of an end without a word: got %d, %v; want io.ErrUnexpectedEOF", n, err)
	}
}

// keyLog keeps the lines of SSLKEYLOGFILE.
type keyLog struct{ strings.Builder }

// of is the direction from one side.
func (k *keyLog) of(side string) Direction {
	_, line, _ := strings.Cut(k.String(), side+"_TRAFFIC_SECRET_0 ")
	secret, _ := hex.DecodeString(strings.Fields(line)[1])
	return Direction{Secret: secret}
}

// TestStandard: at the other end is crypto/tls, which knows nothing of this package.
func TestStandard(t *testing.T) {
	for _, name := range []string{"server", "client"} {
		t.Run(name, func(t *testing.T) {
			server, client := configs(t)
			server.SessionTicketsDisabled = true
			var keys keyLog
			a, b := tcptest.Pair(t)
			theirs, own := tls.Server(b, server), tls.Client(a, client)
			if name == "client" {
				theirs, own = tls.Client(b, client), tls.Server(a, server)
				server.KeyLogWriter = &keys
			} else {
				client.KeyLogWriter = &keys
			}
			shook := make(chan error, 1)
			go func() { shook <- theirs.Handshake() }()
			if err := errors.Join(own.Handshake(), <-shook); err != nil {
				t.Fatal(err)
			}
			session := Session{Suite: own.ConnectionState().CipherSuite, In: keys.of("SERVER"), Out: keys.of("CLIENT")}
			if name == "client" {
				session.In, session.Out = session.Out, session.In
			}
			ours, err := New(a, session) // it has nothing of what comes in a buffer: the other end has said nothing yet
			if err != nil {
				t.Fatal(err)
			}
			end := make([]byte, 1)
			ours.out.renews = 7 // crypto/tls follows
			want := noise(2 << 20)
			wrote := make(chan error, 1)
			go func() { wrote <- pour(ours, want) }()
			if got, err := scoop(theirs, len(want)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("it got %d bytes, %v; want %d, the same", len(got), err, len(want))
			}
			if err := <-wrote; err != nil {
				t.Error(err)
			}
			go func() { wrote <- pour(theirs, want) }()
			if got, err := scoop(ours, len(want)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %d bytes, %v; want %d, the same", len(got), err, len(want))
			}
			if err := <-wrote; err != nil {
				t.Error(err)
			}
			if err := ours.CloseWrite(); err != nil {
				t.Error(err)
			}
			if _, err := theirs.Read(end); !errors.Is(err, io.EOF) {
				t.Errorf("it got %v; want the end", err)
			}
			theirs.CloseWrite()
			if _, err := ours.Read(end); !errors.Is(err, io.EOF) {
				t.Errorf("got %v; want the end", err)
			}
		})
	}
}

// TestTampering: what was changed, repeated, left out or made up is not read.
func TestTampering(t *testing.T) {
	record := func(c *Conn, p string) []byte {
		return c.out.seal(append(append([]byte(nil), blankHeader[:]...), p...), 0, kindData)
	}
	for name, change := range map[string]func(c *Conn) []byte{
		"content":      func(c *Conn) []byte { r := record(c, "abc"); r[HeaderSize] ^= 1; return r },
		"tag":          func(c *Conn) []byte { r := record(c, "abc"); r[len(r)-1] ^= 1; return r },
		"length":       func(c *Conn) []byte { r := append(record(c, "abc"), 0); r[4]++; return r },
		"left out":     func(c *Conn) []byte { record(c, "abc"); return record(c, "def") },
		"repeated":     func(c *Conn) []byte { r := record(c, "x"); return append(bytes.Clone(r), r...) },
		"in the clear": func(c *Conn) []byte { return append([]byte{byte(kindAlert), 3, 3, 0, 2}, 1, 0) },
		"too long":     func(c *Conn) []byte { return []byte{wireType, 3, 3, 0x50, 0} },
		"too short":    func(c *Conn) []byte { return []byte{wireType, 3, 3, 0, 1, 0} },
		"nothing in it": func(c *Conn) (all []byte) {
			for range maxIdle + 2 {
				all = append(all, record(c, "")...)
			}
			return all
		},
		"only padding": func(c *Conn) []byte { return c.out.seal(append([]byte(nil), blankHeader[:]...), 0, 0) },
		"another kind": func(c *Conn) []byte { return c.out.seal(append([]byte(nil), blankHeader[:]...), 0, 20) },
		"a ticket": func(c *Conn) []byte {
			return c.out.seal(append(append([]byte(nil), blankHeader[:]...), 4, 0, 0, 0), 0, kindHandshake)
		},
		"an alert": func(c *Conn) []byte {
			return c.out.seal(append(append([]byte(nil), blankHeader[:]...), 2, 20), 0, kindAlert)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := pair(t)
			if _, err := c.Socket().Write(change(c)); err != nil {
				t.Fatal(err)
			}
			_, err := io.ReadAll(s)
			if !errors.Is(err, ErrBroken) {
				t.Errorf("got %v; want ErrBroken", err)
			}
			if _, again := s.Read(make([]byte, 8)); !errors.Is(again, ErrBroken) {
				t.Errorf("the next read: got %v; want ErrBroken", again)
			}
		})
	}
}

// TestSessionInTheMiddle: what another process would miss is not handed over.
func TestSessionInTheMiddle(t *testing.T) {
	s, c := pair(t)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if got := s.Buffered(); got != 3 {
		t.Errorf("got %d bytes unread; want 3", got)
	}
	if _, err := s.Session(); !errors.Is(err, ErrBroken) {
		t.Errorf("got %v; want ErrBroken", err)
	}
	session, err := c.Session()
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", session, session, session); strings.Contains(text, fmt.Sprint(session.In.Secret[:4])[1:]) {
		t.Errorf("got %q; want no secret", text)
	}
	for _, wrong := range []Session{{}, {Suite: session.Suite}, {Suite: tls.TLS_CHACHA20_POLY1305_SHA256, In: session.In, Out: session.Out}} {
		if _, err := New(c.Socket(), wrong); err == nil {
			t.Errorf("%v: got a connection; want an error", wrong)
		}
	}
}

// TestNoAllocation on the path of pages.
func TestNoAllocation(t *testing.T) {
	s, c := pair(t)
	page, into := noise(64<<10), make([]byte, 512<<10)
	v := net.Buffers{page[:100], page}
	run := func() {
		if _, err := c.WriteBuffers(v); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(page)+100; {
			k, err := s.Read(into)
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
	}
	for range 8 {
		run()
	}
	if got := testing.AllocsPerRun(100, run); got > 0 {
		t.Errorf("got %v allocations; want none", got)
	}
}

// stub is a connection that says what it was given.
type stub struct {
	net.Conn
	r io.Reader
}

func (s stub) Read(p []byte) (int, error) { return s.r.Read(p) }

// FuzzRead has a peer say anything, sealed with the right key or not.
func FuzzRead(f *testing.F) {
	d := Direction{Secret: make([]byte, 32)}
	session := Session{Suite: tls.TLS_AES_128_GCM_SHA256, In: d, Out: d}
	f.Add([]byte("abc"), byte(kindData), []byte{})
	f.Add([]byte{1, 0}, byte(kindAlert), []byte{})
	f.Add(keyUpdate[:], byte(kindHandshake), []byte{23, 3, 3, 0, 17})
	f.Add([]byte{}, byte(0), []byte("FERRY"))
	f.Fuzz(func(t *testing.T, content []byte, k byte, more []byte) { // of kind 0 is padding
		var h half
		if err := h.begin(session.Suite, d); err != nil {
			t.Fatal(err)
		}
		b := h.seal(append(append([]byte(nil), blankHeader[:]...), content[:min(len(content), maxPlain)]...), 0, kind(k))
		c, err := New(stub{r: io.MultiReader(bytes.NewReader(b), bytes.NewReader(more))}, session)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if kind(k) == kindData && !bytes.HasPrefix(got, content[:min(len(content), maxPlain)]) {
			t.Errorf("got %d bytes; want what was sealed first", len(got))
		}
		if k != 0 && kind(k) != kindData && kind(k) != kindHandshake && len(got) > 0 && !(kind(k) == kindAlert && len(content) == 2 && content[1] == userCanceled) {
			t.Errorf("got %d bytes, %v; want none of kind %d", len(got), err, k)
		}
	})
}

// BenchmarkPump sends to who throws it away: with crypto/tls at both ends, and with what this package makes of that.
func BenchmarkPump(b *testing.B) {
	page := noise(1 << 20)
	v := make(net.Buffers, 0, 2)
	for name, ends := range map[string]func() (io.Writer, io.Reader){
		"sealed": func() (io.Writer, io.Reader) { s, c := pair(b); return c, s },
		"crypto/tls": func() (io.Writer, io.Reader) {
			server, client := configs(b)
			x, y := tcptest.Pair(b)
			return tls.Client(x, client), tls.Server(y, server)
		},
	} {
		b.Run(name, func(b *testing.B) {
			w, r := ends()
			done := make(chan error, 1)
			go func() {
				into := make([]byte, 512<<10)
				for left := b.N * len(page); left > 0; {
					n, err := r.Read(into)
					if left -= n; err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			b.SetBytes(int64(len(page)))
			for range b.N {
				var err error
				if c, ok := w.(*Conn); ok {
					_, err = c.WriteBuffers(append(v[:0], page))
				} else {
					_, err = w.Write(page)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
