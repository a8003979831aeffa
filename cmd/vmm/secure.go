package main

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
	"github.com/ferryvmm/ferry/vmm/supervisor/identity"
)

var (
	_ pflag.Value = (*folder)(nil)
	_ pflag.Value = (*hostNames)(nil)
	_ pflag.Value = (*hostList)(nil)
)

// secure is how a command meets other hosts: under TLS, or, where nobody else listens, not.
type secure struct {
	tls      folder
	insecure bool
}

// flags adds --tls and --insecure; plain says what the latter does.
func (s *secure) flags(f *pflag.FlagSet, plain string) {
	f.Var(&s.tls, "tls", "encrypt, and have both hosts prove who they are: a folder with ca.pem, cert.pem and key.pem")
	f.BoolVar(&s.insecure, "insecure", false, plain)
}

// check wants one of them where an address needs it.
func (s *secure) check(address api.Address) error {
	return address.CheckSecure(string(s.tls), s.insecure)
}

// folder is the absolute path of one.
type folder string

func (d *folder) Type() string   { return "DIR" }
func (d *folder) String() string { return string(*d) }

func (d *folder) Set(text string) error {
	if text == "" {
		return errors.New("want the path of a folder")
	}
	path, err := filepath.Abs(text)
	*d = folder(path)
	return err
}

// hostNames are names or addresses of hosts, with commas between them.
type hostNames []string

func (h *hostNames) Type() string   { return "NAME[,NAME...]" }
func (h *hostNames) String() string { return strings.Join(*h, ",") }

func (h *hostNames) Set(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		if err := identity.CheckName(name); err != nil {
			return err
		}
		*h = append(*h, name)
	}
	return nil
}

// hostList is the names of several hosts.
type hostList [][]string

func (h *hostList) Type() string   { return "NAME|IP[,...]" }
func (h *hostList) String() string { return "" }

func (h *hostList) Set(text string) error {
	var names hostNames
	if err := names.Set(text); err != nil {
		return err
	}
	*h = append(*h, names)
	return nil
}
