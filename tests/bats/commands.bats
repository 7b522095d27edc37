# Commands and options that crun and runc have, beyond the life cycle itself: what engines and people read from them.
load helpers

oci() {
	fence --root "$STATE" "$@"
}

# A container that runs and waits. running [JQ-FILTER…]
running() {
	make_bundle "$@"
	bundle_args sh -c 'exec tail -f /dev/null'
	oci run --detach --bundle "$BUNDLE" "$ID" >/dev/null 2>&1
}

teardown() {
	oci delete --force "$ID" 2>/dev/null || true
	common_teardown
}

pid_of() {
	oci state "$ID" | jq .pid
}

# Of the container, on v2.
unified_cgroup() {
	sed -n 's|^0::|/sys/fs/cgroup|p' "/proc/$(pid_of)/cgroup"
}

stopped() {
	[ "$(oci state "$ID" | jq -r .status)" = stopped ]
}

has_processes() {
	[ "$(oci ps --format json "$ID" | jq length)" -eq "$1" ]
}

# receive SOCKET COMMAND: a server that takes one fd, and does what COMMAND (Python) says with `fd`.
receive() {
	start receiver /usr/bin/python3 -c 'import array, os, signal, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); c = s.accept()[0]
fds = array.array("i"); data, ancillary, *_ = c.recvmsg(100, socket.CMSG_SPACE(4))
fds.frombytes(ancillary[0][2]); fd = fds[0]
exec(sys.argv[2])' "$1" "$2"
	wait_until test -S "$1"
}

# bats test_tags=root
@test "spec: a template that runs, for this host and for a user" {
	runs oci spec
	mkdir rootfs && busybox_root rootfs
	[ "$(jq '[.linux.namespaces[].type] | index("cgroup") == null' config.json)" = "$([ -e /sys/fs/cgroup/cgroup.controllers ] && echo false || echo true)" ]
	jq -e '.mounts[] | select(.type == "devpts") | .options | index("gid=5")' config.json
	jq '.process.args = ["true"]' config.json >other.json
	runs oci run --config other.json "$ID"
	runs as_user "$FENCE" spec --rootless --file -
	[ "$(jq '.mounts[] | select(.type == "devpts") | .options | index("gid=5")' <<<"$output")" = null ]
}

@test "list is sorted, and as JSON on one line; a root that is not there is an error only if it was named" {
	running
	cp -a "$STATE/$ID" "$STATE/a-first"
	runs oci list --quiet
	is "a-first"$'\n'"$ID"
	runs oci list --format json
	[ "${#lines[@]}" -eq 1 ]
	[ "$(jq -r '.[1].id' <<<"$output")" = "$ID" ]
	rm -rf "$STATE/a-first"
	fails fence --root "$TEST_DIR/nowhere" list
	has nowhere
	absent "$TEST_DIR/nowhere"
}

# bats test_tags=root
@test "ps shows the container's processes as ps does, with options of its own" {
	running
	runs oci ps "$ID"
	[ "${#lines[@]}" -eq 2 ]
	[[ ${lines[0]} == UID*PID*PPID*CMD ]]
	has "tail -f /dev/null"
	runs oci ps "$ID" -o pid,args
	[ "${#lines[@]}" -eq 2 ]
	has "$(pid_of)"
	fails oci ps "$ID" -o args
	has 'no column PID'
	runs oci ps --format json "$ID"
	[ "$(jq -c . <<<"$output")" = "[$(pid_of)]" ]
}

# bats test_tags=root
@test "--pidfd-socket gets the process, of create, run and exec" {
	make_bundle
	bundle_args tail -f /dev/null
	receive "$PWD/created" 'signal.pidfd_send_signal(fd, signal.SIGTERM)'
	oci create --bundle "$BUNDLE" --pidfd-socket "$PWD/created" "$ID" >/dev/null 2>&1
	wait_until stopped # also pid 1, which waits for `start`, goes when it is asked
	oci delete "$ID"
	receive "$PWD/run" 'signal.pidfd_send_signal(fd, signal.SIGKILL)'
	oci run --detach --bundle "$BUNDLE" --pidfd-socket "$PWD/run" "$ID" >/dev/null 2>&1
	wait_until stopped
	oci delete "$ID"
	running
	receive "$PWD/exec" 'signal.pidfd_send_signal(fd, signal.SIGKILL)'
	exits 137 oci exec --pidfd-socket "$PWD/exec" "$ID" tail -f /dev/null
	fails oci exec --pidfd-socket "$PWD/nobody" "$ID" true
	has --pidfd-socket
}

