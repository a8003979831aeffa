package supervisor

import (
	"os"

	"github.com/ferryvmm/ferry/internal/sealed"
)

// handOver collects descriptors for one message and the role of each. It owns
// them: close closes all.
type handOver struct {
	roles []string
	files []*os.File
	// sessions are of the connections under TLS among them, by role.
	sessions map[string]sealed.Session
}

// add appends a file; nil is left out.
func (h *handOver) add(role string, f *os.File) {
	if f != nil {
		h.roles = append(h.roles, role)
		h.files = append(h.files, f)
	}
}

// take moves all files of another to this one.
func (h *handOver) take(other *handOver) {
	h.roles = append(h.roles, other.roles...)
	h.files = append(h.files, other.files...)
	*other = handOver{}
}

func (h *handOver) close() {
	for _, f := range h.files {
		f.Close()
	}
	h.files = nil
}
