package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// options are the ferry.* words of the kernel's command line.
type options struct {
	addresses []address
	disks     []diskOption
	memory    memoryOption
	heartbeat time.Duration // 0: none
	vsock     uint32        // port of the echo; 0: none
	login     bool
}

// address of eth0.
type address struct {
	prefix  netip.Prefix // the address itself, not the network's
	gateway netip.Addr   // invalid: none
}

// diskOption asks for records on /dev/name.
type diskOption struct {
	name           string
	slots, writers uint32
}

// memoryOption asks for memory to be owned and checked.
type memoryOption struct {
	mib  int // 0: none
	rate int // MiB/s rewritten; 0: as fast as it goes
}

// Limits of what is believed.
const (
	maxSlots     = 1 << 16
	maxWriters   = 16
	maxMiB       = 1 << 20
	maxHeartbeat = 1 << 20 // ms
	maxVsock     = 1<<31 - 1
)

// Defaults of what may be left out.
const (
	defaultSlots  = 256
	defaultMemory = 16 // MiB/s
)

// errOption says that a word of the command line is not understood. The caller should show it and go on without.
var errOption = errors.New("not understood")

// parseOptions reads the command line. A word that it does not understand has no effect but an error, of errOption.
func parseOptions(cmdline string) (options, error) {
	var o options
	var all []error
	login := ""
	for _, word := range strings.Fields(cmdline) {
		key, value, _ := strings.Cut(word, "=")
		name, ours := strings.CutPrefix(key, "ferry.")
		if !ours {
			continue
		}
		var err error
		switch name {
		case "ip":
			err = appendParsed(&o.addresses, value, parseAddress)
		case "disk":
			err = appendParsed(&o.disks, value, parseDisk)
		case "mem":
			o.memory, err = parseMemory(value)
		case "heartbeat":
			var ms int
			ms, err = number(value, 1, maxHeartbeat)
			o.heartbeat = time.Duration(ms) * time.Millisecond
		case "vsock":
			var port int
			port, err = number(value, 1, maxVsock)
			o.vsock = uint32(port)
		case "login":
			if login = value; value != "yes" && value != "no" {
				err = errors.New("want yes or no")
			}
		default:
			err = errors.New("want ip, disk, mem, heartbeat, vsock or login")
		}
		if err != nil {
			all = append(all, fmt.Errorf("%s %w: %w", word, errOption, err))
		}
	}
	// Lines that others read, and a prompt between them, would spoil each other.
	printing := len(o.disks) > 0 || o.memory.mib > 0 || o.heartbeat > 0
	o.login = login == "yes" || login != "no" && !printing
	return o, errors.Join(all...)
}

func appendParsed[T any](to *[]T, value string, parse func(string) (T, error)) error {
	v, err := parse(value)
	if err == nil {
		*to = append(*to, v)
	}
	return err
}

// parseAddress reads ADDR/LEN[,GATEWAY].
func parseAddress(value string) (address, error) {
	prefix, gateway, more := strings.Cut(value, ",")
	var a address
	var err error
	if a.prefix, err = netip.ParsePrefix(prefix); err != nil {
		return address{}, err
	}
	if !more {
		return a, nil
	}
	if a.gateway, err = netip.ParseAddr(gateway); err != nil {
		return address{}, err
	}
	if a.gateway.Is4() != a.prefix.Addr().Is4() || a.gateway.Zone() != "" {
		return address{}, errors.New("want a gateway of the same family, without zone")
	}
	return a, nil
}

// parseDisk reads NAME[,SLOTS[,WRITERS]].
func parseDisk(value string) (diskOption, error) {
	parts := strings.Split(value, ",")
	d := diskOption{name: parts[0], slots: defaultSlots, writers: 1}
	if d.name == "" || strings.Trim(d.name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return diskOption{}, errors.New("want the name of a disk, as vda")
	}
	for i, limit := range []struct {
		to  *uint32
		max int
	}{{&d.slots, maxSlots}, {&d.writers, maxWriters}} {
		if i+1 >= len(parts) {
			return d, nil
		}
		n, err := number(parts[i+1], 1, limit.max)
		if err != nil {
			return diskOption{}, err
		}
		*limit.to = uint32(n)
	}
	if len(parts) > 3 {
		return diskOption{}, errors.New("want NAME,SLOTS,WRITERS")
	}
	return d, nil
}

// parseMemory reads MIB[,MIB_A_SECOND].
func parseMemory(value string) (memoryOption, error) {
	size, rate, more := strings.Cut(value, ",")
	m := memoryOption{rate: defaultMemory}
	var err error
	if m.mib, err = number(size, 1, maxMiB); err != nil {
		return memoryOption{}, err
	}
	if more {
		if m.rate, err = number(rate, 0, maxMiB); err != nil {
			return memoryOption{}, err
		}
	}
	return m, nil
}

// number reads a decimal number within limits.
func number(s string, least, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("want a number from %d to %d", least, most)
	}
	return n, nil
}
