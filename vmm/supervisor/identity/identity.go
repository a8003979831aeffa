// Package identity is who a host is to the others that guests move to and from: a folder with an authority's certificate (ca.pem),
// the host's own (cert.pem) and its key (key.pem). It makes such folders for laboratories, reads and checks them, and shakes hands.
package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// The files of a folder.
const (
	caFile   = "ca.pem"
	certFile = "cert.pem"
	keyFile  = "key.pem"
)

// maxFile bounds each of them, in bytes.
const maxFile = 256 << 10

// Identity is what a folder holds: whom to trust, and who we are.
type Identity struct {
	authorities *x509.CertPool
	own         tls.Certificate
}

const (
	newKeys = "make a new folder: vmm certs DIR --host NAME, and copy this host's to it"
	asDocs  = "give --tls a folder with ca.pem, cert.pem and key.pem, as vmm certs makes it"
)

// Load reads a folder, and wants it to be one with which others can be met now: nobody but its owner may read the key, which must be
// the certificate's, and that must be of the authority, for both ends of a connection, and valid. Its errors have code api.CodeTLS.
//
// It is read for each connection: so a certificate that is renewed, or taken away, is so at once.
func Load(dir string) (*Identity, error) { return load(dir, time.Now()) }

func load(dir string, now time.Time) (*Identity, error) {
	var files [3][]byte
	for i, name := range []string{caFile, certFile, keyFile} {
		b, err := read(filepath.Join(dir, name), name == keyFile)
		if err != nil {
			return nil, err
		}
		files[i] = b
	}
	fail := func(remedy, format string, args ...any) (*Identity, error) {
		return nil, api.Errorf(api.CodeTLS, remedy, "--tls %s: "+format, append([]any{dir}, args...)...)
	}
	id := &Identity{authorities: x509.NewCertPool()}
	if !id.authorities.AppendCertsFromPEM(files[0]) {
		return fail(asDocs, "%s holds no certificate in PEM", caFile)
	}
	var err error
	if id.own, err = tls.X509KeyPair(files[1], files[2]); err != nil {
		return fail(newKeys, "%s and %s: %v", certFile, keyFile, strings.TrimPrefix(err.Error(), "tls: "))
	}
	leaf := id.own.Leaf
	switch {
	case now.After(leaf.NotAfter):
		return fail(newKeys, "the certificate was valid until %s", leaf.NotAfter.UTC().Format(time.DateTime+" MST"))
	case now.Before(leaf.NotBefore):
		return fail("set this host's clock, or wait", "the certificate is valid from %s on", leaf.NotBefore.UTC().Format(time.DateTime+" MST"))
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		return fail(newKeys, "the certificate names no host")
	}
	between := x509.NewCertPool()
	for _, der := range id.own.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: id.authorities, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
		if err != nil {
			return fail(newKeys, "no peer would accept the certificate: %v", strings.TrimPrefix(err.Error(), "x509: "))
		}
	}
	return id, nil
}

// read reads one file. A secret is one that nobody but its owner may read.
func read(path string, secret bool) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		remedy := asDocs
		if errors.Is(err, fs.ErrPermission) {
			remedy = "run as the user that owns it"
		}
		return nil, api.Errorf(api.CodeTLS, remedy, "--tls: %v", err)
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, api.Errorf(api.CodeTLS, asDocs, "--tls: %v", err)
	case !st.Mode().IsRegular():
		return nil, api.Errorf(api.CodeTLS, asDocs, "--tls: %s is no file", path)
	case secret && st.Mode().Perm()&0o077 != 0:
		return nil, api.Errorf(api.CodeTLS, "chmod 600 "+path+", or, if others could read it, make a new one", "--tls: %s can be read by other users (mode %04o)", path, st.Mode().Perm())
	case st.Size() > maxFile:
		return nil, api.Errorf(api.CodeTLS, asDocs, "--tls: %s has %d bytes", path, st.Size())
	}
	b := make([]byte, st.Size())
	n, err := f.ReadAt(b, 0)
	if n < len(b) {
		return nil, fmt.Errorf("--tls: %w", err)
	}
	return b, nil
}

// NameMax is the longest name of a host, in bytes.
const NameMax = 253

// CheckName wants the name of a host, or its address, as it can be in a certificate. The error says what is wrong.
func CheckName(name string) error {
	if name == "" || len(name) > NameMax || strings.ContainsAny(name, " \t\r\n/*\\\"'") || strings.HasPrefix(name, ".") {
		return fmt.Errorf("%q is no name of a host, nor an address", name)
	}
	return nil
}
