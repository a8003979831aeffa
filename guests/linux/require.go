package linux

import (
	"os"
	"testing"
)

// Require is Find for a test: without the guest it skips the test with the reason, and in CI fails it.
func Require(t testing.TB, v Variant) Guest {
	t.Helper()
	g, err := Find(t.Context(), v)
	if err == nil {
		return g
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
	return Guest{}
}