# bats test_tags=root
@test "exec before start: root may, an ordinary user is told" {
	make_bundle
	bundle_args tail -f /dev/null
	oci create --bundle "$BUNDLE" "$ID" >/dev/null 2>&1
	runs oci exec "$ID" echo inside
	is inside
	runs oci delete --force "$ID"
	become user
	make_bundle
	bundle_args tail -f /dev/null
	oci create --bundle "$BUNDLE" "$ID" >/dev/null 2>&1
	exits 255 oci exec "$ID" echo inside
	has 'has to be started first'
	runs oci start "$ID"
	runs oci exec "$ID" echo inside
}

@test "what waits for start holds nothing of the caller's or the runtime's" {
	local target
	make_bundle
	bundle_args tail -f /dev/null
	in_host sh -c 'exec 7<"$1" && shift && exec "$@"' sh "$BUNDLE/config.json" "$FENCE" --root "$STATE" create --bundle "$BUNDLE" "$ID" \
		>/dev/null 2>&1
	for target in $(find "/proc/$(pid_of)/fd" -type l -printf '%f:%l\n'); do
		case $target in
		[012]:* | *:"$STATE/$ID"/exec.fifo) ;;
		*) echo "it holds $target" >&2 && return 1 ;;
		esac
	done
}

@test "create and run take another config than config.json" {
	make_bundle
	mv "$BUNDLE/config.json" "$BUNDLE/other.json"
	runs oci run --bundle "$BUNDLE" --config other.json "$ID"
	mv "$BUNDLE/other.json" "$TEST_DIR/other.json"
	runs oci run --no-subreaper --bundle "$BUNDLE" --config "$TEST_DIR/other.json" "$ID"
	mkfifo "$WORK/pipe"
	give "$WORK/pipe"
	cat "$TEST_DIR/other.json" >"$WORK/pipe" 3>&- &
	runs oci run --bundle "$BUNDLE" --config "$WORK/pipe" "$ID"
}

# bats test_tags=root
@test "killing a container that shares the host's pid namespace kills all of it" {
	make_bundle '.linux.namespaces |= map(select(.type != "pid"))'
	bundle_args sh -c 'setsid tail -f /dev/null & setsid tail -f /dev/null & exec tail -f /dev/null'
	oci run --detach --bundle "$BUNDLE" "$ID" >/dev/null 2>&1
	wait_until has_processes 3
	# Also when the first one has gone already.
	kill -KILL "$(pid_of)"
	wait_until stopped
	runs oci kill "$ID" KILL
	wait_until has_processes 0
	fails oci kill "$ID" KILL
	has 'container not running'
	runs oci kill --all "$ID" KILL
	runs oci delete "$ID"
	assert_nothing_left
}

@test "--log: a line of time, level and message for each; standard error keeps the errors" {
	make_bundle
	runs oci --debug --log "$PWD/log" run --bundle "$BUNDLE" "$ID"
	is ''
	grep -q '^time="20.*Z" level=debug msg="' log
	fails oci --log "$PWD/log" state no-such-container
	has 'container does not exist'
	grep -q 'level=error msg="container does not exist' log
}

# bats test_tags=root
@test "--log to the host's own logs" {
	private_log() {
		unshare --mount bash -ec 'mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal
			mkdir "$0/dev" && mount --rbind /dev "$0/dev" && mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3
			for socket in /run/systemd/journal/socket /dev/log; do
				socat -u "UNIX-RECV:$socket" "OPEN:$0/${socket##*/},creat,append" &
				until [ -S "$socket" ]; do sleep 0.05; done
			done
			trap "kill $(jobs -p | tr "\n" " ")" EXIT
			! "$1" --root "$0" --log journald:mine state no-such-one
			! "$1" --root "$0" --log syslog:mine state no-such-one
			for file in socket log; do until [ -s "$0/$file" ]; do sleep 0.05; done; done' "$TEST_DIR" "$FENCE"
	}
	runs private_log
	has 'container does not exist'
	runs cat "$TEST_DIR/log"
	[[ $output =~ ^'<11>mine['[0-9]+']: container does not exist' ]]
	runs cat "$TEST_DIR/socket"
	has $'PRIORITY=3\nSYSLOG_IDENTIFIER=fence\nID=mine\nMESSAGE\n'
	has 'container does not exist'
	[ -e /run/systemd/journal/socket ] || fails fence --log journald: state "$ID"
}

