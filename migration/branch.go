package migration

import (
	"net"
	"time"
)

// branch takes a channel beside bulk. One that comes when nothing is pushed any more is kept: to close it would look like
// a lost link. The caller holds mu.
func (r *receiver) branch(conn net.Conn) {
	if len(r.branches) >= MaxChannels-1 {
		conn.Close()
		return
	}
	r.branches = append(r.branches, conn)
	if r.machine.state != targetReceiving {
		return
	}
	bulk := r.bulk.pages
	b := &bulkReader{in: newInlet(conn, bulkBuffer)}
	b.pages = newPageReader(b.in, bulk.sink, bulk.layout, bulk.gate)
	b.pages.branch, b.pages.pull = true, bulk.pull
	b.pages.unpack = bulk.unpack.beside(r.Hello.Move)
	r.wg.Go(func() {
		if err := b.read(r.roundEnded); err != nil {
			r.fail(bulkError(err))
		}
	})
}

// stopBranches ends the reading of the channels beside bulk. The caller holds mu.
func (r *receiver) stopBranches() {
	for _, c := range r.branches {
		c.SetDeadline(time.Unix(1, 0))
	}
}

// closeBranches closes them. Nobody reads them any more.
func (r *receiver) closeBranches() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.branches {
		c.Close()
	}
}
