package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/ferryvmm/ferry/internal/sealed"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// Meet shakes hands with the receiver that was dialled as host: it must prove to be that. Its errors have code api.CodeTLS.
func (id *Identity) Meet(ctx context.Context, conn net.Conn, host string) (*sealed.Conn, error) {
	c, err := client(ctx, conn, &tls.Config{RootCAs: id.authorities, Certificates: []tls.Certificate{id.own}, ServerName: host})
	if err != nil {
		return nil, id.explain(err, host)
	}
	return c, nil
}

// explain says what to do about a receiver that was not met.
func (id *Identity) explain(err error, host string) error {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	remedy, what := "see the receiver's log for its reason", err.Error()
	switch {
	case errors.Is(err, ErrPlain):
		remedy, what = "start it with --tls DIR, too", "it speaks no TLS"
	case errors.Is(err, errNotAdmitted):
		remedy = "allow this host there: vmm receive --allow " + strings.Join(id.Names(), ",")
	case errors.As(err, &name):
		remedy, what = "dial it by a name of its certificate, or give it one with this: vmm certs DIR --host "+host, "its certificate is of "+namesText(name.Certificate)+", not of "+host
	case errors.As(err, &authority):
		remedy, what = "give both hosts certificates of one authority: vmm certs makes them", "its certificate is of another authority"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		remedy, what = "renew its certificate, or set the clocks of both hosts", "its certificate is not valid now"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		remedy, what = "see whether a vmm receive --tls listens there", "it did not shake hands in time"
	}
	return api.Errorf(api.CodeTLS, remedy, "the receiver at %s was not trusted, or did not trust this host: %s", host, strings.TrimPrefix(what, "tls: "))
}

// Admit shakes hands with who dialled us: it must prove to be of the same authority, and, unless allow is empty, have one of those
// names. The error is for the log.
func (id *Identity) Admit(ctx context.Context, conn net.Conn, allow []string) (*sealed.Conn, error) {
	return server(ctx, conn, &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: id.authorities, Certificates: []tls.Certificate{id.own}},
		func(s tls.ConnectionState) error {
			peer := s.PeerCertificates[0]
			if len(allow) == 0 || slices.ContainsFunc(allow, func(name string) bool { return has(peer, name) }) {
				return nil
			}
			return fmt.Errorf("this receiver does not allow %s", namesText(peer))
		})
}

// has tells whether a certificate is of a name, which may be an address. Names are compared as they are: none stands for several.
func has(c *x509.Certificate, name string) bool {
	if at, err := netip.ParseAddr(name); err == nil {
		return slices.ContainsFunc(c.IPAddresses, func(ip net.IP) bool {
			a, ok := netip.AddrFromSlice(ip)
			return ok && a.Unmap() == at.Unmap()
		})
	}
	return slices.ContainsFunc(c.DNSNames, func(n string) bool { return strings.EqualFold(n, name) })
}

// Names are those of this host, in its certificate.
func (id *Identity) Names() []string { return names(id.own.Leaf) }

func names(c *x509.Certificate) []string {
	all := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}

// namesText names a certificate's host. What a peer wrote into it is bounded, and quoted if it is not plain.
func namesText(c *x509.Certificate) string {
	text := strings.Join(names(c), ", ")
	if text == "" {
		return "nobody"
	}
	if len(text) > NameMax {
		text = text[:NameMax] + "…"
	}
	if q := fmt.Sprintf("%q", text); q != `"`+text+`"` {
		return q
	}
	return text
}
