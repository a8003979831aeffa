// Package migrationtest has a fake guest, a fake host and a fake ownership
// record, for tests of moves without KVM.
package migrationtest