# bats test_tags=root
@test "update: sizes with a unit, burst, and no limit" {
	running '.linux.resources = { memory: { limit: 33554432 }, cpu: { quota: 50000, period: 100000 } }'
	runs oci update --memory 50M --cpu-burst 1000 "$ID"
	local limit
	limit=$(find /sys/fs/cgroup -path "*/$ID/memory.limit_in_bytes" -o -path "*/$ID/memory.max" | head -n 1)
	[ "$(cat "$limit")" = 52428800 ]
	runs oci update --memory 40MiB "$ID"
	[ "$(cat "$limit")" = 41943040 ]
	find /sys/fs/cgroup '(' -path "*/$ID/cpu.cfs_burst_us" -o -path "*/$ID/cpu.max.burst" ')' -exec cat {} + | grep -qx 1000
	fails oci update --memory 50X "$ID"
	has 'is not a size'
}

# bats test_tags=root
@test "exec --cgroup: below the container's own, never out of it" {
	local place below
	running
	fails oci exec --cgroup .. "$ID" true
	has 'bad sub cgroup path'
	fails oci exec --cgroup nowhere "$ID" true
	has 'No such file or directory'
	fails oci exec --cgroup no-such-controller:/ "$ID" true
	has 'unknown controller'
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		place=$(unified_cgroup) below=inner
	else
		place=/sys/fs/cgroup/pids/$ID below=pids:inner
	fi
	mkdir "$place/inner"
	runs oci exec --cgroup "$below" "$ID" sh -c 'cat /proc/self/cgroup'
	grep -q "/$ID/inner$" <<<"$output" || complain 'it should be in the inner cgroup'
	runs oci exec --cgroup / "$ID" cat /proc/self/cgroup
	hasnt inner
	runs oci exec "$ID" cat /proc/self/cgroup
	hasnt inner
}

# bats test_tags=root
@test "exec on v2 goes where the first process went, when the container's cgroup takes none" {
	[ -e /sys/fs/cgroup/cgroup.controllers ] || skip 'this host has no pure cgroup v2'
	local place
	running
	place=$(unified_cgroup)
	mkdir "$place/inner"
	pid_of >"$place/inner/cgroup.procs"
	echo +pids >"$place/cgroup.subtree_control"
	runs oci exec "$ID" cat /proc/self/cgroup
	has "/$ID/inner"
}

@test "a container is not bound to the CPUs that its engine is bound to; a command is" {
	[ "$(nproc)" -gt 1 ] || skip 'this host has one CPU'
	local all
	all=$(sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status)
	make_bundle
	bundle_args sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status
	runs in_host taskset -c 0 "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	is "$all"
	runs in_host taskset -c 0 "$FENCE" -- sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status
	is 0
	running
	runs in_host taskset -c 0 "$FENCE" --root "$STATE" exec "$ID" sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status
	is "$all"
}

@test "a terminal's output that goes to a pipe is as the program wrote it" {
	make_bundle '.process.terminal = true'
	bundle_args printf 'one\ntwo\n'
	runs oci run --bundle "$BUNDLE" "$ID"
	is $'one\ntwo'
	running
	runs oci exec --tty "$ID" printf 'one\ntwo\n'
	is $'one\ntwo'
}

@test "a terminal's output is all there, where it goes to a pipe that does not block, and is read late" {
	make_bundle '.process.terminal = true'
	bundle_args sh -c 'yes 0123456789 | head -n 30000'
	give "$BUNDLE"
	runs as_who /usr/bin/python3 - "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID" <<-'END'
		import os, select, subprocess, sys, time
		reader, writer = os.pipe()
		os.set_blocking(writer, False)
		program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=writer)
		while program.poll() is None and select.select([], [writer], [], 0)[1]:
		    time.sleep(0.01)
		os.close(writer)
		text = b""
		while block := os.read(reader, 65536):
		    text += block
		print(len(text), program.wait())
	END
	is '330000 0'
}

