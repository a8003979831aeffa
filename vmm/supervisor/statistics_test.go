package supervisor

import "testing"

func TestProcessTime(t *testing.T) {
	for text, want := range map[string]float64{
		"7 (vmm) S 1 7 7 0 -1 4194560 1 0 0 0 12 30 0 0 20 0 9 0 1 2 3":    420,
		"7 (a) b) (c) R 1 7 7 0 -1 4194560 1 0 0 0 1 0 0 0 20 0 9 0 1 2 3": 10,
		"7 (vmm) S 1": 0,
		"":            0,
	} {
		if got := processTime(text); got != want {
			t.Errorf("%q: got %v ms; want %v", text, got, want)
		}
	}
}
