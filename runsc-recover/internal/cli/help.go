package cli

const appDescription = `An OCI runtime on gVisor. While a container runs, checkpoints of it are taken.
When its program reports an error, or is about to die of a signal, the container
is stopped, a copy is restored from a checkpoint before the failure, and the copy
gets a signal that tells it what went wrong before it runs. The container goes on
under the same id, pid and files.

Commands, options and output are those of runc; checkpoints, episodes, fail and
wait come on top. Options stand before the arguments.

How a container is protected is set by annotations dev.runsc-recover.<name> in its
config.json; the options --recover-<name> are the defaults.

EXAMPLES:
   # runsc-recover run --bundle /bundles/web web
   # runsc-recover episodes list web
   # runsc-recover --recover-interval 250ms --recover-on report,signal,exit \
        run --detach --bundle /bundles/web web

EXIT STATUS:
   0     done
   1     the command failed; the reason is on standard error and in the log
   255   exec failed before its process ran
   run, restore, exec and wait: that of the container or process, 128+n when
   signal n ended it

ERRORS:
   A refusal has a stable code, code=… in the log: container-not-found,
   container-not-running, config-invalid and so on.

FILES:
   /run/runsc-recover/<container-id>   state, control socket, records and log of
                                       a container; mode 0700`

// exitHelp ends the description of a command with no status of its own.
const exitHelp = `

EXIT STATUS:
   0 when done, 1 otherwise.`