@test "what cannot be written to standard output is an error" {
	local words
	for words in features version help 'list --format json' 'spec --file -'; do
		fails as_who sh -c 'exec "$0" --root "$1" $2 >/dev/full' "$FENCE" "$STATE" "$words"
		has 'No space left on device'
	done
}

@test "the environment: a later setting replaces an earlier one, HOME is never empty" {
	make_bundle '.process.env = ["PATH=/bin", "ONE=1", "TWO=2", "ONE=3", "HOME="]'
	bundle_args env
	runs oci run --bundle "$BUNDLE" "$ID"
	is $'PATH=/bin\nONE=3\nTWO=2\nHOME=/root'
}

@test "an empty hostname or domainname is as none at all: the host's stay" {
	make_bundle '.hostname = "" | .domainname = ""'
	bundle_args sed -n p /proc/sys/kernel/hostname /proc/sys/kernel/domainname
	runs oci run --bundle "$BUNDLE" "$ID"
	is "$(sed -n p /proc/sys/kernel/hostname /proc/sys/kernel/domainname)"
}

@test "exec --cap makes ambient what the container may inherit" {
	running '.process.capabilities |= (.inheritable = ["CAP_KILL", "CAP_CHOWN"] | .bounding += ["CAP_CHOWN"])'
	runs oci exec --user 1000 --cap CAP_CHOWN --cap CAP_SYSLOG "$ID" grep ^CapAmb /proc/self/status
	has $'CapAmb:\t0000000000000001'
}

# bats test_tags=root
@test "events: what the container uses, once and at intervals, until it ends" {
	running '.linux.resources = { memory: { limit: 33554432 }, pids: { limit: 9 } }'
	runs oci events --stats "$ID"
	[ "${#lines[@]}" -eq 1 ]
	jq -e --arg id "$ID" '.type == "stats" and .id == $id and .data.pids == { current: 1, limit: 9 } and
		.data.memory.usage.limit == 33554432 and .data.memory.usage.usage > 0 and .data.memory.raw.pgfault > 0 and
		.data.cpu.usage.total > 0 and .data.cpuset.cpus[0] == 0' <<<"$output"
	start events "$FENCE" --root "$STATE" events --interval 100ms "$ID"
	wait_until sh -c '[ "$(wc -l <"$1")" -ge 2 ]' sh "$TEST_DIR/events.log"
	oci kill "$ID" KILL
	wait "$STARTED"
	[ "$(jq -r .type "$TEST_DIR/events.log" | uniq)" = stats ]
	fails oci events "$ID"
	has 'is not running'
	fails oci events --interval 0s "$ID"
	has 'greater than 0'
	fails oci events --interval soon "$ID"
	has 'is not a duration'
}

# bats test_tags=root
@test "events: a process that is killed for want of memory" {
	running '.linux.resources.memory = { limit: 16777216, swap: 16777216 }'
	start events "$FENCE" --root "$STATE" events --interval 1h "$ID"
	wait_until sh -c 'ls -l "/proc/$1/fd" | grep -q "eventfd\|memory.events"' sh "$STARTED"
	exits 137 oci exec "$ID" sh -c 'x=a; while :; do x=$x$x; done'
	wait_until grep -qx "{\"type\":\"oom\",\"id\":\"$ID\"}" "$TEST_DIR/events.log"
	[ "$(oci state "$ID" | jq -r .status)" = running ]
}

@test "kill and delete of all that match; --log-level" {
	local id
	running
	cp -a "$BUNDLE" "$TEST_DIR/other"
	oci run --detach --bundle "$TEST_DIR/other" "$ID-b" >/dev/null 2>&1
	oci run --detach --bundle "$TEST_DIR/other" "other-$ID" >/dev/null 2>&1
	runs oci kill --regex "^$ID" KILL
	for id in "$ID" "$ID-b"; do
		wait_until sh -c '"$@" | grep -q stopped' sh "$FENCE" --root "$STATE" state "$id"
	done
	runs oci delete --regex "^$ID"
	runs oci list --quiet
	is "other-$ID"
	fails oci delete --regex '('
	has 'not a regular expression'
	runs oci delete --force "other-$ID"
	edit_config '.process.capabilities.bounding += ["CAP_FLY"]'
	bundle_args true
	runs oci run --bundle "$BUNDLE" "$ID"
	has CAP_FLY
	runs oci --log-level error run --bundle "$BUNDLE" "$ID"
	is ''
	runs oci --log-level debug run --bundle "$BUNDLE" "$ID"
	has debug
	assert_nothing_left
}

