package drive

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ferryvmm/ferry/migration"
)

// The types of frames on the wire that tests name.
const (
	FrameReserve   = 1
	FrameReserved  = 2
	FrameState     = 4
	FramePrepared  = 5
	FrameCommit    = 6
	FrameRunning   = 7
	FrameRelease   = 8
	FramePing      = 10
	FrameRoundAck  = 11
	FrameAnswer    = 12
	FramePulled    = 14
	FrameFetch     = 15
	FrameFrames    = 16
	FrameDrained   = 17
	FrameDelivered = 18
	FramePages     = 20
	FrameRoundEnd  = 21
	FrameWant      = 25

	frameHeader = 32
)

// Boundary is a place between two messages of a move: before or after the Nth
// frame of a type that one side says on connections of one role.
type Boundary struct {
	Role   migration.Role
	Type   byte
	N      int  // from 0
	Answer bool // said by the target's side
	After  bool // the frame has been passed on
}

func (b Boundary) String() string {
	when, who := "before", "source"
	if b.After {
		when = "after"
	}
	if b.Answer {
		who = "target"
	}
	return fmt.Sprintf("%s frame %d, number %d, of the %s on %v", when, b.Type, b.N, who, b.Role)
}

// readHello reads what a connection begins with.
func readHello(r io.Reader) (migration.Hello, []byte, error) {
	b := make([]byte, migration.HelloSize)
	if _, err := io.ReadFull(r, b); err != nil {
		return migration.Hello{}, nil, err
	}
	h, err := migration.DecodeHello(b)
	return h, b, err
}

// nextFrame reads a frame's header and returns its type and how many bytes
// follow it.
func nextFrame(r *bufio.Reader) (head []byte, kind byte, length int64, err error) {
	head = make([]byte, frameHeader)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, 0, 0, err
	}
	if head[0] != 0xFE || head[1] != 0x59 {
		return nil, 0, 0, fmt.Errorf("drive: no frame: % x", head)
	}
	return head, head[2], int64(binary.LittleEndian.Uint32(head[12:])), nil
}
