package flags

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"
)

// parseProcess reads a process as exec with these arguments would.
func parseProcess(t *testing.T, config string, args ...string) (p *specs.Process, err error) {
	t.Helper()
	app := &cli.App{DisableSliceFlagSeparator: true, Flags: ProcessFlags(), Action: func(c *cli.Context) error {
		p, err = ReadProcess(c, config)
		return nil
	}}
	if err := app.Run(append([]string{"exec"}, args...)); err != nil {
		t.Fatal(err)
	}
	return p, err
}

func writeJSONFile(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "file.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadProcess(t *testing.T) {
	base := specs.Process{
		Terminal: true, Args: []string{"init"}, Cwd: "/srv", Env: []string{"A=1"},
		User:         specs.User{UID: 3, GID: 4, AdditionalGids: []uint32{5}},
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}},
	}
	config := writeJSONFile(t, specs.Spec{Process: &base})
	got, err := parseProcess(t, config, "--env", "B=2", "--env", "C=x,y", "-t", "-u", "7:8", "-g", "9", "--cap", "CAP_CHOWN", "--no-new-privs", "web", "ls", "-l")
	if err != nil {
		t.Fatal(err)
	}
	want := &specs.Process{
		Terminal: true, Args: []string{"ls", "-l"}, Cwd: "/srv", Env: []string{"A=1", "B=2", "C=x,y"},
		User:            specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{5, 9}},
		NoNewPrivileges: true,
		Capabilities: &specs.LinuxCapabilities{
			Bounding: []string{"CAP_KILL", "CAP_CHOWN"}, Effective: []string{"CAP_CHOWN"}, Permitted: []string{"CAP_CHOWN"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %+v, want %+v %+v", got, got.Capabilities, want, want.Capabilities)
	}
	if got, err := parseProcess(t, config, "web", "id"); err != nil || got.Terminal || got.Cwd != "/srv" || got.User.UID != 3 {
		t.Errorf("defaults: %+v, %v", got, err)
	}
	if got, err := parseProcess(t, config, "--user", "9", "web", "id"); err != nil || got.User.UID != 9 || got.User.GID != 4 {
		t.Errorf("user without group: %+v, %v", got, err)
	}
	file := writeJSONFile(t, specs.Process{Args: []string{"x"}, Cwd: "/"})
	if got, err := parseProcess(t, "/does/not/exist", "--process", file, "web"); err != nil || got.Args[0] != "x" || len(got.Env) != 0 {
		t.Errorf("process file: %+v, %v", got, err)
	}
}

func TestReadProcessRefuses(t *testing.T) {
	config := writeJSONFile(t, specs.Spec{Process: &specs.Process{Cwd: "/"}})
	for text, args := range map[string][]string{
		"process args cannot be empty":        {"web"},
		"Cwd must be an absolute path":        {"--cwd", "x", "web", "id"},
		"Cwd property must not be empty":      {"--process", writeJSONFile(t, specs.Process{Args: []string{"x"}}), "web"},
		"args cannot be empty":                {"--process", writeJSONFile(t, specs.Process{Cwd: "/"}), "web"},
		"parsing root as int for uid failed":  {"--user", "root", "web", "id"},
		"parsing wheel as int for gid failed": {"--user", "0:wheel", "web", "id"},
		"additional-gids must be a positive":  {"--additional-gids=-1", "web", "id"},
		"no such file":                        {"--process", "/does/not/exist", "web"},
	} {
		if p, err := parseProcess(t, config, args...); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %+v, %v", args, p, err)
		}
	}
}
