package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
	"github.com/ferryvmm/ferry/vmm/supervisor/identity"
)

// tlsMistakes are those about who a host is to others.
var tlsMistakes = []mistake{
	{"receive --listen tcp:127.0.0.1:0 --tls x --insecure", nil, 2, "usage", "--tls encrypts, --insecure does not", "leave --insecure out"},
	{"receive --listen unix:/tmp/x --tls x", nil, 2, "usage", "is a socket of this host", "leave --tls out"},
	{"receive --listen tcp:127.0.0.1:0 --allow a", nil, 2, "usage", "--allow needs --tls", "--help"},
	{"receive --listen tcp:127.0.0.1:0 --tls x --allow=*.a", nil, 2, "usage", "is no name of a host, nor an address", "--help"},
	{"certs $DIR/new", nil, 2, "usage", "certs needs --host", "--help"},
	{"certs $DIR/old/key.pem --host a", nil, 1, "tls", "not a directory", "a folder that you may write to"},
	{"receive --listen tcp:127.0.0.1:0 --tls $DIR/none", nil, 1, "tls", "no such file or directory", "ca.pem, cert.pem and key.pem"},
	{"receive --listen tcp:127.0.0.1:0 --tls $DIR/text", nil, 1, "tls", "holds no certificate in PEM", "ca.pem, cert.pem and key.pem"},
	{"receive --listen tcp:127.0.0.1:0 --tls $DIR/open", nil, 1, "tls", "can be read by other users", "chmod 600"},
	{"receive --listen tcp:127.0.0.1:0 --tls $DIR/old", nil, 1, "tls", "the certificate was valid until", "vmm certs"},
	{"receive --listen tcp:127.0.0.1:0 --tls $DIR/mixed", nil, 1, "tls", "no peer would accept the certificate", "vmm certs"},
	{"receive --listen tcp:127.0.0.1:0 --tls $DIR/key", nil, 1, "tls", "private key does not match public key", "vmm certs"},
}

func TestTLSMistakes(t *testing.T) {
	ctx := within(t, time.Minute)
	site, err := drive.NewSite(vmm, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer site.Close()
	dir, other := t.TempDir(), t.TempDir()
	issue := func(dir, host string, valid time.Duration) {
		t.Helper()
		if _, err := identity.Issue(dir, [][]string{{host}}, valid); err != nil {
			t.Fatal(err)
		}
	}
	for _, host := range []string{"text", "open", "mixed", "key"} {
		issue(dir, host, time.Hour)
	}
	issue(dir, "old", -time.Minute)
	issue(other, "x", time.Hour)
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "text/ca.pem"), []byte("hello"), 0o600),
		os.Chmod(filepath.Join(dir, "open/key.pem"), 0o644),
		os.Rename(filepath.Join(other, "x/ca.pem"), filepath.Join(dir, "mixed/ca.pem")),
		os.Rename(filepath.Join(other, "x/key.pem"), filepath.Join(dir, "key/key.pem")),
	); err != nil {
		t.Fatal(err)
	}
	mistakes(t, ctx, site, dir, tlsMistakes)
}
