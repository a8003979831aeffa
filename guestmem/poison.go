//go:build ferrypoison

package guestmem

import (
	"bytes"
	"fmt"
)

// poisoning is a build for tests: what is missing reads as poison, where zeros might pass for content, and who is given it
// fails.
const poisoning = true

// poison does not occur in the memory of a guest by chance.
var poison = []byte("\xfe\x0fferry: missing")

// spoil fills the missing pages with poison. Precondition: as for Miss, which calls it.
func (p *Pull) spoil() error {
	spoilt := bytes.Repeat(poison, PageSize/len(poison))
	for r, page := range p.eachMissing {
		if err := r.write(spoilt, page*PageSize); err != nil {
			return err
		}
	}
	return nil
}

// taste panics if bytes of guest memory at gpa, about to be handed out, are poison.
func taste(b []byte, gpa uint64) {
	if bytes.Contains(b, poison) {
		panic(fmt.Sprintf("guestmem: [%#x, +%#x) is handed out, and part of it is missing", gpa, len(b)))
	}
}
