package cli

import (
	"errors"
	"reflect"
	"testing"

	"github.com/urfave/cli/v2"
)

func parseGlobals(args []string) (g globals, err error) {
	app := &cli.App{Flags: globalFlags(), Action: func(c *cli.Context) error {
		g, err = globalsOf(c)
		return nil
	}}
	return g, errors.Join(app.Run(append([]string{"rr"}, args...)), err)
}

func TestGlobalsSurviveBeingPassedOn(t *testing.T) {
	want := globals{root: "/r", log: "/l", logFormat: "json", debug: true, systemdCgroup: true, rootless: "false", network: "none", recover: map[string]string{"interval": "2s", "on": "exit"}}
	app := &cli.App{Flags: globalFlags(), Commands: []*cli.Command{{Name: "list"}}}
	i, cmd := findCommand(app, append(append([]string{"rr"}, want.args()...), "list"))
	if cmd == nil || cmd.Name != "list" || i != len(want.args())+1 {
		t.Fatalf("command at %d: %v", i, cmd)
	}
	got, err := parseGlobals(want.args())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
