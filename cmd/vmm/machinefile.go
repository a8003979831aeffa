package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// A machine file says what a guest is to be, as an object of JSON whose fields are the flags of run: docs/machine.schema.json. A field that
// is a list stands for a flag that may be given again.

// maxMachineFile bounds a machine file, in bytes.
const maxMachineFile = 256 << 10

// notInFile are the flags of run that are about the command, not about the guest.
var notInFile = []string{"file", "detach", "unconfined", "json", "help"}

// fieldOf is the field of a machine file that stands for a flag.
func fieldOf(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// applyMachineFile gives flags the values that a file has for them, except those that were given. Errors have code usage.
func applyMachineFile(f *pflag.FlagSet, path string) error {
	fail := func(format string, args ...any) error {
		return api.Errorf(api.CodeUsage, "see docs/machine.schema.json", "machine file %s: "+format, append([]any{path}, args...)...)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe that nobody writes to is empty
	if err != nil {
		return api.Errorf(api.CodeUsage, "check --file", "machine file: %v", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxMachineFile+1))
	if err != nil {
		return fail("%v", err)
	}
	if len(text) > maxMachineFile {
		return fail("it is longer than %d KiB", maxMachineFile>>10)
	}
	fields, err := decodeMachineFile(text)
	if err != nil {
		return fail("%v", err)
	}
	given := map[string]bool{}
	f.Visit(func(g *pflag.Flag) { given[g.Name] = true })
	for _, field := range fields {
		flag := f.Lookup(strings.ReplaceAll(field.name, "_", "-"))
		if flag == nil || slices.Contains(notInFile, flag.Name) || field.name != fieldOf(flag.Name) {
			return fail("there is no field %q", field.name)
		}
		texts, err := flagTexts(flag, field.value)
		if err != nil {
			return fail("%s: %v", field.name, err)
		}
		if given[flag.Name] {
			continue
		}
		for _, text := range texts {
			if err := f.Set(flag.Name, text); err != nil {
				return fail("%s: %q: %v", field.name, text, errors.Unwrap(err))
			}
		}
	}
	return nil
}

// fileField is a field of a machine file.
type fileField struct {
	name  string
	value json.RawMessage
}

// decodeMachineFile reads the fields of a machine file in their order, none twice. $schema, by which editors know what it is, is none of them.
func decodeMachineFile(text []byte) ([]fileField, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("it is not an object of JSON"), err)
	}
	var fields []fileField
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		f := fileField{name: t.(string)} // a key
		if err := d.Decode(&f.value); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(fields, func(g fileField) bool { return g.name == f.name }) {
			return nil, fmt.Errorf("%s is there twice", f.name)
		}
		if f.name != "$schema" {
			fields = append(fields, f)
		}
	}
	if _, err := d.Token(); err != nil { // the end of the object
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	return fields, nil
}

// jsonKind is the type of JSON that a flag's field has.
func jsonKind(flag *pflag.Flag) string {
	switch v := flag.Value.(type) {
	case *count:
		return "integer"
	case repeatable:
		return "array"
	default:
		if v.Type() == "bool" {
			return "boolean"
		}
		return "string"
	}
}

// flagTexts are the values of a flag that a field has, as they are given on the command line.
func flagTexts(flag *pflag.Flag, value json.RawMessage) ([]string, error) {
	decode := func(v any) error {
		if bytes.Equal(value, []byte("null")) {
			return errors.New("null is no value: leave it out")
		}
		if json.Unmarshal(value, v) != nil {
			return fmt.Errorf("want a value of type %s", jsonKind(flag))
		}
		return nil
	}
	switch jsonKind(flag) {
	case "integer":
		var n int64
		err := decode(&n)
		return []string{fmt.Sprint(n)}, err
	case "array":
		var all []string
		err := decode(&all)
		return all, err
	case "boolean":
		var b bool
		err := decode(&b)
		return []string{fmt.Sprint(b)}, err
	}
	var s string
	err := decode(&s)
	return []string{s}, err
}

// encodeMachineFile writes what the flags say, in their order, a field a line. What is not said, and has no default, is left out.
func encodeMachineFile(f *pflag.FlagSet) (string, error) {
	var lines []string
	var failed error
	f.VisitAll(func(flag *pflag.Flag) {
		text := flag.Value.String()
		if slices.Contains(notInFile, flag.Name) || text == "" && !flag.Changed {
			return
		}
		var value any = text
		switch jsonKind(flag) {
		case "integer", "boolean":
			value = json.RawMessage(text)
		case "array":
			value = flag.Value.(repeatable).texts()
		}
		b, err := json.Marshal(value)
		failed = errors.Join(failed, err)
		lines = append(lines, fmt.Sprintf("  %q: %s", fieldOf(flag.Name), b))
	})
	return "{\n" + strings.Join(lines, ",\n") + "\n}", failed
}
