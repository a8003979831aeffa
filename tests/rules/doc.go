// Package rules holds the tests that keep the source in shape: which package
// may import which, where unsafe may be, how files look. It has no code that
// is not a test.
package rules
