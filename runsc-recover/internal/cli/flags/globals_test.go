package flags

import (
	"errors"
	"reflect"
	"testing"

	"github.com/urfave/cli/v2"
)

func parseGlobals(args []string) (g Globals, err error) {
	app := &cli.App{Flags: GlobalFlags(), Action: func(c *cli.Context) error {
		g, err = ReadGlobals(c)
		return nil
	}}
	return g, errors.Join(app.Run(append([]string{"rr"}, args...)), err)
}

func TestGlobalsSurviveBeingPassedOn(t *testing.T) {
	want := Globals{Root: "/r", Log: "/l", LogFormat: "json", Debug: true, SystemdCgroup: true, rootless: "false", Network: "none", Recover: map[string]string{"interval": "2s", "on": "exit"}}
	app := &cli.App{Flags: GlobalFlags(), Commands: []*cli.Command{{Name: "list"}}}
	i, cmd := findCommand(app, append(append([]string{"rr"}, want.Args()...), "list"))
	if cmd == nil || cmd.Name != "list" || i != len(want.Args())+1 {
		t.Fatalf("command at %d: %v", i, cmd)
	}
	got, err := parseGlobals(want.Args())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
