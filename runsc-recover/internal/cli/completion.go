package cli

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/container"
)

const bashCompletion = `_runsc_recover() {
  local cur words
  COMPREPLY=()
  cur="${COMP_WORDS[COMP_CWORD]}"
  words=("${COMP_WORDS[@]:0:$COMP_CWORD}")
  if [[ "$cur" == -* ]]; then
    words+=("$cur")
  fi
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
}
complete -o bashdefault -o default -F _runsc_recover runsc-recover
`

const zshCompletion = `#compdef runsc-recover
_runsc_recover() {
  local -a opts request
  request=("${words[@]:0:$((CURRENT-1))}")
  if [[ "${words[CURRENT]}" == -* ]]; then
    request+=("${words[CURRENT]}")
  fi
  opts=("${(@f)$("${request[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n "${opts[1]}" ]]; then
    compadd -- "${opts[@]%%:*}"
  else
    _files
  fi
}
compdef _runsc_recover runsc-recover
`

func (p *program) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion script of a shell",
		ArgsUsage: "bash|zsh",
		Description: `Prints a script that completes commands, options and container ids.

EXAMPLES:
   $ source <(runsc-recover completion bash)
   # runsc-recover completion bash >/etc/bash_completion.d/runsc-recover
   $ runsc-recover completion zsh >"${fpath[1]}/_runsc-recover"` + exitHelp,
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			script := map[string]string{"bash": bashCompletion, "zsh": zshCompletion}[c.Args().First()]
			if script == "" {
				return errdefs.Errorf(errdefs.CodeRequest, "unknown shell %q, there are bash and zsh", c.Args().First())
			}
			_, err := io.WriteString(p.Out, script)
			return err
		},
	}
}

// completeIDs offers options to a word that begins with a dash, and the ids of
// containers to any other.
func (p *program) completeIDs(c *cli.Context) {
	// Completion skips the code that reads the global options.
	if g, err := flags.ReadGlobals(c); err == nil {
		ids, err := (&container.Root{Dir: g.Root}).IDs()
		if err != nil {
			return
		}
		for _, id := range ids {
			fmt.Fprintln(p.Out, id)
		}
	}
	cli.DefaultCompleteWithFlags(c.Command)(c)
}
