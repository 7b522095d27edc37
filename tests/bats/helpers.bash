# Helpers for every .bats file: `load helpers` at its top.
#
# What a test finds when it starts:
#   $FENCE            the program under test: a copy that every user may run, fence-network beside it
#   $TEST_DIR         a directory of the test's own (in /var/tmp: the sandbox has a private /tmp), removed afterwards
#   $HOME             $TEST_DIR/home, never a real home; $WORK, the working directory, is beside it
#   $ID               a container id that no other test uses; part of every name that a test gives to something
#   $STATE            the state directory of runtime tests: `fence --root "$STATE" …`
#
#   become root|user  chooses who runs fence; `for who in $EVERYONE; do become "$who"; …; done` is both, in a fresh $WORK
#                     WHO=root|user contrib/check is the tests for that one alone: by it every test begins, and $EVERYONE is no
#                     other. It leaves out what is tagged for the other one (`# bats test_tags=root`, or file_tags): `root`
#                     needs root to run fence, `user` has nothing to say of root.
#   fence ARG…        runs it so, in the directory where the test stands; `as_user CMD…`, `as_who CMD…` run others;
#                     on_a_terminal fence ARG… with a terminal
#   runs CMD…         must exit 0        fails CMD…          must not       exits N CMD…   must exit N
#   capture CMD…      any status: $status, $output (both streams), $lines
#   has TEXT          in $output         hasnt TEXT          not in it      is TEXT        the whole of it
#   make_bundle [JQ…] an OCI bundle in $BUNDLE, a busybox root and a small config.json, edited by jq filters
#   bundle_args CMD…  sets its process.args
#   host_namespace    from now on everything runs in a network namespace that plays the host, with documentation addresses
#   private_etc       …where /etc may be written, by host_file PATH <content
#   start NAME CMD…   a server, on that host, ended after the test; its output is $TEST_DIR/NAME.log
#   wait_for_port ADDRESS PORT,  wait_until CMD…    with a bound, no fixed sleep
#   require_kernel WHAT CMD…   skips, aloud, if CMD fails: only for what a kernel may lack
#   assert_nothing_left        no process, mount, cgroup, state or relay of this test's remains
#
# The tests run as root (contrib/check sees to it). They address nothing outside network namespaces of their own.

ROOT=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
EVERYONE=${WHO:-root user}
export TIME_FACTOR=${TIME_FACTOR:-1}
TEST_USER=fence-test
# Of a login session, where the tests run for a user who is logged in (contrib/vm/guest).
LOGIN=
[ "${WHO:-}" != user ] || LOGIN=/run/user/$(id -u "$TEST_USER" 2>/dev/null)
[ -S "$LOGIN/bus" ] || LOGIN=
AS_USER=(setpriv --reuid "$TEST_USER" --regid "$TEST_USER" --init-groups --inh-caps=-all
	env USER="$TEST_USER" LOGNAME="$TEST_USER" SHELL=/bin/sh)
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin # no private interpreters: an ordinary user runs the same
export PATH

# --- once a file, once a test ---

setup_file() {
	common_setup_file
}

teardown_file() {
	common_teardown_file
}

setup() {
	common_setup
}

teardown() {
	common_teardown
}

