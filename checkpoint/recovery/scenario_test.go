package recovery

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/sentry/failure"
	"runsc-recover/test/expect"
)

// A scenario file is a story with its trace. Each line is a comment (#), an
// event, or, behind four spaces, what the event above it led to: its actions,
// then the phase, if that changed. The trace is written by -update and read by
// people. Events have arguments name=value: t is run time, now a wall time
// since the beginning; "config" sets options by their names in annotations.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d scenarios: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScenario(t, file) })
	}
}

func runScenario(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	p := player{cfg: configOf(t, nil)}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "    ") {
			continue
		}
		out.WriteString(line)
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			p.play(t, &out, line)
		}
	}
	if *expect.Update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if out.String() != string(data) {
		t.Errorf("the trace is now:\n%s", out.String())
	}
}

func configOf(t *testing.T, values map[string]string) config.Config {
	t.Helper()
	cfg, err := config.Parse(values)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// player plays a scenario's lines one after the other.
type player struct {
	cfg config.Config
	s   State
}

func (p *player) play(t *testing.T, out *strings.Builder, line string) {
	t.Helper()
	words := strings.Fields(line)
	args := make(map[string]string)
	for _, w := range words[1:] {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			t.Fatalf("%s: %s is not name=value", line, w)
		}
		args[name] = value
	}
	if words[0] == "config" {
		p.cfg = configOf(t, args)
		return
	}
	before := p.s.Phase
	var actions []Action
	p.s, actions = Step(p.cfg, throughJSON(t, p.s), parseEvent(t, words[0], args))
	for _, a := range actions {
		writeAction(out, a)
	}
	if p.s.Phase != before {
		fmt.Fprintf(out, "    => %v\n", p.s.Phase)
	}
}

// throughJSON: a state that is written down goes on as if it hadn't been.
func throughJSON(t *testing.T, s State) State {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again State
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, s) {
		t.Fatalf("the state %+v comes back as %+v", s, again)
	}
	return again
}

// writeAction writes an action's name and fields, and its reasons a line each.
func writeAction(out *strings.Builder, a Action) {
	v := reflect.ValueOf(a)
	fmt.Fprintf(out, "    %s", v.Type().Name())
	var reasons []string
	for i := range v.NumField() {
		name, field := v.Type().Field(i).Name, v.Field(i).Interface()
		if name == "Reasons" {
			reasons = field.([]string)
			continue
		}
		fmt.Fprintf(out, " %s=%v", strings.ToLower(name), field)
	}
	out.WriteByte('\n')
	for _, r := range reasons {
		fmt.Fprintf(out, "        because %s\n", r)
	}
}

func parseEvent(t *testing.T, name string, args map[string]string) Event {
	t.Helper()
	number := func(arg string) int64 {
		n, err := strconv.ParseInt(args[arg], 10, 64)
		if err != nil && args[arg] != "" {
			t.Fatalf("%s %s: %v", name, arg, err)
		}
		return n
	}
	duration := func(arg string) time.Duration {
		d, err := time.ParseDuration(args[arg])
		if err != nil && args[arg] != "" {
			t.Fatalf("%s %s: %v", name, arg, err)
		}
		return d
	}
	now := time.Unix(1700000000, 0).UTC().Add(duration("now"))
	seq := checkpoint.Seq(number("seq"))
	failed := func(kind failure.Kind) Event {
		return Failed{Failure: Failure{Kind: kind, Key: uint64(number("key")), Code: int32(number("code")),
			Signo: int32(number("signo")), RunTime: duration("t")}, Now: now}
	}
	switch name {
	case "taken":
		return CheckpointTaken{Seq: seq, RunTime: duration("t")}
	case "removed":
		return CheckpointRemoved{Seq: seq}
	case "reports":
		return failed(failure.Reported)
	case "signalled":
		return failed(failure.Signal)
	case "exits":
		return failed(failure.Exit)
	case "operated":
		return failed(failure.Operator)
	case "sandbox-dies":
		return SandboxDied{OutOfMemory: args["oom"] == "true", RunTime: duration("t"), Now: now}
	case "ready":
		return Ready{}
	case "released":
		return Released{}
	case "restore-fails":
		return RestoreFailed{Reason: args["reason"], Damaged: args["damaged"] == "true", Now: now}
	case "copy-damaged":
		return CopyDamaged{Seq: seq, Reason: args["reason"], RunTime: duration("t"), Now: now}
	case "resolved":
		return Resolved{}
	case "tick":
		return Tick{RunTime: duration("t")}
	case "exited":
		return Exited{Status: int(number("status"))}
	case "shutdown":
		return Shutdown{Status: int(number("status"))}
	case "operator-fails":
		return OperatorFail{}
	case "restarted":
		return Restarted{}
	case "restart-fails":
		return RestartFailed{Reason: args["reason"]}
	}
	t.Fatalf("unknown event %s", name)
	return nil
}
