package event

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"testing"

	"runsc-recover/checkpoint/trace"
	"runsc-recover/test/expect"
)

// TestEveryEventIsRead: each event comes back from a log as it went in.
func TestEveryEventIsRead(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range All() {
		seen[reflect.TypeOf(e).Name()] = true
		b, err := trace.Object{Value: e}.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%+v came back as %+v: %v", e, got, err)
		}
	}
	expect.Equal(t, "event types", len(seen), len(All()))
	for _, name := range declared(t) {
		expect.Equal(t, name+" can be read", seen[name], true)
	}
}

// declared lists the types with the method event.
func declared(t *testing.T) (names []string) {
	f, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "event" {
			names = append(names, fn.Recv.List[0].Type.(*ast.Ident).Name)
		}
	}
	if len(names) == 0 {
		t.Fatal("no events found")
	}
	return names
}

// TestDecodeRefuses: texts that are no event of this version.
func TestDecodeRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":       ``,
		"no object":     `[]`,
		"no type":       `{"request":1}`,
		"unknown type":  `{"type":"Slept"}`,
		"another shape": `{"type":"Opened","request":"one"}`,
	} {
		if e, err := Decode([]byte(text)); err == nil {
			t.Errorf("%s is read as %T", name, e)
		}
	}
}
