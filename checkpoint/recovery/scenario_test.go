package recovery

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/sentry/failure"
	"runsc-recover/test/expect"
)

// In scenario files t is run time, now a wall time since the beginning; "config"
// sets options by their names in annotations.
func TestScenarios(t *testing.T) {
	expect.Scenarios(t, "testdata/*.txt", 5, func(t *testing.T) func(string, expect.Args) ([]any, fmt.Stringer) {
		cfg, s := configOf(t, nil), State{}
		return func(name string, args expect.Args) (out []any, _ fmt.Stringer) {
			switch name {
			case "config":
				cfg = configOf(t, args.Values())
				fallthrough
			case "":
				return nil, s.Phase
			}
			var actions []Action
			s, actions = Step(cfg, throughJSON(t, s), parseEvent(t, name, args))
			for _, a := range actions {
				out = append(out, a)
			}
			return out, s.Phase
		}
	})
}

func configOf(t *testing.T, values map[string]string) config.Config {
	t.Helper()
	cfg, err := config.Parse(values)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
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

func parseEvent(t *testing.T, name string, args expect.Args) Event {
	t.Helper()
	now := time.Unix(1700000000, 0).UTC().Add(args.Duration("now"))
	seq := checkpoint.Seq(args.Int("seq"))
	failed := func(kind failure.Kind) Event {
		return Failed{Failure: Failure{Kind: kind, Key: uint64(args.Int("key")), Code: int32(args.Int("code")),
			Signo: int32(args.Int("signo")), RunTime: args.Duration("t")}, Now: now}
	}
	switch name {
	case "taken":
		return CheckpointTaken{Seq: seq, RunTime: args.Duration("t")}
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
		return SandboxDied{OutOfMemory: args.Bool("oom"), RunTime: args.Duration("t"), Now: now}
	case "ready":
		return Ready{}
	case "released":
		return Released{}
	case "restore-fails":
		return RestoreFailed{Reason: args.Text("reason"), Damaged: args.Bool("damaged"), Now: now}
	case "copy-damaged":
		return CopyDamaged{Seq: seq, Reason: args.Text("reason"), RunTime: args.Duration("t"), Now: now}
	case "resolved":
		return Resolved{}
	case "tick":
		return Tick{RunTime: args.Duration("t")}
	case "exited":
		return Exited{Status: int(args.Int("status"))}
	case "shutdown":
		return Shutdown{Status: int(args.Int("status"))}
	case "operator-fails":
		return OperatorFail{}
	case "restarted":
		return Restarted{}
	case "restart-fails":
		return RestartFailed{Reason: args.Text("reason")}
	}
	t.Fatalf("unknown event %s", name)
	return nil
}
