package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newTestChecker(t *testing.T) *checker {
	t.Helper()
	m, err := newChecker(memoryOption{mib: 1}, &console{ports: -1})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCheckerFindsNothingInSoundMemory(t *testing.T) {
	m := newTestChecker(t)
	m.pass()
	m.pass()
	if diff := cmp.Diff("passes=2 bad=0", m.counts()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCheckerFinds(t *testing.T) {
	for name, spoil := range map[string]func(m *checker){
		"a flipped bit":       func(m *checker) { m.page(7)[4095] ^= 0x80 },
		"another page":        func(m *checker) { copy(m.page(7), m.page(8)) },
		"an older generation": func(m *checker) { m.generations[7]++ },
		"zeros":               func(m *checker) { clear(m.page(7)) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newTestChecker(t)
			spoil(m)
			m.pass()
			m.pass()
			if diff := cmp.Diff("passes=2 bad=1", m.counts()); diff != "" {
				t.Errorf("counted once, and put right (-want +got):\n%s", diff)
			}
		})
	}
}
