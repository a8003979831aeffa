package guestmem

//go:generate go tool stringer -type=Kind

// Kind says what the pages of a Run hold.
type Kind uint8

const (
	Data Kind = iota // bytes, at least one of them not zero in each page when it was looked at
	Zero             // allocated pages of zeros
	Hole             // pages that are not allocated, and were at some time before
)

// Run is a span of adjacent pages of one kind.
type Run struct {
	GPA  uint64
	Kind Kind
	Size uint64 // in bytes, whole pages
	// Bytes is the memory itself for Data, else nil: the guest may be writing to it. It holds until Memory.Close.
	Bytes []byte
}
