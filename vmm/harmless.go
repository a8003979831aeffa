//go:build !ferryhostile

package vmm

// attack does nothing: it is for a build of the tests.
func (*process) attack() {}
