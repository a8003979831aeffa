package virtio

import (
	"encoding/binary"
	"fmt"
)

// descriptor flags, section 2.7.5.
const (
	descNext     = 1
	descWrite    = 2
	descIndirect = 4

	descSize = 16 // bytes: address, length, flags, next
)

// maxChainBytes bounds what a chain may describe, section 2.7.5.2.
const maxChainBytes = 1 << 32

// Buffer is a piece of guest memory.
type Buffer struct {
	GPA   uint64
	Bytes []byte // the memory itself: the guest may change it at any time
}

// Chain is one request of a driver: buffers that the device reads, and behind
// them buffers that it writes. It is filled by [Queue.Pop] and may be used again.
type Chain struct {
	Head               uint16
	Readable, Writable []Buffer
}

// Len is the number of bytes in buffers.
func Len(buffers []Buffer) uint64 {
	var n uint64
	for _, b := range buffers {
		n += uint64(len(b.Bytes))
	}
	return n
}

// walk follows the descriptors from head.
func (q *Queue) walk(head uint16, c *Chain) error {
	c.Head, c.Readable, c.Writable = head, c.Readable[:0], c.Writable[:0]
	table, size := q.desc, q.size
	indirect := false
	var total uint64
	for next, count := head, 0; ; count++ {
		// A loop would have more descriptors than there are.
		if next >= size || count >= int(q.size) {
			return fmt.Errorf("%w: descriptor %d after %d of a queue of %d", ErrDriver, next, count, q.size)
		}
		// Read once: the guest may change it between two looks.
		d := table[int(next)*descSize:][:descSize]
		gpa, length := binary.LittleEndian.Uint64(d), binary.LittleEndian.Uint32(d[8:])
		flags, follower := binary.LittleEndian.Uint16(d[12:]), binary.LittleEndian.Uint16(d[14:])
		if flags&descIndirect != 0 {
			if indirect || !q.indirect || flags&descNext != 0 || length == 0 || length%descSize != 0 || length/descSize > uint32(q.size) {
				return fmt.Errorf("%w: indirect descriptor of %d bytes, flags %#x", ErrDriver, length, flags)
			}
			var err error
			if table, err = q.mem.View(gpa, uint64(length)); err != nil {
				return fmt.Errorf("%w: indirect descriptors: %w", ErrDriver, err)
			}
			indirect, next, size = true, 0, uint16(length/descSize)
			count--
			continue
		}
		if total += uint64(length); total > maxChainBytes {
			return fmt.Errorf("%w: a chain of over %d bytes", ErrDriver, uint64(maxChainBytes))
		}
		if err := c.add(q.mem, gpa, length, flags&descWrite != 0); err != nil {
			return err
		}
		if flags&descNext == 0 {
			return nil
		}
		next = follower
	}
}

// add appends a buffer. An empty one is left out.
func (c *Chain) add(m Memory, gpa uint64, length uint32, write bool) error {
	if !write && len(c.Writable) > 0 {
		return fmt.Errorf("%w: a buffer to read behind one to write", ErrDriver)
	}
	if length == 0 {
		return nil
	}
	bytes, err := m.View(gpa, uint64(length))
	if err != nil {
		return fmt.Errorf("%w: buffer: %w", ErrDriver, err)
	}
	if write {
		c.Writable = append(c.Writable, Buffer{gpa, bytes})
	} else {
		c.Readable = append(c.Readable, Buffer{gpa, bytes})
	}
	return nil
}
