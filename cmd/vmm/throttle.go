package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/vcpu"
)

// throttle is how much a guest may be slowed down, in percent of its time.
type throttle int

var _ pflag.Value = (*throttle)(nil)

func (p *throttle) Type() string   { return "PERCENT" }
func (p *throttle) String() string { return strconv.Itoa(int(*p)) }

func (p *throttle) Set(text string) error {
	number, err := strconv.Atoi(text)
	if err != nil || number < 0 || number > vcpu.MaxThrottle {
		return fmt.Errorf("want a number from 0 to %d", vcpu.MaxThrottle)
	}
	*p = throttle(number)
	return nil
}
