package vsock

// window is how much of a connection's data waits in the device, each way, in bytes.
const window = 64 << 10

// credit is the flow control of one connection, section 5.10.6.3. Its counters
// are of bytes, modulo 2^32.
type credit struct {
	sent           uint32 // to the guest
	guestAlloc     uint32 // the room that the guest has for what is sent
	guestForwarded uint32 // what of sent has left that room
	asked          bool   // the guest knows that we wait for room

	forwarded uint32 // of what the guest sent, what the host has taken
	told      uint32 // forwarded as the guest knows it
	wanted    bool   // the guest has asked for it
}

// learn takes what a packet of the guest says of its room, and tells whether
// that is news.
func (c *credit) learn(h header) (news bool) {
	news = c.guestAlloc != h.alloc || c.guestForwarded != h.forwarded
	c.guestAlloc, c.guestForwarded = h.alloc, h.forwarded
	if news {
		c.asked = false
	}
	return news
}

// room is how much may be sent. It is nothing when the guest says that more has
// left its buffer than went in, or less than it said before.
func (c *credit) room() uint32 {
	waiting := c.sent - c.guestForwarded
	if waiting > c.guestAlloc {
		return 0
	}
	return c.guestAlloc - waiting
}

// due tells whether the guest should hear of forwarded: it takes less than half
// of the window for free when it waits for room.
func (c *credit) due() bool { return c.wanted || c.forwarded-c.told >= window/2 }

// tell fills in what each packet says of our room.
func (c *credit) tell(h *header) {
	h.alloc, h.forwarded = window, c.forwarded
	c.told, c.wanted = c.forwarded, false
}
