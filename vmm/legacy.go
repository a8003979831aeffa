package vmm

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/ferryvmm/ferry/migration"
)

// roleMemory is the role of a region of guest memory; its number follows.
const roleMemory = "memory:"

// legacy is what a guest's process hands to the next one on the same host: the
// memory itself, boot images, disks with their locks, taps with what they have
// queued, and the lock of the name.
type legacy struct{ fileSet }

// handOver lists what another process needs to go on with the guest. The files
// stay here too, in case the move fails.
func (m *Machine) handOver(files fileSet) ([]migration.Handed, error) {
	var all []migration.Handed
	add := func(role string, f *os.File) { all = append(all, migration.Handed{Role: role, File: f}) }
	for i, f := range m.instance.memory.Files() {
		add(roleMemory+strconv.Itoa(i), f)
	}
	for id, r := range m.images.readers() {
		if f, ok := r.(*os.File); ok { // not what is built in: the other process may be of another version
			add(id, f)
		}
	}
	for _, d := range m.backs.disks {
		add(DiskRole(d.id), d.file)
		if d.pages != nil {
			add(PagesRole(d.id), d.pages)
		}
	}
	for id, queues := range m.backs.taps {
		for q, f := range queues {
			add(TapRole(id, q), f)
		}
	}
	name := files[RoleName]
	if name == nil {
		return nil, fmt.Errorf("no lock of the name was handed over")
	}
	add(RoleName, name)
	return all, nil
}

// takeHanded takes what a source handed over.
func takeHanded(handed []migration.Handed) legacy {
	l := legacy{make(fileSet, len(handed))}
	for _, h := range handed {
		l.fileSet[h.Role] = h.File
	}
	return l
}

// memory takes the files of so many regions.
func (l legacy) memory(regions int) ([]*os.File, error) {
	files := make([]*os.File, 0, regions)
	for i := range regions {
		f := l.take(roleMemory + strconv.Itoa(i))
		if f == nil {
			closeAll(files)
			return nil, &Failure{Code: "local", Message: fmt.Sprintf("region %d of the guest's memory was not handed over", i), Remedy: "use the same version of vmm on both sides"}
		}
		files = append(files, f)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// devices moves what disks and networks work on to other files.
func (l legacy) devices(to fileSet) {
	for role, f := range l.fileSet {
		if strings.HasPrefix(role, roleDisk) || strings.HasPrefix(role, rolePages) || strings.HasPrefix(role, roleTap) {
			to[role] = f
			delete(l.fileSet, role)
		}
	}
}

// leaveBehind makes sure that ending the devices here changes nothing of what
// another process works on. Precondition: they are at rest.
func (m *Machine) leaveBehind() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.instance.board.slots {
		if s.part.leave != nil {
			s.part.leave()
		}
	}
}
