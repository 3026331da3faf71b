package expect

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Scenarios plays the scenario files that match pattern, at least least of them.
// A scenario file is a story with its trace. Each line is a comment (#), an
// event, or, behind four spaces, the outcome of the event above it: the machine's
// actions, then its phase, if that changed. Events have arguments name=value. The
// trace is written by -update and read by people.
//
// begin returns the player of one file: it hands an event to the machine and
// returns the actions and the phase that follows; without an event, the phase in
// which the machine begins.
func Scenarios(t *testing.T, pattern string, least int, begin func(t *testing.T) func(name string, args Args) (actions []any, phase fmt.Stringer)) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) < least {
		t.Fatalf("found %d scenarios: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playScenario(t, file, begin(t)) })
	}
}

func playScenario(t *testing.T, file string, play func(string, Args) ([]any, fmt.Stringer)) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	_, first := play("", Args{t: t})
	phase := first.String()
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "    ") {
			continue
		}
		out.WriteString(line)
		words := strings.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		actions, now := play(words[0], parseArgs(t, words[1:]))
		for _, a := range actions {
			writeAction(&out, a)
		}
		if now != nil && now.String() != phase {
			fmt.Fprintf(&out, "    => %v\n", now)
			phase = now.String()
		}
	}
	if *Update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if out.String() != string(data) {
		t.Errorf("the trace is now:\n%s", out.String())
	}
}

// writeAction writes an action as its String says, or its name and its fields,
// those apart that are empty, and its reasons a line each.
func writeAction(out *strings.Builder, a any) {
	if s, ok := a.(fmt.Stringer); ok {
		fmt.Fprintf(out, "    %v\n", s)
		return
	}
	v := reflect.ValueOf(a)
	fmt.Fprintf(out, "    %s", v.Type().Name())
	var reasons []string
	for i := range v.NumField() {
		name, field := v.Type().Field(i).Name, v.Field(i)
		if name == "Reasons" {
			reasons, _ = field.Interface().([]string)
			continue
		}
		if !field.IsZero() || field.CanInt() || field.CanUint() {
			fmt.Fprintf(out, " %s=%v", strings.ToLower(name), field.Interface())
		}
	}
	out.WriteByte('\n')
	for _, r := range reasons {
		fmt.Fprintf(out, "        because %s\n", r)
	}
}

// Args are the arguments of an event in a scenario file. An argument that is
// missing has its type's zero value; one that can't be read fails the test.
type Args struct {
	t      *testing.T
	values map[string]string
}

func parseArgs(t *testing.T, words []string) Args {
	t.Helper()
	args := Args{t: t, values: make(map[string]string)}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			t.Fatalf("%s is not name=value", w)
		}
		args.values[name] = value
	}
	return args
}

// Values returns all arguments.
func (a Args) Values() map[string]string { return a.values }

// Text returns an argument as it is.
func (a Args) Text(name string) string { return a.values[name] }

// Bool reports whether an argument is "true".
func (a Args) Bool(name string) bool { return a.values[name] == "true" }

// Int returns an argument that is a whole number.
func (a Args) Int(name string) int64 {
	a.t.Helper()
	n, err := strconv.ParseInt(a.values[name], 10, 64)
	if err != nil && a.values[name] != "" {
		a.t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Ints returns an argument that is a list of whole numbers with commas between.
func (a Args) Ints(name string) (out []int64) {
	a.t.Helper()
	for s := range strings.SplitSeq(a.values[name], ",") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			out = append(out, n)
		} else if s != "" {
			a.t.Fatalf("%s: %v", name, err)
		}
	}
	return out
}

// Duration returns an argument such as 250ms.
func (a Args) Duration(name string) time.Duration {
	a.t.Helper()
	d, err := time.ParseDuration(a.values[name])
	if err != nil && a.values[name] != "" {
		a.t.Fatalf("%s: %v", name, err)
	}
	return d
}
