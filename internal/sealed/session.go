package sealed

import "fmt"

// Session is what two hosts agreed on for one connection. It holds the keys of that connection, and of nothing else: hand it only to
// who has the connection.
type Session struct {
	Suite   uint16 // by its number, RFC 8446 appendix B.4
	In, Out Direction
}

// Direction is one direction of a session.
type Direction struct {
	Secret  []byte // application_traffic_secret_N, RFC 8446 section 7.1
	Records uint64 // that were sealed with it
}

// String names the suite, and no secret.
func (s Session) String() string {
	if known := suites[s.Suite]; known != nil {
		return known.name
	}
	return fmt.Sprintf("suite %#x", s.Suite)
}

// GoString is String.
func (s Session) GoString() string { return s.String() }

// String tells no secret.
func (d Direction) String() string { return "a traffic secret" }

// GoString is String.
func (d Direction) GoString() string { return d.String() }

// Suite is the name of the cipher suite.
func (c *Conn) Suite() string { return c.in.suite.name }
