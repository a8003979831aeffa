package image

import (
	"errors"
	"fmt"
	"strings"
)

// Cache says where written data is before a flush.
type Cache string

const (
	// CacheWriteback is the host's page cache: fast, and not for an image that
	// two hosts reach.
	CacheWriteback Cache = "writeback"
	// CacheNone passes the page cache by (O_DIRECT).
	CacheNone Cache = "none"
)

// MaxID is how long the name of a disk may be, in bytes: the guest sees it as
// the disk's serial number (VIRTIO 1.2, section 5.2.6).
const MaxID = 20

// MaxQueues is the most queues of a disk: a guest has no more CPUs.
const MaxQueues = 8

// Spec is a disk that a guest is to have.
type Spec struct {
	ID       string
	Path     string
	ReadOnly bool
	Cache    Cache // empty: the host chooses, none where the image can
	Queues   int   // from 1 to MaxQueues; 0 where a source says how many
}

// ErrSpec means that a text names no disk; its message says how to write one.
var ErrSpec = errors.New("not a disk")

// ParseDisk reads "ID=PATH[,ro][,cache=none|writeback][,queues=N]". A disk has
// one queue unless it says otherwise. Errors: ErrSpec.
func ParseDisk(text string) (Spec, error) {
	named, options, _ := strings.Cut(text, ",")
	id, path, err := ParseMapping(named)
	if err != nil {
		return Spec{}, err
	}
	s := Spec{ID: id, Path: path}
	cached := false
	for options != "" {
		var option string
		option, options, _ = strings.Cut(options, ",")
		key, value, _ := strings.Cut(option, "=")
		switch {
		case option == "ro" && !s.ReadOnly:
			s.ReadOnly = true
		case key == "cache" && !cached && (value == string(CacheNone) || value == string(CacheWriteback)):
			s.Cache, cached = Cache(value), true
		case key == "queues" && s.Queues == 0 && len(value) == 1 && value[0] >= '1' && value[0] <= '0'+MaxQueues:
			s.Queues = int(value[0] - '0')
		default:
			return Spec{}, fmt.Errorf("%w: %q after the path of %s: write ,ro or ,cache=none or ,cache=writeback or ,queues= and 1 to 8, once each; a path with a comma needs a link without one", ErrSpec, option, id)
		}
	}
	if strings.HasSuffix(text, ",") {
		return Spec{}, fmt.Errorf("%w: %q ends in a comma", ErrSpec, text)
	}
	s.Queues = max(s.Queues, 1)
	return s, nil
}

// ParseMapping reads "ID=PATH". Errors: ErrSpec.
func ParseMapping(text string) (id, path string, err error) {
	id, path, found := strings.Cut(text, "=")
	if !found || id == "" || path == "" {
		return "", "", fmt.Errorf("%w: %q: write it as ID=PATH, for example root=root.img", ErrSpec, text)
	}
	if strings.ContainsAny(path, ",\x00") {
		return "", "", fmt.Errorf("%w: %q: the path cannot contain a comma or a zero byte: use a link without one", ErrSpec, text)
	}
	if len(id) > MaxID {
		return "", "", fmt.Errorf("%w: the name %q is too long: use at most %d letters", ErrSpec, id, MaxID)
	}
	for _, c := range []byte(id) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return "", "", fmt.Errorf("%w: the name %q: use only letters, digits, and the signs - _ . in it", ErrSpec, id)
		}
	}
	return id, path, nil
}
