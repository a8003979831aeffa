package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

const (
	// caKeyFile is the authority's key: who has it is every host.
	caKeyFile = "ca-key.pem"
	// caValid is how long an authority is.
	caValid = 365 * 24 * time.Hour
	// skew is how far the clocks of hosts may differ.
	skew = 5 * time.Minute
)

// Issued is what one host was given.
type Issued struct {
	Names   []string  `json:"names"`
	Dir     string    `json:"dir"`
	Expires time.Time `json:"expires"`
}

// Issue makes certificates of a laboratory's authority, whose own files are in dir, and are made if there are none. Each element of hosts is
// the names of one host, of which the first names its folder below dir: that is to be copied to the host. What was there for it is replaced.
// Certificates are for ECDSA P-256, valid for a time that the authority's own bounds. Errors have code api.CodeTLS.
func Issue(dir string, hosts [][]string, valid time.Duration) ([]Issued, error) {
	return issue(dir, hosts, time.Now(), valid)
}

func issue(dir string, hosts [][]string, now time.Time, valid time.Duration) (made []Issued, err error) {
	defer func() {
		if err != nil && !errors.As(err, new(*api.Error)) {
			err = api.Errorf(api.CodeTLS, "choose a folder that you may write to", "%v", err)
		}
	}()
	for _, host := range hosts {
		for _, name := range host {
			if err := CheckName(name); err != nil {
				return nil, api.Errorf(api.CodeUsage, "name hosts as they are dialled, for example --host a.example,192.0.2.7", "%v", err)
			}
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ca, err := authority(dir, now)
	if err != nil {
		return nil, err
	}
	for _, host := range hosts {
		one, err := ca.issue(filepath.Join(dir, host[0]), host, now, valid)
		if err != nil {
			return made, err
		}
		made = append(made, one)
	}
	return made, nil
}

// signer is an authority that can sign.
type signer struct {
	pem  []byte
	cert *x509.Certificate
	key  any
}

// authority reads the authority of a folder, or makes one.
func authority(dir string, now time.Time) (*signer, error) {
	certPath, keyPath := filepath.Join(dir, caFile), filepath.Join(dir, caKeyFile)
	_, err := os.Lstat(keyPath)
	if errors.Is(err, fs.ErrNotExist) {
		if err := foundAuthority(certPath, keyPath, now); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	const remedy = "make a new authority in another folder, and new certificates for all hosts"
	certPEM, err := read(certPath, false)
	if err != nil {
		return nil, err
	}
	keyPEM, err := read(keyPath, true)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, api.Errorf(api.CodeTLS, remedy, "%s and %s: %v", certPath, keyPath, err)
	}
	if !pair.Leaf.IsCA || now.After(pair.Leaf.NotAfter) {
		return nil, api.Errorf(api.CodeTLS, remedy, "%s is no authority, or none any more: it was valid until %s", certPath, pair.Leaf.NotAfter.UTC().Format(time.DateTime+" MST"))
	}
	return &signer{certPEM, pair.Leaf, pair.PrivateKey}, nil
}

func foundAuthority(certPath, keyPath string, now time.Time) error {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Ferry laboratory authority"},
		NotBefore: now.Add(-skew), NotAfter: now.Add(caValid),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, keyPEM, err := newKey()
	if err != nil {
		return err
	}
	certPEM, err := sign(template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	// The key last: what there is then is whole.
	if err := write(certPath, certPEM); err != nil {
		return err
	}
	return write(keyPath, keyPEM)
}

// issue makes the folder of one host.
func (ca *signer) issue(dir string, names []string, now time.Time, valid time.Duration) (Issued, error) {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: names[0][:min(len(names[0]), 64)]},
		NotBefore: slices.MaxFunc([]time.Time{now.Add(-skew), ca.cert.NotBefore}, time.Time.Compare),
		NotAfter:  slices.MinFunc([]time.Time{now.Add(valid), ca.cert.NotAfter}, time.Time.Compare),
		KeyUsage:  x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key, keyPEM, err := newKey()
	if err != nil {
		return Issued{}, err
	}
	certPEM, err := sign(template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return Issued{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Issued{}, err
	}
	for _, f := range []struct {
		name string
		text []byte
	}{{caFile, ca.pem}, {certFile, certPEM}, {keyFile, keyPEM}} {
		if err := write(filepath.Join(dir, f.name), f.text); err != nil {
			return Issued{}, err
		}
	}
	return Issued{Names: names, Dir: dir, Expires: template.NotAfter.UTC().Truncate(time.Second)}, nil
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// sign makes a certificate, with a serial number of 127 random bits (RFC 5280 section 4.1.2.2).
func sign(template, parent *x509.Certificate, public, key any) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// write replaces a file by one that only its owner can read.
func write(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
