package flags

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/test/expect"
)

func writeText(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestProcessFilesAreRefused reads files that aren't a process, as --process and
// as the container's config.json.
func TestProcessFilesAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":        "",
		"not JSON":     "{",
		"a list":       "[]",
		"a number":     "7",
		"wrong type":   `{"args":"x","cwd":"/"}`,
		"huge number":  `{"args":["x"],"cwd":"/","user":{"uid":99999999999}}`,
		"negative uid": `{"args":["x"],"cwd":"/","user":{"uid":-1}}`,
	} {
		path := writeText(t, text)
		if p, err := parseProcess(t, "/does/not/exist", "--process", path, "web"); errdefs.CodeOf(err) != errdefs.CodeConfigInvalid {
			t.Errorf("%s as a process: %+v, %v", name, p, err)
		}
		config := writeText(t, `{"process":`+text+`}`)
		if p, err := parseProcess(t, config, "web", "id"); errdefs.CodeOf(err) != errdefs.CodeConfigInvalid {
			t.Errorf("%s in config.json: %+v, %v", name, p, err)
		}
	}
	long := writeText(t, `{"cwd":"/","args":["`+strings.Repeat("x", maxProcess)+`"]}`)
	if _, err := parseProcess(t, "/does/not/exist", "--process", long, "web"); errdefs.CodeOf(err) != errdefs.CodeConfigInvalid {
		t.Errorf("too long: %v", err)
	}
	for name, text := range map[string]string{"null": "null", "no process": `{}`, "null process": `{"process":null}`} {
		if p, err := parseProcess(t, writeText(t, text), "web", "id"); errdefs.CodeOf(err) != errdefs.CodeConfigInvalid {
			t.Errorf("config.json with %s: %+v, %v", name, p, err)
		}
	}
}

func TestSetUser(t *testing.T) {
	for _, c := range []struct {
		in       string
		uid, gid uint32
		ok       bool
	}{
		{"0", 0, 5, true},
		{"7:8", 7, 8, true},
		{"4294967295:4294967295", 1<<32 - 1, 1<<32 - 1, true},
		{"4294967296", 0, 0, false},
		{"-1", 0, 0, false},
		{"7:", 0, 0, false},
		{":7", 0, 0, false},
		{"7:8:9", 0, 0, false},
		{" 7", 0, 0, false},
		{"0x7", 0, 0, false},
	} {
		u := specs.User{GID: 5}
		if err := setUser(&u, c.in); (err == nil) != c.ok || c.ok && (u.UID != c.uid || u.GID != c.gid) {
			t.Errorf("%q: %+v, %v", c.in, u, err)
		}
	}
}

func TestDecodeResourcesRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":      "",
		"not JSON":   "memory",
		"a list":     "[]",
		"wrong type": `{"memory":{"limit":"5m"}}`,
		"negative":   `{"cpu":{"shares":-1}}`,
		"too large":  `{"memory":{"limit":9223372036854775808}}`,
		"too long":   `{"unified":{"a":"` + strings.Repeat("x", maxResources) + `"}}`,
	} {
		if r, err := decodeResources(strings.NewReader(text)); errdefs.CodeOf(err) != errdefs.CodeRequest {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	r, err := decodeResources(strings.NewReader(`{"memory":{"limit":-1},"unified":{"memory.high":"max"}}`))
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "limit", *r.Memory.Limit, -1)
	expect.Equal(t, "unified", r.Unified["memory.high"], "max")
}

// FuzzLimit asks that every accepted number is within its limits.
func FuzzLimit(f *testing.F) {
	for _, s := range []string{"1", "-1", "5k", "1.5g", "9000000t", "1e30k", "-0b", "0x5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, l := range limits() {
			if v, err := l.parse(s); err == nil && (v < l.min || v > l.max) {
				t.Errorf("%s: %q is %d", l.name, s, v)
			}
		}
	})
}

func TestReadCheckpoint(t *testing.T) {
	for args, want := range map[string]uint64{
		"web 1": 1, "web 18446744073709551615": 1<<64 - 1,
		"web": 0, "web 0": 0, "web -1": 0, "web +1": 0, "web 18446744073709551616": 0, "web 1 2": 0, "web x": 0, "web 0x1": 0,
	} {
		var got uint64
		var err error
		app := &cli.App{Commands: []*cli.Command{{Name: "verify", SkipFlagParsing: true, Action: func(c *cli.Context) error {
			seq, e := ReadCheckpoint(c)
			got, err = uint64(seq), e
			return nil
		}}}}
		if e := app.Run(append([]string{"rr", "verify"}, strings.Fields(args)...)); e != nil {
			t.Fatal(e)
		}
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", args, got, err)
		}
	}
}
