package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
)

// ErrSuite: the two hosts agreed on a cipher that is not used here, since one of them has no AES of its own. Move the guest to
// another host.
var ErrSuite = errors.New("no cipher suite of TLS that is used here")

const nonceSize = 12

// suite is a cipher suite of TLS 1.3, RFC 8446 appendix B.4.
type suite struct {
	name    string
	keySize int
	hash    func() hash.Hash
}

var suites = map[uint16]*suite{
	0x1301: {name: "TLS_AES_128_GCM_SHA256", keySize: 16, hash: sha256.New},
	0x1302: {name: "TLS_AES_256_GCM_SHA384", keySize: 32, hash: sha512.New384},
}

func suiteOf(id uint16) (*suite, error) {
	if s := suites[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: %#x", ErrSuite, id)
}

// expand is HKDF-Expand-Label with no context, RFC 8446 section 7.1.
func (s *suite) expand(secret []byte, label string, size int) ([]byte, error) {
	label = "tls13 " + label
	info := string([]byte{byte(size >> 8), byte(size), byte(len(label))}) + label + "\x00"
	return hkdf.Expand(s.hash, secret, info, size)
}

// key makes the key and the first nonce of a traffic secret, section 7.3.
func (s *suite) key(secret []byte) (aead cipher.AEAD, iv [nonceSize]byte, err error) {
	if len(secret) != s.hash().Size() {
		return nil, iv, fmt.Errorf("%w: a secret of %d bytes", ErrBroken, len(secret))
	}
	key, err := s.expand(secret, "key", s.keySize)
	if err != nil {
		return nil, iv, err
	}
	first, err := s.expand(secret, "iv", nonceSize)
	if err != nil {
		return nil, iv, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, iv, err
	}
	aead, err = cipher.NewGCM(block)
	return aead, [nonceSize]byte(first), err
}
