package guestmem

import "time"

// No host is too slow for the tests.
func init() { slowBlock = time.Hour }
