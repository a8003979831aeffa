package drive

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Processes lists the processes of the site's machines: those that have its
// state folder in their environment, or a file of it open.
func (s *Site) Processes() ([]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && pid != os.Getpid() && s.owns(dir) && !zombie(dir) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// owns says whether the process at dir, under /proc, belongs to the site. One
// that has ended, or may not be looked at, does not.
func (s *Site) owns(dir string) bool {
	environ, err := os.ReadFile(filepath.Join(dir, "environ"))
	if err != nil {
		return false
	}
	for v := range bytes.SplitSeq(environ, []byte{0}) {
		if string(v) == "FERRY_DIR="+s.Dir {
			return true
		}
	}
	fds, err := filepath.Glob(filepath.Join(dir, "fd", "*"))
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, s.Dir+"/") {
			return true
		}
	}
	return false
}

func zombie(dir string) bool {
	state, _, ok := stat(dir)
	return !ok || state == "Z" || state == "X"
}

// stat reads the state of the process at dir, and who started it.
func stat(dir string) (state string, parent int, ok bool) {
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return "", 0, false
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return "", 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	return fields[0], parent, err == nil
}

// machineName is how a machine process calls itself. A child of a supervisor that does not is none yet, or only a trial of
// what the kernel can do, of Go's.
const machineName = "vmm-machine"

// Machines lists the machine processes that p started.
func (p *Process) Machines() ([]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	var pids []int
	for _, dir := range dirs {
		if state, parent, ok := stat(dir); ok && parent == p.PID() && state != "Z" && state != "X" {
			if name, err := os.ReadFile(filepath.Join(dir, "cmdline")); err != nil || !bytes.HasPrefix(name, []byte(machineName)) {
				continue
			}
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// Leftovers lists what the machines of the site left behind once all have
// ended: processes, and files other than logs, ownership records that may
// still be asked for, and the folder's own lock.
func (s *Site) Leftovers() ([]string, error) {
	var left []string
	pids, err := s.Processes()
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		left = append(left, fmt.Sprintf("process %d: %s", pid, bytes.ReplaceAll(cmdline, []byte{0}, []byte(" "))))
	}
	err = filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(s.Dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel == "records" {
				return fs.SkipDir
			}
			return nil
		}
		if rel != ".lock" && filepath.Ext(rel) != ".log" {
			left = append(left, rel)
		}
		return nil
	})
	return left, err
}

// Close kills what is left of the site's machines and removes its folder.
func (s *Site) Close() error {
	pids, err := s.Processes()
	for _, pid := range pids {
		if p, findErr := os.FindProcess(pid); findErr == nil {
			_ = p.Kill() // it may have ended by itself
			_ = p.Release()
		}
	}
	return errors.Join(err, os.RemoveAll(s.Dir))
}
