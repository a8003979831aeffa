package main

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/vmm/supervisor"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

var (
	_ pflag.Value = (*memory)(nil)
	_ pflag.Value = (*count)(nil)
	_ pflag.Value = (*choice)(nil)
	_ pflag.Value = (*duration)(nil)
	_ pflag.Value = (*name)(nil)
	_ pflag.Value = (*console)(nil)
	_ pflag.Value = (*rate)(nil)
)

// memory is a size in bytes, written with M or G for MiB or GiB.
type memory uint64

// minMemory is the smallest guest, in bytes.
const minMemory = 16 << 20

func (m *memory) Type() string   { return "SIZE" }
func (m *memory) String() string { return memoryText(uint64(*m)) }

func memoryText(size uint64) string {
	if size%(1<<30) == 0 && size != 0 {
		return fmt.Sprintf("%dG", size>>30)
	}
	return fmt.Sprintf("%dM", size>>20)
}

func (m *memory) Set(text string) error {
	shift, digits := 0, text
	switch {
	case strings.HasSuffix(text, "M"):
		shift, digits = 20, text[:len(text)-1]
	case strings.HasSuffix(text, "G"):
		shift, digits = 30, text[:len(text)-1]
	default:
		return errors.New("write it as a number of MiB or GiB, such as 256M or 4G")
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || bits.Len64(number)+shift > 63 {
		return errors.New("write it as a number of MiB or GiB, such as 256M or 4G")
	}
	if number<<shift < minMemory {
		return errors.New("a guest needs at least 16M")
	}
	*m = memory(number << shift)
	return nil
}

// count is a number of at least 1.
type count struct {
	n   int
	max int
}

func (c *count) Type() string   { return "N" }
func (c *count) String() string { return strconv.Itoa(c.n) }

func (c *count) Set(text string) error {
	number, err := strconv.Atoi(text)
	if err != nil || number < 1 || number > c.max {
		return fmt.Errorf("want a number from 1 to %d", c.max)
	}
	c.n = number
	return nil
}

// rate is a number of MiB/s, 0 for none.
type rate uint32

func (r *rate) Type() string   { return "MIB/S" }
func (r *rate) String() string { return strconv.FormatUint(uint64(*r), 10) }

func (r *rate) Set(text string) error {
	number, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return errors.New("want a whole number of MiB/s, 0 or more")
	}
	*r = rate(number)
	return nil
}

// choice is one of a few words.
type choice struct {
	word  string
	among []string
}

func (c *choice) Type() string   { return strings.Join(c.among, "|") }
func (c *choice) String() string { return c.word }

func (c *choice) Set(text string) error {
	if !slices.Contains(c.among, text) {
		return fmt.Errorf("want %s", strings.Join(c.among, " or "))
	}
	c.word = text
	return nil
}

// duration is a time that is at least min.
type duration struct {
	d   time.Duration
	min time.Duration
}

func (d *duration) Type() string { return "DURATION" }

func (d *duration) String() string {
	if d.d == 0 {
		return "" // pflag then shows no default
	}
	return d.d.String()
}

func (d *duration) Set(text string) error {
	got, err := time.ParseDuration(text)
	if err != nil {
		return errors.New("write it with a unit, such as 50ms or 2m")
	}
	if got < d.min {
		return fmt.Errorf("want at least %v", d.min)
	}
	d.d = got
	return nil
}

// name is the name of a machine, or empty.
type name string

func (n *name) Type() string   { return "NAME" }
func (n *name) String() string { return string(*n) }

func (n *name) Set(text string) error {
	if err := api.CheckName(text); err != nil {
		return fmt.Errorf("%s", api.AsError(err).Remedy)
	}
	*n = name(text)
	return nil
}

// console is where the guest's serial console goes; the zero value leaves it to consoleFor.
type console struct {
	supervisor.Console
}

func (c *console) Type() string { return "stdio|none|unix:PATH|file:PATH" }

func (c *console) String() string {
	if c.Path == "" {
		return c.Kind
	}
	return c.Kind + ":" + c.Path
}

func (c *console) Set(text string) error {
	got, err := supervisor.ParseConsole(text)
	if err != nil {
		return errors.New(api.AsError(err).Remedy)
	}
	c.Console = got
	return nil
}
