package flags

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func someApp() *cli.App {
	return &cli.App{
		Flags: []cli.Flag{&cli.StringFlag{Name: "root"}, &cli.BoolFlag{Name: "debug"}},
		Commands: []*cli.Command{
			{Name: "kill", Flags: []cli.Flag{&cli.BoolFlag{Name: "all", Aliases: []string{"a"}}, &cli.StringFlag{Name: "format", Aliases: []string{"f"}}}},
			{Name: "exec", Flags: []cli.Flag{&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}}, &cli.BoolFlag{Name: "tty", Aliases: []string{"t"}}}},
			{Name: "checkpoints", Subcommands: []*cli.Command{{Name: "list", Flags: []cli.Flag{&cli.StringFlag{Name: "format", Aliases: []string{"f"}}}}}},
		},
	}
}

func TestPermuteOddLines(t *testing.T) {
	app := someApp()
	for _, c := range []struct{ in, want string }{
		{"rr --", "rr --"},
		{"rr --root", "rr --root"},
		{"rr --root kill", "rr --root kill"},
		{"rr --root /x", "rr --root /x"},
		{"rr kill", "rr kill"},
		{"rr kill -", "rr kill -"},
		{"rr kill - -a", "rr kill --all -"},
		{"rr kill web -f", "rr kill --format web"},
		{"rr kill web -f -a", "rr kill --format -a web"},
		{"rr kill web -- -a", "rr kill web -- -a"},
		{"rr kill web -a=false 9", "rr kill --all=false web 9"},
		{"rr kill web -=x", "rr kill -=x web"},
		{"rr exec -- web -t", "rr exec -- web -t"},
		{"rr exec -e -t web", "rr exec --env -t web"},
		{"rr checkpoints", "rr checkpoints"},
		{"rr checkpoints web list -f json", "rr checkpoints web list -f json"},
	} {
		if got := strings.Join(Permute(app, strings.Fields(c.in)), " "); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

// FuzzPermute asks that nothing of a command line is lost, and that it is in
// order then.
func FuzzPermute(f *testing.F) {
	for _, line := range []string{"kill web -a", "exec -t web ls -t", "--root x kill web -f json", "checkpoints list web -f x", "kill -- -a", "kill -f"} {
		f.Add(line)
	}
	app := someApp()
	f.Fuzz(func(t *testing.T, line string) {
		in := append([]string{"rr"}, strings.Split(line, " ")...)
		got := Permute(app, slices.Clone(in))
		if len(got) != len(in) {
			t.Fatalf("%q became %q", in, got)
		}
		if again := Permute(app, slices.Clone(got)); !slices.Equal(again, got) {
			t.Errorf("%q became %q, then %q", in, got, again)
		}
		plain := func(args []string) []string {
			rest := slices.DeleteFunc(slices.Clone(args), isOption)
			slices.Sort(rest)
			return rest
		}
		if a, b := plain(in), plain(got); !slices.Equal(a, b) {
			t.Errorf("arguments %q became %q", a, b)
		}
	})
}
