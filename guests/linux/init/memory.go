package main

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	pageSize = 4096
	mebibyte = 1 << 20
)

// pacePages is how many pages are rewritten before the pace is looked at.
const pacePages = 64

// checker owns memory: every page has one right content, and all is checked before it is changed.
type checker struct {
	memory      []byte
	generations []uint32 // of each page
	rate        int      // pages a second; 0: no limit
	console     *console

	passes, bad atomic.Uint64
}

// newChecker takes the memory and fills it.
func newChecker(o memoryOption, c *console) (*checker, error) {
	memory, err := unix.Mmap(-1, 0, o.mib*mebibyte, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return nil, err
	}
	m := &checker{
		memory: memory, generations: make([]uint32, len(memory)/pageSize), rate: o.rate * mebibyte / pageSize, console: c,
	}
	for i := range m.generations {
		m.fill(i)
	}
	return m, nil
}

func (m *checker) page(i int) []byte { return m.memory[i*pageSize:][:pageSize] }

// word is what page i, in its generation, has at an offset.
func word(i int, generation uint32, offset int) uint64 {
	x := uint64(i)<<44 ^ uint64(generation)<<12 ^ uint64(offset)
	// The finalizer of SplitMix64: every bit depends on every bit.
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (m *checker) fill(i int) {
	p := m.page(i)
	for at := 0; at < pageSize; at += 8 {
		binary.LittleEndian.PutUint64(p[at:], word(i, m.generations[i], at))
	}
}

// verify checks page i, and counts and shows the first word that is wrong.
func (m *checker) verify(i int) {
	p := m.page(i)
	for at := 0; at < pageSize; at += 8 {
		want := word(i, m.generations[i], at)
		if got := binary.LittleEndian.Uint64(p[at:]); got != want {
			m.bad.Add(1)
			m.console.wrong("MEMBAD page=%d want=%x got=%x", i, want, got)
			return
		}
	}
}

func (m *checker) work() {
	said := time.Now()
	for {
		m.pass()
		if now := time.Now(); now.Sub(said) >= time.Second {
			said = now
			m.console.line("MEM %s", m.counts())
		}
	}
}

// pass checks and rewrites every page, at the pace that was asked for.
func (m *checker) pass() {
	start := time.Now()
	for i := range m.generations {
		m.verify(i)
		m.generations[i]++
		m.fill(i)
		if i%pacePages != 0 {
			continue
		}
		runtime.Gosched() // else the runtime interrupts with a signal, which is slow where the kernel is interpreted
		if m.rate > 0 {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(m.rate))))
		}
	}
	m.passes.Add(1)
}

func (m *checker) counts() string {
	return fmt.Sprintf("passes=%d bad=%d", m.passes.Load(), m.bad.Load())
}

func (m *checker) total() string { return "mem " + m.counts() }