@test "a word too many is an error, not ignored" {
	running
	for words in "state $ID x" "kill $ID KILL x" "delete --force $ID x" "pause $ID x" "list x" "update --pids-limit 9 $ID x"; do
		# shellcheck disable=SC2086 # words
		fails oci $words
		is 'fence: "x" is one word too many; see --help'
	done
	[ "$(oci state "$ID" | jq -r .status)" = running ]
}

@test "kill by the names of real-time signals" {
	local signal
	running
	for signal in RTMIN SIGRTMIN+3 rtmax-1 SIGRTMAX; do
		runs oci kill "$ID" "$signal" # pid 1 ignores what it does not handle
	done
	for signal in RTMIN-1 RTMIN+ RTMAX+1 RTMIN+99 RTMINUTE; do
		fails oci kill "$ID" "$signal"
		has 'unknown signal'
	done
}

@test "exec enters a working directory, and makes none" {
	running
	fails oci exec --cwd /no/such "$ID" pwd
	has 'process.cwd: /no/such: No such file or directory'
	absent "$BUNDLE/rootfs/no"
	runs oci exec --cwd /tmp "$ID" pwd
	is /tmp
}

@test "a damaged state: one line says so, list shows the others, delete --force removes it and says what it cannot" {
	local damage pid
	running
	pid=$(pid_of)
	for damage in 'truncate -s 50 state.json' ': >state.json' 'echo "{}" >state.json' 'rm state.json && mkdir state.json'; do
		cp -a "$STATE/$ID" "$STATE/$ID-damaged"
		(cd "$STATE/$ID-damaged" && eval "$damage")
		for command in state ps delete 'kill --all' 'update --pids-limit 9'; do
			# shellcheck disable=SC2086 # words
			fails oci $command "$ID-damaged"
			[[ ${#lines[@]} -eq 1 && $output == *"$STATE/$ID-damaged/state.json"* ]]
		done
		runs oci list --quiet
		[ "${lines[1]}" = "$ID" ]
		[[ ${lines[0]} == "fence: warning: $ID-damaged is not listed: "*state.json* ]]
		runs oci delete --force "$ID-damaged"
		has 'processes and cgroups'
		absent "$STATE/$ID-damaged"
	done
	cp -a "$STATE/$ID" "$STATE/$ID-damaged"
	sed -i 's/{/{"ofANewerFence": {"a": [1]},/' "$STATE/$ID-damaged/state.json"
	runs oci state "$ID-damaged"
	rm -r "$STATE/$ID-damaged"
	[ "$(pid_of)" = "$pid" ]
	rm "$STATE/$ID/config.json" && mkdir "$STATE/$ID/config.json"
	runs oci delete --force "$ID"
	assert_nothing_left
}

@test "--version and --help behind other global options" {
	runs oci --version
	has 'fence version'
	runs fence "--root=$STATE" --log-format json -v
	has 'fence version'
	runs oci list --version
	has 'fence version'
	runs oci --help
	has 'Commands ('
}

@test "--pid-file: what is wrong with it, and nothing is left" {
	make_bundle
	fails oci run --detach --bundle "$BUNDLE" --pid-file "$WORK/none/pid" "$ID"
	has "--pid-file: cannot create $WORK/none/pid"
	hasnt 'in the bundle'
	mkdir "$WORK/directory"
	give "$WORK"
	fails oci run --detach --bundle "$BUNDLE" --pid-file "$WORK/directory" "$ID"
	has 'Is a directory'
	[ "$(ls "$WORK")" = directory ]
	assert_nothing_left
}

@test "--help of each command: its name, what it does, and how it is used" {
	local command
	for command in create start run exec state list ps kill delete pause resume update events spec features; do
		runs fence "$command" --help
		[ "${lines[0]}" = NAME: ]
		[[ ${lines[1]} == "   fence $command - "* ]]
		has "USAGE:"$'\n'"   fence $command"
	done
}
