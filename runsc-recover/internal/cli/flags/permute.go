package flags

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// completionFlag ends a command line that a shell wants completed.
const completionFlag = "--generate-bash-completion"

// Permute moves a command's options before its arguments, since callers of
// runc may write them after the id, and spells short options out, since the
// library refuses both forms in one command line. Where arguments are a
// command line of their own (exec, ps) the first argument ends the options, as
// in runc.
func Permute(app *cli.App, args []string) []string {
	i, cmd := findCommand(app, args)
	if cmd == nil || args[len(args)-1] == completionFlag {
		return args
	}
	for len(cmd.Subcommands) > 0 && i+1 < len(args) {
		sub := cmd.Command(args[i+1])
		if sub == nil {
			return args
		}
		i, cmd = i+1, sub
	}
	opts, rest := splitOptions(cmd.Flags, args[i+1:], takesCommandLine(cmd.Name))
	return slices.Concat(args[:i+1], opts, rest)
}

func takesCommandLine(name string) bool { return name == "exec" || name == "ps" }

// findCommand returns the command and where in args its name stands.
func findCommand(app *cli.App, args []string) (int, *cli.Command) {
	for i := 1; i < len(args); i++ {
		if args[i] == "--" {
			return 0, nil
		}
		if !isOption(args[i]) {
			return i, app.Command(args[i])
		}
		if takesValue(app.Flags, args[i]) {
			i++
		}
	}
	return 0, nil
}

// splitOptions parts options, with their values, from arguments. With
// firstEnds all that follows the first argument is left as it is.
func splitOptions(flags []cli.Flag, args []string, firstEnds bool) (opts, rest []string) {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--", firstEnds && !isOption(args[i]):
			return opts, append(rest, args[i:]...)
		case !isOption(args[i]):
			rest = append(rest, args[i])
		case takesValue(flags, args[i]) && i+1 < len(args):
			opts = append(opts, spellOut(flags, args[i]), args[i+1])
			i++
		default:
			opts = append(opts, spellOut(flags, args[i]))
		}
	}
	return opts, rest
}

// spellOut writes an option with its first name.
func spellOut(flags []cli.Flag, arg string) string {
	name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	f := findFlag(flags, name)
	if f == nil {
		return arg
	}
	if hasValue {
		value = "=" + value
	}
	return "--" + f.Names()[0] + value
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func isOption(arg string) bool { return len(arg) > 1 && arg[0] == '-' }

// takesValue reports whether the option's value is the next argument.
func takesValue(flags []cli.Flag, arg string) bool {
	f := findFlag(flags, strings.TrimLeft(arg, "-"))
	_, isBool := f.(*cli.BoolFlag)
	return f != nil && !isBool
}
