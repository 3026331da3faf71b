#!/usr/bin/env bash
# Shows the main job in a terminal: a program that knows nothing of
# runsc-recover dies and goes on with its data; another program is told why it
# failed and does better. Needs root. Exits with 1 as soon as a step doesn't
# happen as announced. Containers and files are removed in any case.
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -c 0

binary=$(realpath -m "${RUNSC_RECOVER:-bin/runsc-recover}")
examples=$(realpath -m "${EXAMPLES:-build/examples}")
containers=()

fail() {
	printf '\nThe demo failed: %s\n' "$*" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || fail "it needs root, as sandboxes of this kind do: try sudo make demo"
for needed in "$binary" "$examples"; do
	[ -e "$needed" ] || fail "$needed is missing: run make demo"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/rr-demo.XXXXXX")
clean_up() {
	# A second Ctrl-C must not leave a container behind.
	trap '' INT TERM HUP
	local id
	for id in "${containers[@]}"; do
		rr delete --force "$id" >/dev/null 2>&1 || true
	done
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

rr() { "$binary" --root "$work/root" --log "$work/log" "$@"; }

step_number=0
step() {
	step_number=$((step_number + 1))
	printf '\n%d. %s\n' "$step_number" "$*"
}
note() { printf '   %s\n' "$*"; }
indent() { sed 's/^/     /'; }
# show prints a command of ours as a user would type it, and its output.
show() {
	printf '   $ runsc-recover %s\n' "$*"
	rr "$@" 2>&1 | indent
}

# until_true EVENT COMMAND... waits for a command to succeed, 20 seconds at most.
until_true() {
	local event=$1 deadline=$((SECONDS + 20))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] || fail "no $event after 20 seconds; the log says: $(tail -n 3 "$work/log" 2>/dev/null)"
		sleep 0.1
	done
}

# bundle NAME CWD ARG... makes a bundle that sees the host's programs, and
# the examples, read-only.
bundle() {
	local dir=$work/$1 cwd=$2 args d
	shift 2
	mkdir -p "$dir/rootfs"/{proc,dev,tmp,usr,etc,example}
	for d in bin sbin lib lib64; do ln -s "usr/$d" "$dir/rootfs/$d"; done
	args=$(printf ',"%s"' "$@")
	cat >"$dir/config.json" <<-END
		{
		  "ociVersion": "1.2.0",
		  "root": {"path": "rootfs"},
		  "process": {
		    "args": [${args#,}], "cwd": "$cwd", "user": {"uid": 0, "gid": 0},
		    "env": ["PATH=/usr/bin:/bin", "HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1"]
		  },
		  "annotations": {"dev.runsc-recover.interval": "500ms", "dev.runsc-recover.grace": "500ms"},
		  "mounts": [
		    {"destination": "/proc", "type": "proc", "source": "proc"},
		    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
		    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
		    {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
		    {"destination": "/etc", "type": "bind", "source": "/etc", "options": ["rbind", "ro"]},
		    {"destination": "/example", "type": "bind", "source": "$examples", "options": ["rbind", "ro"]}
		  ],
		  "linux": {"namespaces": [
		    {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}
		  ]}
		}
	END
}

field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",]*\).*/\1/p" | head -n 1; }
redis() { rr exec database redis-cli "$@" </dev/null; }
redis_answers() { [ "$(redis PING 2>/dev/null)" = PONG ]; }
newest_checkpoint() { rr checkpoints list --format json "$1" | sed -n 's/.*"seq": *\([0-9]*\).*/\1/p' | sort -n | tail -n 1; }
# facts prints the data and state that must be the same after a crash. A command
# holds one substitution at most: bash 5.2 trips over a trap that comes between
# two.
facts() {
	local keys digest greeting state status pid
	keys=$(redis DBSIZE)
	digest=$(redis DEBUG DIGEST)
	greeting=$(redis GET greeting)
	state=$(rr state database)
	status=$(field status <<<"$state")
	pid=$(field pid <<<"$state")
	printf '%s keys, digest %s, "%s"; container %s, pid %s\n' "$keys" "$digest" "$greeting" "$status" "$pid"
}
checkpoint_after() { [ "$(newest_checkpoint "$1")" -gt "$2" ]; }
recovered() { rr episodes list --format json "$1" | grep '"outcome": *"recovered"' >/dev/null; }

a_program_that_knows_nothing() {
	local checkpoint before after died=0

	step "A database that knows nothing of runsc-recover, in a container."
	bundle database /tmp redis-server --save "" --enable-debug-command yes
	containers+=(database)
	printf '   $ runsc-recover run --detach --bundle … database\n'
	rr run --detach --bundle "$work/database" database </dev/null >"$work/database.out" 2>&1 || fail "$(cat "$work/database.out" "$work/log" 2>/dev/null | tail -n 3)"
	until_true "answer from redis-server" redis_answers

	step "It is filled with data. Checkpoints are taken as it runs."
	redis DEBUG POPULATE 50000 key 100 >/dev/null
	redis SET greeting "written before the crash" >/dev/null
	# The next one may have begun before the data was complete.
	checkpoint=$(($(newest_checkpoint database) + 1))
	until_true "checkpoint" checkpoint_after database "$checkpoint"
	before=$(facts)
	note "$before"

	step "It is told to crash: DEBUG SEGFAULT. Anywhere else this is the end of it."
	redis DEBUG SEGFAULT >/dev/null 2>&1 || died=$?
	[ "$died" != 0 ] || fail "redis-server survived DEBUG SEGFAULT"
	until_true "answer from redis-server" redis_answers

	step "The next client is answered, by a copy from the newest checkpoint."
	after=$(facts)
	note "$after"
	[ "$before" = "$after" ] || fail "before the crash it was: $before"

	step "What happened, from the records."
	until_true "recovered episode" recovered database
	show episodes show database
	rr delete --force database
}

a_program_that_is_told() {
	local name=$1 status=0
	shift
	step "Now the example $name, and at first nothing is done about signals: it dies each time."
	bundle "$name" "/example/$name" "$@"
	containers+=("$name")
	printf '   $ runsc-recover --recover-on report run --bundle … %s\n' "$name"
	rr --recover-on report run --bundle "$work/$name" "$name" </dev/null >"$work/$name.out" 2>&1 || status=$?
	indent <"$work/$name.out"
	note "exit status $status"
	[ "$status" -gt 128 ] || fail "$name ended with $status, and not of a signal"

	step "With recovery, the copy is told what lies ahead before it runs, and its handler acts."
	printf '   $ runsc-recover run --keep --bundle … %s\n' "$name"
	status=0
	rr run --keep --bundle "$work/$name" "$name" </dev/null >"$work/$name.out" 2>&1 || status=$?
	indent <"$work/$name.out"
	note "exit status $status"
	[ "$status" = 0 ] || fail "$name ended with $status"
	grep -q ' ahead' "$work/$name.out" || fail "$name was not told"
	grep -q '^RESULT' "$work/$name.out" || fail "$name has no result"

	step "What happened, from the records."
	recovered "$name" || fail "no episode of $name ended as recovered"
	show episodes show "$name"
	rr delete --force "$name"
}

if command -v redis-server >/dev/null && command -v redis-cli >/dev/null; then
	a_program_that_knows_nothing
else
	note "redis-server is not installed: its part is left out."
fi
if command -v python3 >/dev/null; then
	a_program_that_is_told cancel-transaction python3 cancel_transaction.py /tmp/ledger.db
else
	a_program_that_is_told flush-cache ./flush-cache
fi
printf '\nAll of it happened in %d seconds.\n' "$SECONDS"
