package drive

import (
	"errors"
	"fmt"

	"github.com/ferryvmm/ferry/internal/lab"
)

// World is a laboratory of hosts with a site on each.
type World struct {
	Lab   *lab.Lab
	Sites []*Site
}

// NewWorld makes hosts sites for the binary at path vmm, on a network of
// their own. It needs root.
func NewWorld(vmm string, hosts int) (*World, error) {
	l, err := lab.New(hosts)
	if err != nil {
		return nil, err
	}
	w := &World{Lab: l}
	for _, h := range l.Hosts {
		s, err := NewSite(vmm, h)
		if err != nil {
			return nil, errors.Join(err, w.Close())
		}
		w.Sites = append(w.Sites, s)
	}
	return w, nil
}

// Leftovers lists what was left behind on any site.
func (w *World) Leftovers() ([]string, error) {
	var all []string
	for i, s := range w.Sites {
		left, err := s.Leftovers()
		if err != nil {
			return nil, err
		}
		for _, l := range left {
			all = append(all, fmt.Sprintf("host %d: %s", i, l))
		}
		pids, err := w.Lab.Hosts[i].Processes()
		if err != nil {
			return nil, err
		}
		for _, pid := range pids {
			all = append(all, fmt.Sprintf("host %d: process %d in its network", i, pid))
		}
	}
	return all, nil
}

// Close kills what is left and takes the world down.
func (w *World) Close() error {
	var errs []error
	for _, s := range w.Sites {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.Lab.Close())...)
}
