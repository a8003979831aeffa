package balloon

import (
	"encoding/binary"
	"sync"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// Configuration space, section 5.5.4: four words of 32 bits, of which the driver
// writes two.
const (
	targetOffset = 0
	actualOffset = 4
	poisonOffset = 12 // behind the command of hints, which we do not offer
	configSize   = 16
)

// config is what device and driver tell each other.
type config struct {
	mu     sync.Mutex // guards the next two
	state  State
	driver virtio.Driver
}

func (c *config) get() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *config) setTarget(pages uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Target == pages {
		return
	}
	c.state.Target = pages
	if c.driver.Transport != nil {
		c.driver.Transport.ConfigChanged()
	}
}

func (c *config) setDriver(d virtio.Driver) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.driver = d
}

// reset forgets the driver, and what it said.
func (c *config) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.driver = virtio.Driver{}
	c.state.Actual, c.state.Poison = 0, 0
}

// poisoned tells whether the guest expects a pattern in its free pages that is
// not the zeros of a hole.
func (c *config) poisoned() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.driver.Has(featurePagePoison) && c.state.Poison != 0
}

func (c *config) read(offset uint64, p []byte) {
	space := c.encode()
	clear(p)
	if offset < configSize {
		copy(p, space[offset:])
	}
}

// write takes what the driver writes to the words that are its own.
func (c *config) write(offset uint64, p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var space [configSize]byte
	c.state.put(&space)
	if offset < configSize {
		copy(space[offset:], p)
	}
	c.state.Actual = binary.LittleEndian.Uint32(space[actualOffset:])
	c.state.Poison = binary.LittleEndian.Uint32(space[poisonOffset:])
}

func (c *config) encode() (space [configSize]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.put(&space)
	return space
}

// put writes the words.
func (s State) put(space *[configSize]byte) {
	binary.LittleEndian.PutUint32(space[targetOffset:], s.Target)
	binary.LittleEndian.PutUint32(space[actualOffset:], s.Actual)
	binary.LittleEndian.PutUint32(space[poisonOffset:], s.Poison)
}
