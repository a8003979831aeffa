//go:build !ferrypoison

package guestmem

const poisoning = false

func (p *Pull) spoil() error { return nil }
func taste([]byte, uint64)   {}
