package migration

import (
	"encoding/binary"
	"hash/crc32"
	"runtime"
	"sync"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration/pack"
)

// maxLanes bounds how many blocks are compressed at once.
const maxLanes = 4

// lane gathers pages into a block, and compresses it.
type lane struct {
	packer  pack.Packer
	codec   pack.Codec
	block   []byte
	runs    []run  // of the block
	packed  []byte // the sum and what the codec made, if smaller
	smaller bool
	prints  []pack.Print    // of the pages, where copies are looked for
	done    *sync.WaitGroup // of those that are compressed beside the caller
}

// newLanes makes as many lanes as there are processors, within bounds. All that they need for good is allocated, but for the codecs' own.
func newLanes() []lane {
	lanes := make([]lane, min(runtime.NumCPU(), maxLanes))
	for i := range lanes {
		lanes[i] = lane{
			block: make([]byte, 0, pack.MaxBlock), runs: make([]run, 0, maxBlockRuns),
			packed: make([]byte, 0, blockSum+pack.MaxPacked), prints: make([]pack.Print, 0, maxBlockRuns), done: new(sync.WaitGroup),
		}
	}
	return lanes
}

// add adds a page.
//
// Precondition: not full.
func (l *lane) add(gpa uint64, page []byte, print pack.Print) {
	l.prints = append(l.prints, print)
	l.block = append(l.block, page...)
	l.runs = appendRun(l.runs, run{gpa: gpa, size: guestmem.PageSize, kind: wireKind(l.codec)})
}

func (l *lane) full() bool { return len(l.block) == pack.MaxBlock }

// size is how many bytes are to be sent.
func (l *lane) size() int {
	if l.smaller {
		return len(l.packed)
	}
	return len(l.block)
}

// reset empties the lane.
func (l *lane) reset() { l.block, l.runs, l.prints = l.block[:0], l.runs[:0], l.prints[:0] }

// remember adds the pages to those that others may be copies of.
func (l *lane) remember(c *pack.Copies) {
	n := 0
	for _, r := range l.runs {
		for at := uint64(0); at < r.size; at += guestmem.PageSize {
			c.Add(l.prints[n], r.gpa+at)
			n++
		}
	}
}

// compress compresses all lanes side by side.
func compress(lanes []lane) {
	for i := 1; i < len(lanes); i++ {
		lanes[i].done.Add(1)
		go lanes[i].compressBeside()
	}
	lanes[0].compress()
	for i := 1; i < len(lanes); i++ {
		lanes[i].done.Wait()
	}
}

func (l *lane) compressBeside() {
	defer l.done.Done()
	l.compress()
}

func (l *lane) compress() {
	sum := binary.LittleEndian.AppendUint32(l.packed[:0], crc32.Checksum(l.block, castagnoli))
	l.packed, l.smaller = l.packer.Append(sum, l.codec, l.block)
}
