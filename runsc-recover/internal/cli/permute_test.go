package cli

import (
	"strings"
	"testing"

	"runsc-recover/runsc-recover/internal/cli/flags"
)

func TestPermute(t *testing.T) {
	app := newApp(Options{}, &reporter{})
	for _, c := range []struct{ in, want string }{
		{"rr", "rr"},
		{"rr --root /x list", "rr --root /x list"},
		{"rr kill web KILL", "rr kill web KILL"},
		{"rr kill web KILL --all", "rr kill --all web KILL"},
		{"rr kill web -a 9", "rr kill --all web 9"},
		{"rr update web --memory 5m --pids-limit=3", "rr update --memory 5m --pids-limit=3 web"},
		{"rr --log f --debug update web -r -", "rr --log f --debug update --resources - web"},
		{"rr --root=/x delete web --force", "rr --root=/x delete --force web"},
		{"rr exec web ls -l", "rr exec web ls -l"},
		{"rr exec -t -e A=1 --env=B=2 web ls -t", "rr exec --tty --env A=1 --env=B=2 web ls -t"},
		{"rr exec -e=A=-b web -- ls", "rr exec --env=A=-b web -- ls"},
		{"rr ps web -ef", "rr ps web -ef"},
		{"rr run web -- --detach", "rr run web -- --detach"},
		{"rr -- kill web -a", "rr -- kill web -a"},
		{"rr restore -no-subreaper --bundle /b web", "rr restore --no-subreaper --bundle /b web"},
		{"rr checkpoints list web --format json", "rr checkpoints list --format json web"},
		{"rr checkpoints bogus -x", "rr checkpoints bogus -x"},
		{"rr bogus web --all", "rr bogus web --all"},
		{"rr state web --unknown v", "rr state --unknown web v"},
		{"rr kill - --generate-bash-completion", "rr kill - --generate-bash-completion"},
		{"rr wait web -f", "rr wait --format web"},
	} {
		if got := strings.Join(flags.Permute(app, strings.Fields(c.in)), " "); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}
