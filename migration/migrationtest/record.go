package migrationtest

import (
	"errors"
	"sync"

	"github.com/ferryvmm/ferry/migration"
)

// Record is an ownership record in memory.
type Record struct {
	// StartedErr and TombstoneErr, if set, fail the calls.
	StartedErr, TombstoneErr error

	mu       sync.Mutex // guards all below
	answer   migration.Answer
	removed  bool
	complete bool
}

var _ migration.Record = (*Record)(nil)

// NewRecord makes a record of a move under way.
func NewRecord() *Record { return &Record{answer: migration.Pending} }

// Started implements migration.Record.
func (r *Record) Started() error { return r.decide(migration.Started, r.StartedErr) }

// Tombstone implements migration.Record.
func (r *Record) Tombstone() error { return r.decide(migration.NotStarted, r.TombstoneErr) }

func (r *Record) decide(a migration.Answer, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		return err
	}
	if r.removed || r.answer != migration.Pending && r.answer != a {
		return errors.New("decided already: " + r.answer.String())
	}
	r.answer = a
	return nil
}

// Complete implements migration.Record.
func (r *Record) Complete() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complete = true
	return nil
}

// Remove implements migration.Record.
func (r *Record) Remove() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removed = true
	return nil
}

// Removed says whether the record is gone.
func (r *Record) Removed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.removed
}

// Answer is what the record says.
func (r *Record) Answer() migration.Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.removed {
		return migration.Unknown
	}
	return r.answer
}
