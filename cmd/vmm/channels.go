package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/migration"
)

// channels is how many connections carry memory; 0 is auto.
type channels int

var _ pflag.Value = (*channels)(nil)

func (c *channels) Type() string { return "N" }

func (c *channels) String() string {
	if *c == 0 {
		return "auto"
	}
	return strconv.Itoa(int(*c))
}

func (c *channels) Set(text string) error {
	if text == "auto" {
		*c = 0
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > migration.MaxChannels {
		return fmt.Errorf("want auto, or 1 to %d", migration.MaxChannels)
	}
	*c = channels(n)
	return nil
}
