package vcpu

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// ErrModel means that a file does not describe a CPU that a guest can have. Its text says what to change; make a new file with vmm cpu.
var ErrModel = errors.New("vcpu: not a CPU model")

// Limits of a model's file.
const (
	MaxModelFile   = 256 << 10 // bytes
	maxModelLeaves = 200       // KVM takes 256, and topology needs some
	maxModelMSRs   = 64
	modelFormat    = 1
)

// modelFile is the file: JSON whose numbers are strings such as "0x1f".
type modelFile struct {
	Format int       `json:"format"`
	CPUID  []leafRow `json:"cpuid"`
	MSRs   []msrRow  `json:"msrs"`
}

// leafRow is one line of CPUID; Subleaf is there exactly where the leaf has some.
type leafRow struct {
	Leaf    word  `json:"leaf"`
	Subleaf *word `json:"subleaf,omitempty"`
	EAX     word  `json:"eax"`
	EBX     word  `json:"ebx"`
	ECX     word  `json:"ecx"`
	EDX     word  `json:"edx"`
}

type msrRow struct {
	Index word `json:"index"`
	Value quad `json:"value"`
}

type (
	word uint32
	quad uint64
)

func (w word) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%#x", uint32(w)), nil }
func (q quad) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%#x", uint64(q)), nil }

// UnmarshalText reads a hexadecimal number of at most 32 bits.
func (w *word) UnmarshalText(b []byte) error {
	v, err := hex(string(b), 32)
	*w = word(v)
	return err
}

// UnmarshalText reads a hexadecimal number of at most 64 bits.
func (q *quad) UnmarshalText(b []byte) error {
	v, err := hex(string(b), 64)
	*q = quad(v)
	return err
}

func hex(s string, bits int) (uint64, error) {
	digits, ok := strings.CutPrefix(s, "0x")
	v, err := strconv.ParseUint(digits, 16, bits)
	if !ok || err != nil {
		return 0, fmt.Errorf("%q is not a number of %d bits such as \"0x1f\"", s, bits)
	}
	return v, nil
}

// withSubleaves are the leaves that depend on ECX, as KVM has them.
var withSubleaves = []uint32{0x4, 0x7, 0xb, 0xd, 0xf, 0x10, 0x12, 0x14, 0x17, 0x18, 0x1d, 0x1e, 0x1f, 0x24, 0x8000001d}

// Encode writes the model as a file.
func (m Model) Encode() ([]byte, error) {
	f := modelFile{Format: modelFormat, CPUID: []leafRow{}, MSRs: []msrRow{}}
	for _, e := range m.CPUID {
		row := leafRow{Leaf: word(e.Function), EAX: word(e.EAX), EBX: word(e.EBX), ECX: word(e.ECX), EDX: word(e.EDX)}
		if slices.Contains(withSubleaves, e.Function) {
			row.Subleaf = (*word)(&e.Index)
		}
		f.CPUID = append(f.CPUID, row)
	}
	for _, e := range m.MSRs {
		f.MSRs = append(f.MSRs, msrRow{word(e.Index), quad(e.Data)})
	}
	var b bytes.Buffer
	if err := f.write(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// write puts each row on a line of its own, so that two files can be compared.
func (f modelFile) write(w io.Writer) error {
	var rows [2][]string
	for i, list := range [2]any{f.CPUID, f.MSRs} {
		var each []json.RawMessage
		b, err := json.Marshal(list)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &each); err != nil {
			return err
		}
		for _, row := range each {
			rows[i] = append(rows[i], "\n  "+string(row))
		}
	}
	_, err := fmt.Fprintf(w, "{\"format\":%d,\n \"cpuid\":[%s],\n \"msrs\":[%s]}\n", f.Format, strings.Join(rows[0], ","), strings.Join(rows[1], ","))
	return err
}

// DecodeModel reads a file. The error is ErrModel.
func DecodeModel(b []byte) (Model, error) {
	bad := func(format string, args ...any) (Model, error) {
		return Model{}, fmt.Errorf("%w: %w", ErrModel, fmt.Errorf(format, args...))
	}
	if len(b) > MaxModelFile {
		return bad("%d bytes; at most %d are taken", len(b), MaxModelFile)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var f modelFile
	if err := d.Decode(&f); err != nil {
		return bad("%w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bad("something follows the object")
	}
	switch {
	case f.Format != modelFormat:
		return bad("format %d; this vmm knows %d", f.Format, modelFormat)
	case len(f.CPUID) > maxModelLeaves || len(f.MSRs) > maxModelMSRs:
		return bad("%d leaves and %d MSRs; at most %d and %d are taken", len(f.CPUID), len(f.MSRs), maxModelLeaves, maxModelMSRs)
	}
	var m Model
	for _, row := range f.CPUID {
		e, err := row.entry()
		if err != nil {
			return bad("leaf %#x: %w", uint32(row.Leaf), err)
		}
		if slices.ContainsFunc(m.CPUID, func(o kvm.CPUIDEntry) bool { return o.Function == e.Function && o.Index == e.Index }) {
			return bad("leaf %#x.%d is there twice", e.Function, e.Index)
		}
		m.CPUID = append(m.CPUID, e)
	}
	if find(m.CPUID, 0, 0).EBX == 0 || find(m.CPUID, 1, 0).EDX == 0 {
		return bad("leaves 0x0 and 0x1, which every CPU has, are missing")
	}
	for _, row := range f.MSRs {
		known, ok := findFeatureMSR(uint32(row.Index))
		switch {
		case !ok:
			return bad("MSR %#x is none by which a CPU says what it can", uint32(row.Index))
		case !known.existsFor(m.CPUID):
			return bad("MSR %#x %s, which a CPU with these leaves does not have", known.index, known.name)
		case slices.ContainsFunc(m.MSRs, func(o kvm.MSREntry) bool { return o.Index == uint32(row.Index) }):
			return bad("MSR %#x is there twice", known.index)
		}
		m.MSRs = append(m.MSRs, kvm.MSREntry{Index: uint32(row.Index), Data: uint64(row.Value)})
	}
	return m, nil
}

// entry checks a row and makes it KVM's.
func (r leafRow) entry() (kvm.CPUIDEntry, error) {
	leaf := uint32(r.Leaf)
	e := kvm.CPUIDEntry{Function: leaf, EAX: uint32(r.EAX), EBX: uint32(r.EBX), ECX: uint32(r.ECX), EDX: uint32(r.EDX)}
	const maxSubleaf = 0xff
	switch has := slices.Contains(withSubleaves, leaf); {
	case !slices.Contains([]uint32{0, 0x40000000, 0x80000000, 0xc0000000}, leaf&^0xff):
		return e, errors.New("no CPU has it")
	case slices.Contains(emptied, leaf) && e.EAX|e.EBX|e.ECX|e.EDX != 0:
		return e, errors.New("it is not given to guests")
	case has && r.Subleaf == nil:
		return e, errors.New("it needs a subleaf")
	case !has && r.Subleaf != nil:
		return e, errors.New("it has no subleaves")
	case has && *r.Subleaf > maxSubleaf:
		return e, fmt.Errorf("subleaf %#x is none", uint32(*r.Subleaf))
	case has:
		e.Index, e.Flags = uint32(*r.Subleaf), kvm.CPUIDSignificantIndex
	}
	return e, nil
}
