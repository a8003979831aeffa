package vmm

import (
	"os"
	"sync/atomic"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/record"
)

// oath is the migration.Record over the file that the supervisor made.
type oath struct {
	file   *os.File
	forget atomic.Bool // set by Remove
}

var _ migration.Record = (*oath)(nil)

func (o *oath) Started() error   { return record.Decide(o.file, record.Started, record.ByTarget) }
func (o *oath) Tombstone() error { return record.Decide(o.file, record.Tombstone, record.ByTarget) }

// Complete makes durable that the guest has all of its memory here.
func (o *oath) Complete() error { return record.Decide(o.file, record.Complete, record.ByTarget) }

// Remove leaves the file to the supervisor, which can remove it.
func (o *oath) Remove() error {
	o.forget.Store(true)
	return nil
}
