package pack

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
)

// PrintSize is the length of a Print in bytes.
const PrintSize = 16

// Print is the fingerprint of a page.
type Print [PrintSize]byte

// Printer makes fingerprints: GMAC (NIST SP 800-38D) with a key that both ends of a move have, and its guest has not. So no guest can make two pages with
// the same. One goroutine uses it.
type Printer struct {
	seal  cipher.AEAD
	nonce [12]byte // always zero: nobody who could forge prints sees one
	print Print
}

// NewPrinter makes a printer whose key is drawn from a secret of the move.
func NewPrinter(secret []byte) *Printer {
	key := sha256.Sum256(append([]byte("ferry: copies of pages: "), secret...))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // the block has 16 bytes
	}
	return &Printer{seal: seal}
}

// Print returns the fingerprint of a page.
func (p *Printer) Print(page []byte) Print {
	p.seal.Seal(p.print[:0], p.nonce[:], nil, page)
	return p.print
}

// printPlaces bounds the pages that Copies remembers: 768 KiB.
const printPlaces = 32 << 10

// Copies remembers pages by their fingerprints, within a bound: a page has one place, and turns out who is there. One goroutine uses it. The zero value is
// ready.
type Copies struct{ places []printed }

type printed struct {
	print Print
	gpa   uint64 // of the page, and one; 0: nobody's place
}

// Find returns the address of a page with that fingerprint that was added since the last Forget.
func (c *Copies) Find(print Print) (gpa uint64, ok bool) {
	if c.places == nil {
		return 0, false
	}
	at := c.place(print)
	return at.gpa - 1, at.gpa != 0 && at.print == print
}

// Add remembers the page at gpa.
func (c *Copies) Add(print Print, gpa uint64) {
	if c.places == nil {
		c.places = make([]printed, printPlaces)
	}
	*c.place(print) = printed{print: print, gpa: gpa + 1}
}

func (c *Copies) place(print Print) *printed {
	return &c.places[(uint(print[0])|uint(print[1])<<8)%printPlaces]
}

// Forget forgets all pages.
func (c *Copies) Forget() { clear(c.places) }
