package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"

	"github.com/ferryvmm/ferry/internal/sealed"
)

// protocol is the application protocol of the handshake (ALPN, RFC 7301): a peer of something else that trusts the same authority
// is not taken for one of ours.
const protocol = "ferry-migration"

var (
	// ErrPlain: the peer speaks no TLS. Either side must be started anew, for both with TLS or both without.
	ErrPlain = errors.New("the peer speaks no TLS")
	// errNotAdmitted: the peer knows who we are, and does not want us. What it says of that is with it.
	errNotAdmitted = errors.New("the peer does not admit this host")
)

// maxReason bounds what a server says of why it does not admit a client, in bytes.
const maxReason = 200

// admitted is the first byte that a server sends: a client of TLS 1.3 learns only by that whether its certificate was accepted.
// Any other is followed by the reason.
const admitted = 1

// client shakes hands with the server at the other end, and returns when that has admitted us. config says whom to trust and who we
// are. The caller bounds the time, by ctx; when that is done, the connection is closed.
func client(ctx context.Context, raw net.Conn, config *tls.Config) (*sealed.Conn, error) {
	var keys keyLog
	e := &exact{Conn: raw}
	t := tls.Client(e, hardened(config, &keys))
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	answer := make([]byte, 1+maxReason)
	n, err := t.Read(answer)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	if answer[0] != admitted {
		return nil, fmt.Errorf("%w: %q", errNotAdmitted, answer[1:n])
	}
	return goOn(t, e, sealed.Session{In: sealed.Direction{Secret: keys.server, Records: 1}, Out: sealed.Direction{Secret: keys.client}})
}

// server shakes hands with the client at the other end. admit, which may be nil, looks at who that is; its error, which the client is
// told, ends the connection. The caller bounds the time, by ctx.
func server(ctx context.Context, raw net.Conn, config *tls.Config, admit func(tls.ConnectionState) error) (*sealed.Conn, error) {
	var keys keyLog
	e := &exact{Conn: raw}
	t := tls.Server(e, hardened(config, &keys))
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	answer := []byte{admitted}
	var refusal error
	if admit != nil {
		if refusal = admit(t.ConnectionState()); refusal != nil {
			text := refusal.Error()
			answer = append([]byte{0}, text[:min(len(text), maxReason)]...)
		}
	}
	if _, err := t.Write(answer); err != nil || refusal != nil {
		return nil, errors.Join(refusal, err)
	}
	return goOn(t, e, sealed.Session{In: sealed.Direction{Secret: keys.client}, Out: sealed.Direction{Secret: keys.server, Records: 1}})
}

// hardened is a config for TLS 1.3 and nothing else. A session is not resumed: each is of a handshake of its own.
func hardened(config *tls.Config, keys *keyLog) *tls.Config {
	c := config.Clone()
	c.MinVersion, c.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	c.NextProtos = []string{protocol}
	c.SessionTicketsDisabled, c.ClientSessionCache = true, nil
	c.DynamicRecordSizingDisabled = true
	c.KeyLogWriter = keys
	return c
}

// goOn leaves crypto/tls behind, which has read nothing beyond its last record.
func goOn(t *tls.Conn, e *exact, s sealed.Session) (*sealed.Conn, error) {
	state := t.ConnectionState()
	if state.NegotiatedProtocol != protocol {
		return nil, fmt.Errorf("%w: it speaks %q", errNotAdmitted, state.NegotiatedProtocol)
	}
	s.Suite = state.CipherSuite
	return sealed.New(e, s)
}

// keyLog takes the secrets of the two directions from the lines that crypto/tls writes for each (the format of SSLKEYLOGFILE,
// draft-ietf-tls-keylogfile): label, client random, secret. They go nowhere else.
type keyLog struct{ client, server []byte }

// Write implements io.Writer for one whole line.
func (k *keyLog) Write(line []byte) (int, error) {
	f := bytes.Fields(line)
	if len(f) != 3 {
		return len(line), nil
	}
	secret := make([]byte, hex.DecodedLen(len(f[2])))
	if _, err := hex.Decode(secret, f[2]); err != nil {
		return 0, err
	}
	switch string(f[0]) {
	case "CLIENT_TRAFFIC_SECRET_0":
		k.client = secret
	case "SERVER_TRAFFIC_SECRET_0":
		k.server = secret
	}
	return len(line), nil
}
