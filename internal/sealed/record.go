package sealed

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrBroken: what came is no record of this session, or was changed on its way. Give the connection up.
var ErrBroken = errors.New("the TLS connection is broken")

// Records, RFC 8446 sections 5.1 and 5.2. All are of the type and the version that TLS 1.2 has for application data.
const (
	HeaderSize   = 5           // bytes, of a record
	maxPlain     = 1 << 14     // bytes of content
	maxExpansion = 256         // that a peer may add, with padding
	overhead     = 1 + tagSize // that we add
	tagSize      = 16          // of all suites of TLS 1.3
	wireType     = byte(kindData)
	wireVersion  = 0x0303
)

// Begins tells whether a peer that says this first, at least three bytes, speaks TLS: a message of the handshake, or an alert.
func Begins(b []byte) bool {
	return len(b) >= 3 && (kind(b[0]) == kindHandshake || kind(b[0]) == kindAlert) && b[1] == 3 && b[2] <= 4
}

var blankHeader = [HeaderSize]byte{wireType, wireVersion >> 8, wireVersion & 0xff}

// kind is what a record is of inside.
type kind byte

const (
	kindAlert     kind = 21
	kindHandshake kind = 22
	kindData      kind = 23
)

// Alerts, section 6.
const (
	alertWarning = 1
	closeNotify  = 0
	userCanceled = 90
)

// keyUpdate is the one message of a handshake that may come after it, section 4.6.3: its type, the length of its body, and no
// wish for one in return.
var keyUpdate = [5]byte{24, 0, 0, 1, 0}

// renewAfter is how many records are sealed with one key: less than the 2^24.5 of section 5.5.
const renewAfter = 1 << 23

// half is one direction of a session.
type half struct {
	suite   *suite
	secret  []byte
	aead    cipher.AEAD
	iv      [nonceSize]byte
	nonce   [nonceSize]byte
	records uint64 // under this key
	renews  uint64 // after so many
}

func (h *half) begin(id uint16, d Direction) (err error) {
	if h.suite, err = suiteOf(id); err != nil {
		return err
	}
	h.renews = renewAfter
	if err := h.use(d.Secret); err != nil {
		return err
	}
	h.records = d.Records
	return nil
}

// use takes a key, for records from the first on.
func (h *half) use(secret []byte) (err error) {
	h.secret, h.records = secret, 0
	h.aead, h.iv, err = h.suite.key(secret)
	return err
}

func (h *half) direction() Direction { return Direction{Secret: h.secret, Records: h.records} }

// next is the nonce of the next record, section 5.3.
func (h *half) next() []byte {
	h.nonce = h.iv
	at := h.nonce[nonceSize-8:]
	binary.BigEndian.PutUint64(at, binary.BigEndian.Uint64(at)^h.records)
	h.records++
	return h.nonce[:]
}

// seal makes a record of what is behind a blank header at b[start:].
func (h *half) seal(b []byte, start int, k kind) []byte {
	b = append(slices.Grow(b, overhead), byte(k))
	content := b[start+HeaderSize:]
	header := b[start : start+HeaderSize]
	binary.BigEndian.PutUint16(header[3:], uint16(len(content)+tagSize))
	h.aead.Seal(content[:0], h.next(), content, header) // in its place: there is room
	return b[:len(b)+tagSize]
}

// open opens a record, behind into or in its place, and takes the padding off.
func (h *half) open(into, record []byte) ([]byte, kind, error) {
	b, err := h.aead.Open(into, h.next(), record[HeaderSize:], record[:HeaderSize])
	if err != nil {
		return nil, 0, fmt.Errorf("%w: a record was changed on its way, or is not of this session", ErrBroken)
	}
	n := len(b) - 1
	for n >= 0 && b[n] == 0 {
		n--
	}
	if n < 0 || n > maxPlain {
		return nil, 0, fmt.Errorf("%w: a record of no kind, or too long", ErrBroken)
	}
	switch k := kind(b[n]); k {
	case kindData, kindAlert, kindHandshake:
		return b[:n], k, nil
	default:
		return nil, 0, fmt.Errorf("%w: a record of kind %d", ErrBroken, k)
	}
}

// recordSize is the size of the record that begins with b, in bytes.
func recordSize(b []byte) (int, error) {
	n := int(binary.BigEndian.Uint16(b[3:]))
	if b[0] != wireType || binary.BigEndian.Uint16(b[1:]) != wireVersion || n < overhead || n > maxPlain+maxExpansion {
		return 0, fmt.Errorf("%w: %x begins no record", ErrBroken, b[:HeaderSize])
	}
	return HeaderSize + n, nil
}

// renew puts the word that a new key is used into the batch, and uses it, when the old one has sealed as much as it may.
func (h *half) renew(batch []byte) ([]byte, error) {
	if h.records < h.renews {
		return batch, nil
	}
	start := len(batch)
	batch = append(append(batch, blankHeader[:]...), keyUpdate[:]...)
	batch = h.seal(batch, start, kindHandshake)
	secret, err := h.suite.expand(h.secret, "traffic upd", h.suite.hash().Size())
	if err == nil {
		err = h.use(secret)
	}
	return batch, err
}

// handshake takes a message that came after the handshake. No other than that of a new key is sent by who is at the other end.
func (h *half) handshake(content []byte) error {
	if string(content) != string(keyUpdate[:]) {
		return fmt.Errorf("%w: a message of a handshake after it", ErrBroken)
	}
	secret, err := h.suite.expand(h.secret, "traffic upd", h.suite.hash().Size())
	if err != nil {
		return err
	}
	return h.use(secret)
}

// alertError is what an alert means. All but the two that are no errors end the connection.
func alertError(content []byte) error {
	switch {
	case len(content) != 2:
		return fmt.Errorf("%w: an alert of %d bytes", ErrBroken, len(content))
	case content[1] == closeNotify:
		return io.EOF
	case content[1] == userCanceled:
		return nil
	}
	return fmt.Errorf("%w: the peer gave up, by alert %d (RFC 8446 section 6)", ErrBroken, content[1])
}
