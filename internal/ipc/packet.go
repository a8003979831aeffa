package ipc

import (
	"errors"
	"fmt"
	"os"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/sys/unix"
)

var decMode = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		MaxArrayElements: 16384,
		MaxMapPairs:      4096,
		MaxNestedLevels:  16,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}()

func decode(b cbor.RawMessage, v any) error {
	if len(b) == 0 {
		return nil
	}
	if err := decMode.Unmarshal(b, v); err != nil {
		return fmt.Errorf("message between the processes of a machine: %w", err)
	}
	return nil
}

// send packs and sends one message.
func (c *Conn) send(e envelope, body any, files []*os.File) error {
	if body != nil {
		b, err := cbor.Marshal(body)
		if err != nil {
			return fmt.Errorf("packing %q: %w", e.Method, err)
		}
		e.Body = b
	}
	p, err := cbor.Marshal(e)
	if err != nil {
		return fmt.Errorf("packing %q: %w", e.Method, err)
	}
	if len(p) > maxPacket || len(files) > maxFiles {
		return fmt.Errorf("message %q of %d bytes and %d files is over the limit of %d and %d", e.Method, len(p), len(files), maxPacket, maxFiles)
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			// SyscallConn, not Fd: Fd would make the descriptor blocking.
			sc, err := f.SyscallConn()
			if err != nil {
				return err
			}
			if err := sc.Control(func(fd uintptr) { fds[i] = int(fd) }); err != nil {
				return err
			}
		}
		rights = unix.UnixRights(fds...)
	}
	sc, err := c.file.SyscallConn()
	if err != nil {
		return ErrClosed
	}
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	var sendErr error
	err = sc.Write(func(fd uintptr) bool {
		for {
			sendErr = unix.Sendmsg(int(fd), p, rights, nil, unix.MSG_NOSIGNAL)
			if !errors.Is(sendErr, unix.EINTR) {
				return !errors.Is(sendErr, unix.EAGAIN)
			}
		}
	})
	if err != nil || errors.Is(sendErr, unix.EPIPE) || errors.Is(sendErr, unix.ECONNRESET) {
		return ErrClosed
	}
	return sendErr
}

// read receives until the other side is gone.
func (c *Conn) read() {
	defer c.shutdown()
	// Notifications keep their order: one goroutine works them off.
	notes := make(chan *Request, 64)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for r := range notes {
			_, _ = c.handler(c.baseCtx, r)
		}
	}()
	defer func() { close(notes); <-finished }()

	buf := make([]byte, maxPacket)
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	for {
		n, files, err := c.receive(buf, oob)
		if err != nil || n == 0 {
			closeAll(files)
			return
		}
		var e envelope
		if err := decMode.Unmarshal(buf[:n], &e); err != nil {
			closeAll(files)
			return
		}
		switch e.Kind {
		case kindAnswer:
			c.mu.Lock()
			ch := c.waiting[e.ID]
			delete(c.waiting, e.ID)
			c.mu.Unlock()
			if ch == nil { // the caller gave up
				closeAll(files)
				continue
			}
			a := answer{body: e.Body, files: files}
			if e.Err != nil {
				a.err = e.Err
			}
			ch <- a
		case kindCall:
			c.calls.Add(1)
			go c.serve(e.ID, &Request{Method: e.Method, body: e.Body, Files: files})
		case kindNotify:
			notes <- &Request{Method: e.Method, body: e.Body, Files: files}
		default:
			closeAll(files)
			return
		}
	}
}

// receive reads one packet and its descriptors.
func (c *Conn) receive(buf, oob []byte) (int, []*os.File, error) {
	sc, err := c.file.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	var n, oobn, flags int
	var recvErr error
	err = sc.Read(func(fd uintptr) bool {
		for {
			n, oobn, flags, _, recvErr = unix.Recvmsg(int(fd), buf, oob, unix.MSG_CMSG_CLOEXEC)
			if !errors.Is(recvErr, unix.EINTR) {
				return !errors.Is(recvErr, unix.EAGAIN)
			}
		}
	})
	if err != nil {
		return 0, nil, err
	}
	if recvErr != nil {
		return 0, nil, recvErr
	}
	var files []*os.File
	if oobn > 0 {
		msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			return 0, nil, err
		}
		for i := range msgs {
			fds, err := unix.ParseUnixRights(&msgs[i])
			if err != nil {
				continue
			}
			for _, fd := range fds {
				files = append(files, os.NewFile(uintptr(fd), "handed over"))
			}
		}
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		closeAll(files)
		return 0, nil, errors.New("truncated packet")
	}
	return n, files, nil
}

// shutdown fails every waiting call and waits for the handlers.
func (c *Conn) shutdown() {
	c.mu.Lock()
	c.closed = true
	for id, ch := range c.waiting {
		ch <- answer{err: ErrClosed}
		delete(c.waiting, id)
	}
	c.mu.Unlock()
	c.cancel()
	close(c.done)
	c.calls.Wait()
	c.file.Close()
}
