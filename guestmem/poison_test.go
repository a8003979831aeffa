//go:build ferrypoison

package guestmem_test

import (
	"strings"
	"testing"

	"github.com/ferryvmm/ferry/guestmem"
)

// A look at a missing page through a view that is older does not find zeros.
func TestPoison(t *testing.T) {
	p := newPuller(t, split)
	view, err := p.mem.View(mib, page)
	check(t, err)
	check(t, p.pull.Miss([]guestmem.Range{{GPA: mib, Size: page}}))
	if got := string(view); !strings.Contains(got, "missing") {
		t.Errorf("a missing page: got %q; want poison", got[:16])
	}
	p.fill(mib, view, 1) // a source that sends poison
	func() {
		defer func() {
			if recover() == nil {
				t.Error("ReadAt handed poison out")
			}
		}()
		_ = p.mem.ReadAt(make([]byte, page), mib)
	}()
	p.close()
}
