package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cli/show"
	"runsc-recover/test/expect"
)

func TestGoldenDescriptions(t *testing.T) {
	f := Options{Tracking: func(config.Tracking) string { return "" }}.describeFeatures(config.Config{})
	f.Annotations = nil
	for name, v := range map[string]any{"spec.json": exampleSpec(false), "features.json": f} {
		var b bytes.Buffer
		if err := show.JSON(&b, v); err != nil {
			t.Fatal(err)
		}
		expect.Golden(t, name, b.String())
	}
}

func TestGoldenHelp(t *testing.T) {
	for name, args := range map[string][]string{
		"help-kill.txt":     {"kill", "--help"},
		"help-run.txt":      {"run", "--help"},
		"help-episodes.txt": {"episodes", "show", "--help"},
	} {
		got := commandWith(t, "", args...)
		if got.status != 0 || got.errout != "" {
			t.Errorf("%q: %+v", args, got)
		}
		expect.Golden(t, name, got.out)
	}
}

// TestEveryCommandIsDocumented asks for the parts of a manual page.
func TestEveryCommandIsDocumented(t *testing.T) {
	var check func(prefix string, all []*cli.Command)
	check = func(prefix string, all []*cli.Command) {
		for _, c := range all {
			name := prefix + c.Name
			if c.Hidden {
				continue
			}
			if len(c.Subcommands) > 0 {
				check(name+" ", c.Subcommands)
				continue
			}
			for _, want := range []string{"EXAMPLE", "EXIT STATUS", name} {
				if !strings.Contains(c.Description, want) {
					t.Errorf("%s: description lacks %q", name, want)
				}
			}
			for line := range strings.Lines(c.Description) {
				if len(line) > 86 {
					t.Errorf("%s: line of %d characters: %s", name, len(line), line)
				}
			}
		}
	}
	check("", newApp(Options{}, &reporter{}).Commands)
}

// TestStateAndList goes through a state directory.
func TestStateAndList(t *testing.T) {
	root := t.TempDir()
	state := makeContainer(t, root, "web", statedir.StatusRunning, nil)
	makeContainer(t, root, "db", statedir.StatusStopped, nil)
	if err := os.Mkdir(root+"/half", 0o700); err != nil {
		t.Fatal(err)
	}
	got := command(t, root, "state", "web")
	expect.Golden(t, "state.json", strings.ReplaceAll(got.out, strconv.Itoa(state.Supervisor.Pid), "PID"))
	if got := command(t, root, "list", "-q"); got.out != "db\nweb\n" || got.errout != "" {
		t.Errorf("list -q: %+v", got)
	}
	var views []show.State
	if err := json.Unmarshal([]byte(command(t, root, "list", "--format=json").out), &views); err != nil || len(views) != 2 || views[0].Pid != 0 || views[1].Pid != state.Supervisor.Pid {
		t.Errorf("list --format=json: %+v, %v", views, err)
	}
	if err := os.WriteFile(statedir.ContainerDir(root, "db").StateFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := command(t, root, "list", "-q"); got.status != 0 || got.out != "web\n" || !strings.Contains(got.errout, "load container db") {
		t.Errorf("list with a broken state: %+v", got)
	}
}

func TestFilterPS(t *testing.T) {
	const out = "  UID PID CMD\n    0   1 init\n    0  12 a b\n    0 112 c\n\n"
	got, err := filterPS(out, []int{12})
	if err != nil || got != "  UID PID CMD\n    0  12 a b\n" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "CMD\n", "UID PID\n0 x\n", "UID PID\n0\n"} {
		if got, err := filterPS(bad, nil); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

func TestStreamEvents(t *testing.T) {
	over := errdefs.ErrNotRunning
	failure := errors.New("no cgroup")
	for _, c := range []struct {
		name  string
		stats []error  // answers to requests for the figures, in turn
		kills []uint64 // answers to requests for the kills, in turn; the last one for good
		want  []string
		err   error
	}{
		{"ends with the container", []error{nil, nil, over}, []uint64{5}, []string{"stats", "stats"}, nil},
		{"a kill", []error{nil, nil, over}, []uint64{5, 6}, []string{"stats", "stats", "oom"}, nil},
		{"the kill that ended it", []error{nil, over}, []uint64{0, 1}, []string{"stats", "oom"}, nil},
		{"over before it began", []error{over}, []uint64{3}, nil, nil},
		{"no figures", []error{failure}, []uint64{0}, nil, failure},
	} {
		var out bytes.Buffer
		turn, asked := 0, 0
		s := eventStream{
			eventsOptions: eventsOptions{id: "web", interval: time.Millisecond},
			out:           json.NewEncoder(&out),
			stats: func(context.Context) (api.Stats, error) {
				turn++
				return api.Stats{}, c.stats[turn-1]
			},
			oomKills: func() uint64 {
				asked++
				// Only once all figures but the last were written.
				if asked > 1 && turn < len(c.stats) {
					return c.kills[0]
				}
				return c.kills[min(asked, len(c.kills))-1]
			},
		}
		if err := s.run(t.Context()); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := eventTypes(&out); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func eventTypes(in *bytes.Buffer) []string {
	var types []string
	for d := json.NewDecoder(in); ; {
		var e show.Event
		if d.Decode(&e) != nil {
			return types
		}
		types = append(types, e.Type)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh"} {
		got := commandWith(t, "", "completion", shell)
		if got.status != 0 || !strings.Contains(got.out, "--generate-bash-completion") {
			t.Errorf("%s: %+v", shell, got)
		}
	}
	check := exec.Command("bash", "-n")
	check.Stdin = strings.NewReader(bashCompletion)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("bash: %v: %s", err, out)
	}
	root := t.TempDir()
	makeContainer(t, root, "web", statedir.StatusStopped, nil)
	if got := command(t, root, "kill", "--generate-bash-completion"); !slices.Contains(strings.Fields(got.out), "web") {
		t.Errorf("ids: %+v", got)
	}
	// The library looks at the process's own arguments, too.
	args := os.Args
	defer func() { os.Args = args }()
	os.Args = []string{"runsc-recover", "--generate-bash-completion"}
	if got := commandWith(t, "", "--generate-bash-completion"); !strings.Contains(got.out, "checkpoints") || strings.Contains(got.out, "exec-wait") {
		t.Errorf("commands: %+v", got)
	}
}

func TestVersion(t *testing.T) {
	got := commandWith(t, "", "--version")
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	for i, prefix := range []string{"runc version ", "runsc-recover version ", "commit: ", "gvisor: ", "spec: 1.", "go: go1."} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], prefix) {
			t.Errorf("line %d of %q doesn't begin with %q", i, got.out, prefix)
		}
	}
}

func TestSpecCommand(t *testing.T) {
	dir := t.TempDir()
	if got := commandWith(t, "", "spec", "--bundle", dir); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	b, err := os.ReadFile(dir + "/config.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oci.ParseSpec(b); err != nil {
		t.Errorf("its own spec is refused: %v", err)
	}
	if got := commandWith(t, "", "spec", "--bundle", dir); got.status != 1 || !strings.Contains(got.errout, "exists, remove it first") {
		t.Errorf("second: %+v", got)
	}
}
