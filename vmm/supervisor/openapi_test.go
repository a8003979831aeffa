package supervisor

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// openAPI is what docs/openapi.json says, as far as a machine can hold it against the code.
type openAPI struct {
	OpenAPI    string                              `json:"openapi"`
	Paths      map[string]map[string]*apiOperation `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
}

type apiOperation struct {
	Summary     string `json:"summary"`
	OperationID string `json:"operationId"`
	RequestBody *struct {
		Required bool             `json:"required"`
		Content  map[string]media `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Content map[string]media `json:"content"`
	} `json:"responses"`
}

type media struct {
	Schema *schema `json:"schema"`
}

// schema is a part of JSON Schema.
type schema struct {
	Ref         string             `json:"$ref,omitempty"`
	Type        string             `json:"type,omitempty"`
	Format      string             `json:"format,omitempty"`
	Description string             `json:"description,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
}

const schemaRef = "#/components/schemas/"

// enums are the values of the types that are words.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[api.State]():     words(api.States),
	reflect.TypeFor[api.Outcome]():   words(api.Outcomes),
	reflect.TypeFor[api.EventKind](): words(api.EventKinds),
	reflect.TypeFor[api.Owner]():     words([]api.Owner{api.OwnerSource, api.OwnerTarget}),
}

func words[W ~string](all []W) []string {
	var out []string
	for _, w := range all {
		out = append(out, string(w))
	}
	return out
}

// schemas derives what JSON a type is, and collects the objects that it consists of.
type schemas map[string]*schema

func (all schemas) of(t reflect.Type) *schema {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if e, ok := enums[t]; ok {
		return &schema{Type: "string", Enum: e}
	}
	switch t.Kind() {
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Float64:
		return &schema{Type: "number"}
	case reflect.Int, reflect.Uint64:
		return &schema{Type: "integer"}
	case reflect.Slice:
		return &schema{Type: "array", Items: all.of(t.Elem())}
	}
	if t == reflect.TypeFor[time.Time]() {
		return &schema{Type: "string", Format: "date-time"}
	}
	name := t.Name()
	if all[name] == nil {
		s := &schema{Type: "object", Properties: map[string]*schema{}}
		all[name] = s
		all.fields(s, t, true)
		slices.Sort(s.Required)
	}
	return &schema{Ref: schemaRef + name}
}

// fields adds the fields of a struct; those of one that may not be there are not required.
func (all schemas) fields(s *schema, t reflect.Type, there bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && tag == "" {
			if f.Type.Kind() == reflect.Pointer {
				all.fields(s, f.Type.Elem(), false)
			} else {
				all.fields(s, f.Type, there)
			}
			continue
		}
		s.Properties[tag] = all.of(f.Type)
		if there && options != "omitempty" {
			s.Required = append(s.Required, tag)
		}
	}
}

// bare returns a schema without its descriptions; it reports each that is missing below an object.
func bare(t *testing.T, where string, s *schema) *schema {
	c := *s
	c.Description = ""
	if s.Items != nil {
		c.Items = bare(t, where+"[]", s.Items)
	}
	for name, p := range s.Properties {
		if p.Description == "" && p.Ref == "" {
			t.Errorf("%s.%s: got no description; want one", where, name)
		}
		if c.Properties = maps.Clone(c.Properties); c.Properties != nil {
			c.Properties[name] = bare(t, where+"."+name, p)
		}
	}
	slices.Sort(c.Required)
	return &c
}

// readOpenAPI reads the description of the API.
func readOpenAPI(t *testing.T) openAPI {
	t.Helper()
	text, err := os.ReadFile("../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var o openAPI
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(o.OpenAPI, "3.") {
		t.Errorf("got OpenAPI %q; want 3", o.OpenAPI)
	}
	return o
}

// described is one route as the description, or the code, has it.
type described struct {
	Takes, Answers string // schemas; empty: nothing
	Type           string // of the answer's content; empty: no content
}

// TestOpenAPIRoutes wants each route described that there is, and no other, with what it takes and answers.
func TestOpenAPIRoutes(t *testing.T) {
	got := map[string]described{}
	for path, operations := range readOpenAPI(t).Paths {
		for method, o := range operations {
			route := strings.ToUpper(method) + " " + path
			if o.Summary == "" || o.OperationID == "" {
				t.Errorf("%s: got summary %q, operation %q; want both", route, o.Summary, o.OperationID)
			}
			if e, ok := o.Responses["default"]; !ok || e.Content["application/json"].Schema == nil || e.Content["application/json"].Schema.Ref != schemaRef+"ErrorBody" {
				t.Errorf("%s: got default answer %+v; want the body of errors", route, e)
			}
			var d described
			if o.RequestBody != nil {
				d.Takes = o.RequestBody.Content["application/json"].Schema.Ref
			}
			answer := o.Responses["200"]
			for kind, m := range answer.Content {
				d.Type = kind
				if m.Schema != nil {
					d.Answers = m.Schema.Ref
				}
			}
			got[route] = d
		}
	}
	want := map[string]described{}
	v := &server{s: &supervisor{}}
	for route, e := range v.endpoints() {
		all := schemas{}
		d := described{Type: "application/json"}
		if e.takes != reflect.TypeFor[nothing]() {
			d.Takes = all.of(e.takes).Ref
		}
		if e.answers != reflect.TypeFor[nothing]() {
			d.Answers = all.of(e.answers).Ref
		}
		if e.streams {
			d.Type = streamTypes[e.answers]
		}
		want[route] = d
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-code +docs/openapi.json):\n%s", diff)
	}
}

// streamTypes are the content types of answers that go on.
var streamTypes = map[reflect.Type]string{
	reflect.TypeFor[api.StreamLine](): "application/x-ndjson",
	reflect.TypeFor[api.Event]():      "text/event-stream",
	reflect.TypeFor[string]():         metricsType,
	reflect.TypeFor[nothing]():        "", // the console's: bytes, behind an upgrade
}

// TestOpenAPIFields wants each field described that is read or written, and no other.
func TestOpenAPIFields(t *testing.T) {
	want := schemas{}
	want.of(reflect.TypeFor[api.ErrorBody]())
	v := &server{s: &supervisor{}}
	for _, e := range v.endpoints() {
		for _, of := range []reflect.Type{e.takes, e.answers} {
			if of != reflect.TypeFor[nothing]() {
				want.of(of)
			}
		}
	}
	got := schemas{}
	for name, s := range readOpenAPI(t).Components.Schemas {
		got[name] = bare(t, name, s)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("schemas (-code +docs/openapi.json):\n%s", diff)
	}
}