common_setup_file() {
	local built=${FENCE:-$ROOT/build/fence} network
	network=${FENCE_NETWORK:-${built%/*}/fence-network}
	umask 022
	id "$TEST_USER" >/dev/null 2>&1 || useradd --no-create-home --home-dir /nonexistent --shell /bin/sh "$TEST_USER"
	FILE_DIR=$(mktemp -d /var/tmp/fence-file.XXXXXX)
	chmod 755 "$FILE_DIR"
	install -m 755 "$built" "$FILE_DIR/fence"
	[ ! -e "$network" ] || install -m 755 "$network" "$FILE_DIR/fence-network"
	install -m 755 "${built%/*}/fence-exec" "$FILE_DIR/fence-exec"
	TEST_UID=$(id -u "$TEST_USER") TEST_GID=$(id -g "$TEST_USER")
	export FILE_DIR FENCE=$FILE_DIR/fence TEST_UID TEST_GID
}

common_teardown_file() {
	rm -rf "$FILE_DIR"
}

common_setup() {
	umask 022
	TEST_DIR=$(mktemp -d /var/tmp/fence-test.XXXXXX)
	chmod 755 "$TEST_DIR"
	ID=fence-test-${TEST_DIR##*.}
	SERVERS=() HOST_PID='' AS=()
	unset XDG_CONFIG_HOME XDG_STATE_HOME XDG_DATA_HOME XDG_CACHE_HOME
	traces_now >"$TEST_DIR/traces.before"
	become "${WHO:-root}"
}

common_teardown() {
	[ -n "${TEST_DIR:-}" ] || return 0
	local pid left
	left=$(processes_left)
	for pid in "${SERVERS[@]}" $left; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	for pid in "${SERVERS[@]}"; do # not a plain `wait`: bats has children of its own
		wait "$pid" 2>/dev/null || true
	done
	[ -z "${SERVERS[*]}$left" ] || wait_until no_processes_left || true
	mounts_left | sort -r | while read -r pid; do umount -l "$pid"; done
	# An empty directory is all that a leftover mount point can be; nothing of another file system is removed.
	rm -rf --one-file-system "$TEST_DIR"
}

# --- who and where ---

# become root|user: who runs fence from now on, in a fresh home and working directory of theirs.
become() {
	local number=0
	who=$1
	while [ -e "$TEST_DIR/$who$number" ]; do number=$((number + 1)); done
	local place=$TEST_DIR/$who$number
	HOME=$place/home WORK=$place/work XDG_RUNTIME_DIR=$place/run STATE=$place/state BUNDLE=$place/bundle
	export HOME WORK XDG_RUNTIME_DIR
	mkdir -p "$HOME" "$WORK" "$XDG_RUNTIME_DIR" "$STATE"
	chmod 700 "$XDG_RUNTIME_DIR"
	AS=()
	if [ "$who" = user ]; then
		chown -R "$TEST_USER:" "$place"
		AS=("${AS_USER[@]}")
		[ -z "$LOGIN" ] || XDG_RUNTIME_DIR=$LOGIN
	fi
	cd "$WORK" || return 1
}

# What a test makes for the one who runs fence belongs to them: after writing files as root.
give() {
	[ "$who" = root ] || chown -hR "$TEST_USER:" "$@"
}

# in_host CMD…: as root, on the test's host: the machine itself until host_namespace() makes another.
in_host() {
	local command
	on_host "$@"
	"${command[@]}" 3>&-
}

# Puts the command line in the caller's `command`, so that a server's pid is its own. nsenter starts in "/".
on_host() {
	command=("$@")
	[ -z "$HOST_PID" ] ||
		command=(nsenter --target "$HOST_PID" --net --mount -- sh -c 'cd "$0" && exec "$@"' "$PWD" "$@")
}

as_who() {
	in_host "${AS[@]}" "$@"
}

as_user() {
	in_host "${AS_USER[@]}" "$@"
}

# Bounded: a test that hangs must fail, and bats' own time limit ends only bats' processes.
fence() {
	as_who timeout --foreground --kill-after=5 "$((${TIME_LIMIT:-90} * TIME_FACTOR))" "$FENCE" "$@"
}

# on_a_terminal fence|as_who|in_host ARG…: one of the functions above, with a terminal as its standard streams. Nobody types: a
# FIFO that this opens both ways never ends, as /dev/null would, which script(1) passes on as an end of file.
on_a_terminal() {
	local command
	case $1 in
	fence) on_host "${AS[@]}" "$FENCE" "${@:2}" ;;
	as_who) on_host "${AS[@]}" "${@:2}" ;;
	in_host) on_host "${@:2}" ;;
	esac
	[ -p "$TEST_DIR/nobody" ] || mkfifo "$TEST_DIR/nobody"
	SHELL=/bin/bash script --quiet --return --flush --command "${command[*]@Q}" /dev/null <>"$TEST_DIR/nobody"
}

# --- assertions: each says what it saw ---

complain() {
	printf '%s\n' "$1" "command: ${ran[*]} (as $who)" "status: $status" "output:" "$(head -n 60 <<<"$output")" >&2
	return 1
}

# As bats' own run(), but by a file instead of a pipe, which a container that was only created would hold open for ever; and
# without a warning for status 127, and without bats' descriptor 3.
capture() {
	ran=("$@")
	status=0
	: >"$TEST_DIR/output"
	"$@" >>"$TEST_DIR/output" 2>&1 3>&- || status=$?
	{ output=$(<"$TEST_DIR/output"); } 2>/dev/null # without null bytes, of which bash warns
	mapfile -t lines <<<"$output"
}

runs() {
	capture "$@"
	[ "$status" -eq 0 ] || complain 'this should have succeeded'
}

fails() {
	capture "$@"
	[ "$status" -ne 0 ] || complain 'this should have failed'
}

exits() {
	capture "${@:2}"
	[ "$status" -eq "$1" ] || complain "this should have exited with status $1"
}

has() {
	[[ $output == *"$1"* ]] || complain "the output lacks: $1"
}

hasnt() {
	[[ $output != *"$1"* ]] || complain "the output has: $1"
}

is() {
	[ "$output" = "$1" ] || complain "the output should be: $1"
}

absent() {
	local path
	for path in "$@"; do
		[ ! -e "$path" ] && [ ! -L "$path" ] || complain "this file should not be there: $path"
	done
}

# policy [JSON]: makes $POLICY, by default one under which the working directory may be written.
policy() {
	POLICY=$WORK/../policy.json
	[ $# -gt 0 ] || set -- '{ "filesystem": { "allowWrite": ["."] } }'
	printf '%s\n' "$1" >"$POLICY"
	give "$POLICY"
}

fenced() {
	fence --policy "$POLICY" -- "$@"
}

# wait_until CMD…: CMD succeeds within ten seconds (or $PATIENCE), by $TIME_FACTOR.
wait_until() {
	local deadline=$((SECONDS + ${PATIENCE:-10} * TIME_FACTOR))
	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		pause
	done
}

pause() {
	read -rt 0.02 _ <> <(:) || true
}

# --- OCI bundles ---

# make_bundle [JQ-FILTER…] in $BUNDLE. As `user`, config.json maps the user to root, as `fence spec --rootless` does.
make_bundle() {
	mkdir -p "$BUNDLE/rootfs"
	busybox_root "$BUNDLE/rootfs"
	base_config >"$BUNDLE/config.json"
	[ $# -eq 0 ] || edit_config ".$(printf ' | (%s)' "$@")"
	give "$BUNDLE"
}

# edit_config JQ-ARGUMENT…: changes $BUNDLE/config.json.
edit_config() {
	local text
	text=$(jq --compact-output "$@" <"$BUNDLE/config.json")
	printf '%s\n' "$text" >"$BUNDLE/config.json"
}

bundle_args() {
	local text args='' arg
	text=$(<"$BUNDLE/config.json")
	if [[ $text == *'"args":["true"]'* ]]; then # as make_bundle left it; jq takes as long to start as ten other programs
		for arg in "$@"; do
			arg=${arg//\\/\\\\} arg=${arg//\"/\\\"} arg=${arg//$'\n'/\\n} arg=${arg//$'\t'/\\t}
			args+=,\"$arg\"
		done
		printf '%s\n' "${text/'"args":["true"]'/'"args":['"${args:1}"']'}" >"$BUNDLE/config.json"
	else
		edit_config '.process.args = $ARGS.positional' --args -- "$@"
	fi
}

# Runs $BUNDLE in the foreground; more flags of `fence run` may be given.
run_bundle() {
	fence --root "$STATE" run --bundle "$BUNDLE" "$@" "$ID"
}

# Files of its own, but hundreds of symbolic links that all roots of a test file share.
busybox_root() {
	local template=$FILE_DIR/busybox
	if [ ! -d "$template" ]; then
		mkdir -p "$template".new/{bin,dev,etc,home,proc,root,run,sys,tmp,usr,var} "$template.links/bin"
		cp "$(command -v busybox)" "$template.new/bin/busybox"
		busybox --list | (cd "$template.links/bin" && perl -lne 'symlink "busybox", $_ unless $_ eq "busybox"')
		echo 'root:x:0:0:root:/root:/bin/sh' >"$template.new/etc/passwd"
		echo 'root:x:0:' >"$template.new/etc/group"
		chmod 1777 "$template.new/tmp"
		mv -T "$template.new" "$template"
	fi
	cp -a "$template/." "$1"
	cp -a --link "$template.links/." "$1"
}

base_config() {
	local namespace='' mappings=''
	[ "$who" = root ] || user_namespace
	cat <<-JSON
		{
		  "ociVersion": "1.0.2",
		  "process": {
		    "user": { "uid": 0, "gid": 0 },
		    "args":["true"],
		    "env": ["PATH=/bin"],
		    "cwd": "/",
		    "capabilities": {
		      "bounding": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
		      "effective": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
		      "permitted": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
		    },
		    "noNewPrivileges": true
		  },
		  "root": { "path": "rootfs" },
		  "hostname": "fence-test",
		  "mounts": [
		    { "destination": "/proc", "type": "proc", "source": "proc" },
		    { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
		      "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
		    { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
		      "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
		    { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
		      "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
		    { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
		      "options": ["nosuid", "noexec", "nodev"] },
		    { "destination": "/sys", "type": "sysfs", "source": "sysfs",
		      "options": ["nosuid", "noexec", "nodev", "ro"] }
		  ],
		  "linux": {
		    "namespaces": [
		      { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }$namespace
		    ],$mappings
		    "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
		    "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
		  }
		}
	JSON
}

# For base_config: maps one id; where the tests are for a user alone, also those that newuidmap grants, as engines map them.
user_namespace() {
	local kind id first
	namespace=', { "type": "user" }'
	for kind in uid gid; do
		first= id=TEST_${kind^^}
		[ "${WHO:-}" != user ] || first=$(awk -F: -v user="$TEST_USER" '$1 == user { print $2; exit }' "/etc/sub$kind")
		mappings+=" \"${kind}Mappings\": [{ \"containerID\": 0, \"hostID\": ${!id}, \"size\": 1 }"
		mappings+="${first:+, { \"containerID\": 1, \"hostID\": $first, \"size\": 65535 \}}],"
	done
}

# --- the host of network tests ---

# A network namespace that plays the host, and a mount namespace where /dev/net/tun is open to every user, as
# distributions have it. Both are pinned by one process, which keeps their fds and ends with the test.
host_namespace() {
	local ready=$TEST_DIR/host.ready
	mkfifo "$ready"
	mknod -m 666 "$TEST_DIR/tun" c 10 200
	unshare --net --mount --propagation private sh -ec '
		ip link set lo up
		for address in 203.0.113.7/32 203.0.113.8/32 198.51.100.7/32 2001:db8::7/128; do
			ip address add "$address" dev lo
		done
		[ ! -e /dev/net/tun ] || mount --bind "$1/tun" /dev/net/tun
		echo ready >"$2"
		exec tail -f /dev/null' sh "$TEST_DIR" "$ready" 3>&- &
	SERVERS+=("$!")
	read -rt "$((10 * TIME_FACTOR))" _ <>"$ready"
	HOST_PID=${SERVERS[-1]}
}

# start NAME CMD…: as root, on the host. $STARTED is its pid.
start() {
	local name=$1 command
	shift
	on_host "$@"
	"${command[@]}" >"$TEST_DIR/$name.log" 2>&1 </dev/null 3>&- &
	STARTED=$!
	SERVERS+=("$STARTED")
}

# stop PID: ends a server that start() started, and waits for it.
stop() {
	kill "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

wait_for_port() {
	wait_until in_host bash -c '2>/dev/null : >"/dev/tcp/$1/$2"' bash "$1" "$2" ||
		{ echo "nothing listens on $1 port $2: $(tail -n 5 "$TEST_DIR"/*.log)" >&2 && return 1; }
}

# From now on the host has an /etc of its own, where a test may write: an overlay over the real one.
private_etc() {
	mkdir -p "$TEST_DIR/etc"
	in_host sh -ec '
		mount -t tmpfs tmpfs "$1"
		mkdir "$1/upper" "$1/work"
		mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" /etc' sh "$TEST_DIR/etc"
}

# host_file PATH: its content comes from standard input.
host_file() {
	in_host sh -c 'mkdir -p "${1%/*}" && cat >"$1"' sh "$1"
}

# start_proxy PORT [USER PASSWORD]: microsocks on the host's 127.0.0.1, which logs to $TEST_DIR/proxy.log.
start_proxy() {
	start proxy microsocks -i 127.0.0.1 -p "$1" ${2:+-u "$2" -P "$3"}
	PROXY_PID=$STARTED
	wait_for_port 127.0.0.1 "$1"
}

# start_web ADDRESS PORT: an HTTP server on the host; "/" is one line, "the page".
start_web() {
	mkdir -p "$TEST_DIR/web"
	echo 'the page' >"$TEST_DIR/web/index.html"
	start "web-$1-$2" /usr/bin/python3 -u -m http.server --bind "$1" --directory "$TEST_DIR/web" "$2"
	wait_for_port "$1" "$2"
}

# start_dns PORT [NAME ADDRESS]…: a resolver on the host's 127.0.0.1 that knows these names and no others.
start_dns() {
	local port=$1 records=()
	shift
	while [ $# -gt 0 ]; do
		records+=("--host-record=$1,$2")
		shift 2
	done
	start dns dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --port="$port" --user=root \
		--listen-address=127.0.0.1 --bind-interfaces --log-queries --log-facility=- --pid-file= "${records[@]}"
	wait_for_port 127.0.0.1 "$port"
}

# --- what a kernel may lack ---

require_kernel() {
	local what=$1
	shift
	"$@" >/dev/null 2>&1 || skip "this kernel or host has no $what"
}

# since VERSION: the kernel is that one or newer.
since() {
	[ "$(printf '%s\n' "$1" "$(uname -r)" | sort -V | head -n 1)" = "$1" ]
}

# --- nothing left ---

# Processes of this test's: fence or its relay, anything that lives in a mount namespace made of the test's directories,
# or has the test's home in its environment. Servers that the test started itself are not meant.
processes_left() {
	local pid
	for pid in $(
		perl -e '
			my ($test, $programs, $ours) = (@ARGV, readlink "/proc/self/ns/mnt");
			sub holds { local $/; open my $file, "<", $_[0] or return; index(<$file> // "", $_[1]) >= 0 }
			opendir my $processes, "/proc";
			for (grep /^\d/, readdir $processes) {
				my $program = readlink "/proc/$_/exe" // next;
				print "$_\n" if index($program, $programs) == 0 || holds("/proc/$_/environ", "HOME=$test") ||
					readlink "/proc/$_/ns/mnt" ne $ours && holds("/proc/$_/mountinfo", $test);
			}' "$TEST_DIR" "$FILE_DIR/"
	); do
		is_server "$pid" || echo "$pid"
	done
}

# A server that the test started, its child, or a process that has ended by now.
is_server() {
	local pid=$1 server
	while [ "${pid:-0}" -gt 1 ]; do
		for server in "${SERVERS[@]}"; do
			[ "$pid" != "$server" ] || return 0
		done
		pid=$(sed -n 's/^PPid:\t//p' "/proc/$pid/status" 2>/dev/null) || return 0
	done
	[ -z "$pid" ]
}

no_processes_left() {
	[ -z "$(processes_left)" ]
}

mounts_left() {
	awk -v dir="$TEST_DIR/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo
}

# What fence may leave outside the test's own directories: its cgroups, and the state of the front door.
traces_now() {
	find /sys/fs/cgroup /run/fence -mindepth 1 -type d -name '*fence*' 2>/dev/null || true
}

# Other tests' containers may come and go meanwhile on a shared machine; the caller waits.
traces_left() {
	local now
	now=$(traces_now)
	[ "$now" != "$(<"$TEST_DIR/traces.before")" ] || return 0
	grep -vxFf "$TEST_DIR/traces.before" <<<"$now" | grep -v "/fence-test-[^/]*$" || true
	grep -F "$ID" <<<"$now" || true
}

no_traces_left() {
	[ -z "$(traces_left)" ]
}

# Containers must have ended; servers of the test may still run.
assert_nothing_left() {
	local pid left runtime=$XDG_RUNTIME_DIR
	[ "$runtime" != "$LOGIN" ] || runtime=$LOGIN/fence
	wait_until no_processes_left || {
		for pid in $(processes_left); do
			echo "left: process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline") ($(readlink "/proc/$pid/exe"))" >&2
		done
		return 1
	}
	wait_until no_traces_left || { echo "left: $(traces_left)" >&2 && return 1; }
	left=$(
		mounts_left
		# Compiled seccomp filters are kept on purpose, by their content.
		find "$STATE" "$runtime" -mindepth 1 ! -path "$XDG_RUNTIME_DIR/fence" ! -path '*/.seccomp*'
	)
	[ -z "$left" ] || { echo "left: $left" >&2 && return 1; }
}
