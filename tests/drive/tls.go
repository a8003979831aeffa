package drive

import (
	"context"
	"fmt"
	"path/filepath"
)

// secure is what a command needs to talk to another host.
func (s *Site) secure() []string {
	switch {
	case s.TLS != "":
		return []string{"--tls", s.TLS}
	case s.Host != nil:
		return []string{"--insecure"}
	}
	return nil
}

// Encrypt has all that the sites say to each other from now on be under TLS, by a laboratory of vmm certs in dir.
func (w *World) Encrypt(ctx context.Context, dir string) error {
	args := []string{"certs", dir}
	for _, s := range w.Sites {
		args = append(args, "--host", s.Address())
	}
	d, err := w.Sites[0].Exec(ctx, args...)
	if err == nil && d.Code != 0 {
		err = fmt.Errorf("drive: certs failed\n%s", d)
	}
	for _, s := range w.Sites {
		s.TLS = filepath.Join(dir, s.Address())
	}
	return err
}
