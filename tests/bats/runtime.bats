# The life of a container on the OCI command line: create, start, exec, kill, delete and the rest, as an engine or a person
# uses them.
load helpers

oci() {
	fence --root "$STATE" "$@"
}

status_of() {
	oci state "$1" | jq -r .status
}

is_stopped() {
	[ "$(status_of "$ID")" = stopped ]
}

# For what leaves a process behind that keeps its output: `runs` would wait for that.
starts() {
	ran=("$@") status=0
	"$@" >"$TEST_DIR/starts.log" 2>&1 </dev/null 3>&- || status=$?
	output=$(cat "$TEST_DIR/starts.log")
	[ "$status" -eq 0 ] || complain 'this should have succeeded'
}

# A container whose command waits until it is killed.
waiting_bundle() {
	make_bundle "$@"
	bundle_args sh -c 'echo up; exec tail -f /dev/null'
}

@test "create, start, state, kill, delete" {
	for who in $EVERYONE; do
		become "$who"
		waiting_bundle
		starts oci create --bundle "$BUNDLE" --pid-file "$STATE.pid" "$ID"
		[ "$(status_of "$ID")" = created ]
		runs oci state "$ID"
		[ "$(jq -r '.id, .ociVersion, .bundle' <<<"$output")" = "$ID"$'\n1.3.0\n'"$BUNDLE" ]
		[ "$(jq .pid <<<"$output")" = "$(cat "$STATE.pid")" ]
		fails oci delete "$ID"
		has 'not stopped: it is created'
		fails oci create --bundle "$BUNDLE" "$ID"
		has 'exists already'
		runs oci start "$ID"
		[ "$(status_of "$ID")" = running ]
		fails oci start "$ID"
		has 'cannot start a container that is running already'
		fails oci delete "$ID"
		has 'not stopped'
		runs oci kill "$ID" KILL
		wait_until is_stopped
		fails oci kill "$ID"
		has 'container not running'
		fails oci start "$ID"
		has 'has stopped'
		runs oci delete "$ID"
		fails oci state "$ID"
		has 'container does not exist'
		fails oci delete "$ID"
		runs oci delete --force "$ID"
		assert_nothing_left
	done
}

@test "a container without a program: it can be created, not started" {
	make_bundle 'del(.process)'
	starts oci create --bundle "$BUNDLE" "$ID"
	[ "$(status_of "$ID")" = created ]
	fails oci start "$ID"
	has 'there is no program to run'
	runs oci delete --force "$ID"
	fails run_bundle
	assert_nothing_left
}

@test "run: output, status, signals" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle
		bundle_args sh -c 'echo out; echo err >&2; exit 9'
		exits 9 run_bundle
		is $'out\nerr'
		bundle_args sh -c 'sh -c "kill -TERM \$\$"; exit $?'
		exits 143 run_bundle
		bundle_args cat
		[ "$(echo text | run_bundle)" = text ]
		assert_nothing_left
	done
}

@test "run passes signals on, and the second SIGTERM kills" {
	make_bundle
	bundle_args sh -c 'trap "exit 3" TERM; echo up; while :; do sleep 0.05; done'
	start run "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	wait_until grep -q up "$TEST_DIR/run.log"
	kill -TERM "$STARTED"
	status=0 && wait "$STARTED" || status=$?
	[ "$status" -eq 3 ]
	bundle_args sh -c 'echo up; while :; do sleep 0.05; done'
	start again "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	wait_until grep -q up "$TEST_DIR/again.log"
	kill -TERM "$STARTED"
	pause
	kill -0 "$STARTED"
	kill -TERM "$STARTED"
	status=0 && wait "$STARTED" || status=$?
	[ "$status" -eq 137 ]
	assert_nothing_left
}

@test "a program that cannot be run: 127 and 126, in the words that engines know" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle
		bundle_args no-such-program
		exits 127 run_bundle
		has 'executable file `no-such-program` not found in $PATH'
		bundle_args /etc
		exits 126 run_bundle
		has 'Permission denied'
		assert_nothing_left
	done
}

# bats test_tags=root
@test "run --detach, list, ps" {
	waiting_bundle
	starts oci run --detach --bundle "$BUNDLE" "$ID"
	runs oci list --quiet
	is "$ID"
	runs oci list
	has running
	runs oci list --format json
	[ "$(jq -r '.[0].status' <<<"$output")" = running ]
	runs oci ps --format json "$ID"
	[ "$(jq length <<<"$output")" = 1 ]
	[ "$(jq '.[0]' <<<"$output")" = "$(oci state "$ID" | jq .pid)" ]
	runs oci delete --force "$ID"
	runs oci list --quiet
	is ''
	assert_nothing_left
}

@test "exec: environment, user, directory, status" {
	for who in $EVERYONE; do
		become "$who"
		waiting_bundle
		starts oci run --detach --bundle "$BUNDLE" "$ID"
		runs oci exec "$ID" sh -c 'echo $$; hostname; pwd; echo $HOME'
		[ "${lines[0]}" -gt 1 ]
		[ "${lines[*]:1}" = 'fence-test / /root' ]
		runs oci exec --env A=b --env PATH=/bin:/x --cwd /tmp "$ID" sh -c 'echo $A $PATH; pwd'
		is $'b /bin:/x\n/tmp'
		exits 5 oci exec "$ID" sh -c 'exit 5'
		exits 130 oci exec "$ID" sh -c 'kill -INT $$'
		exits 255 oci exec "$ID" no-such-program # engines go by the message
		has 'not found in $PATH'
		exits 255 oci exec "$ID" /etc
		fails oci exec "$ID"
		has 'no program to run'
		exits 255 oci exec no-such-container true
		[ "$(echo text | oci exec "$ID" cat)" = text ]
		runs oci delete --force "$ID"
		assert_nothing_left
	done
}

@test "exec joins every namespace and the cgroup, with the container's seccomp and capabilities" {
	waiting_bundle '.linux.namespaces += [{ type: "cgroup" }] | .linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW",
		syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95 }] }'
	starts oci run --detach --bundle "$BUNDLE" "$ID"
	local kind
	for kind in pid net ipc uts mnt cgroup; do
		runs oci exec "$ID" sh -c "readlink /proc/1/ns/$kind; readlink /proc/self/ns/$kind"
		[ "${lines[0]}" = "${lines[1]}" ]
	done
	runs oci exec "$ID" sh -c 'diff /proc/1/cgroup /proc/self/cgroup && grep ^CapBnd: /proc/1/status /proc/self/status | cut -d: -f2- | uniq'
	[ "${#lines[@]}" -eq 1 ]
	fails oci exec "$ID" mkdir /tmp/x
	has 'not supported'
	runs oci delete --force "$ID"
}

@test "exec --user, --additional-gids, --cap, --no-new-privs, --process" {
	waiting_bundle '.process.noNewPrivileges = false'
	starts oci run --detach --bundle "$BUNDLE" "$ID"
	runs oci exec --user 12:34 --additional-gids 56 "$ID" sh -c 'id -u; id -g; id -G'
	is $'12\n34\n34 56'
	runs oci exec --cap CAP_NET_RAW "$ID" grep ^CapBnd /proc/self/status
	has 0000000020002420
	runs oci exec --no-new-privs "$ID" grep NoNewPrivs /proc/self/status
	is $'NoNewPrivs:\t1'
	jq -n '{ args: ["sh", "-c", "echo $A; pwd; id -u"], env: ["PATH=/bin", "A=from a file"], cwd: "/tmp", user: { uid: 7, gid: 7 } }' \
		>process.json
	runs oci exec --process process.json "$ID"
	is $'from a file\n/tmp\n7'
	fails oci exec --user nobody "$ID" true
	has 'not a numeric id'
	runs oci delete --force "$ID"
}

# bats test_tags=user
@test "exec as root of a user namespace that somebody else made, as a rootless engine does it" {
	become user
	waiting_bundle 'del(.linux.uidMappings, .linux.gidMappings) | .linux.namespaces |= map(select(.type != "user"))'
	export ID
	runs as_who unshare --user --map-root-user --mount sh -ec '
		"$@" run --detach --bundle "$0" "$ID" </dev/null >/dev/null 2>&1
		trap "\"\$@\" delete --force \"$ID\"" EXIT
		"$@" exec "$ID" sh -c "echo inside; echo \$\$ >/pid; test \$\$ -lt 20"
		"$@" exec --detach "$ID" sh -c "cat /pid >/other"
		"$@" exec "$ID" sh -c "until [ -s /other ]; do sleep 0.05; done"' "$BUNDLE" "$FENCE" --root "$STATE"
	is inside
	assert_nothing_left
}

# bats test_tags=root
@test "exec --detach and --pid-file" {
	waiting_bundle
	starts oci run --detach --bundle "$BUNDLE" "$ID"
	starts oci exec --detach --pid-file pid "$ID" tail -f /dev/null
	[ "$(tr '\0' ' ' <"/proc/$(cat pid)/cmdline")" = 'tail -f /dev/null ' ]
	runs oci ps --format json "$ID"
	[ "$(jq length <<<"$output")" = 2 ]
	runs oci delete --force "$ID"
	assert_nothing_left
}

@test "exec leaves nothing of the runtime's to the container" {
	for who in $EVERYONE; do
		become "$who"
		waiting_bundle
		starts oci run --detach --bundle "$BUNDLE" "$ID"
		runs oci exec "$ID" sh -c 'ls /proc/self/fd'
		is $'0\n1\n2\n3' # 3 is the directory that ls reads
		runs oci exec "$ID" ls -l /proc/1/fd
		hasnt socket
		hasnt "$STATE"
		runs oci delete --force "$ID"
	done
}

@test "--preserve-fds passes on as many, and no more" {
	make_bundle
	bundle_args sh -c 'ls /proc/self/fd; cat <&3'
	echo content >file
	runs sh -c 'exec "$0" --root "$1" run --preserve-fds 1 --bundle "$2" "$3" 3<file 7<file' "$FENCE" "$STATE" "$BUNDLE" "$ID"
	is $'0\n1\n2\n3\n4\ncontent' # 4 is the directory that ls reads
}

@test "a terminal goes to the console socket, and has the size that was asked for" {
	make_bundle '.process.terminal = true | .process.consoleSize = { height: 33, width: 77 }'
	bundle_args sh -c 'test -t 0 && tty && stty size && cat'
	/usr/bin/python3 - "$PWD/console" >terminal.log 2>&1 3>&- <<-'EOT' &
		import array, os, socket, sys
		listener = socket.socket(socket.AF_UNIX)
		listener.bind(sys.argv[1])
		listener.listen()
		connection, _ = listener.accept()
		fds = array.array("i")
		name, control, _, _ = connection.recvmsg(64, socket.CMSG_LEN(fds.itemsize))
		fds.frombytes(control[0][2])
		os.write(fds[0], b"typed\n\4")
		output = b""
		try:
		    while True:
		        output += os.read(fds[0], 4096)
		except OSError:
		    pass
		print(name.decode(), output.decode().replace("\r", ""))
	EOT
	local receiver=$!
	wait_until test -S console
	give console
	runs oci create --console-socket "$PWD/console" --bundle "$BUNDLE" "$ID"
	runs oci start "$ID"
	wait "$receiver"
	output=$(cat terminal.log)
	has /dev/ptmx
	has $'/dev/pts/0\n33 77\n'
	has typed
	wait_until is_stopped
	runs oci delete "$ID"
	fails oci create --bundle "$BUNDLE" "$ID"
	has 'console-socket'
	edit_config '.process.terminal = false'
	fails oci create --console-socket "$PWD/console" --bundle "$BUNDLE" "$ID"
	has 'process.terminal is not true'
	assert_nothing_left
}

@test "run and exec relay the terminal they are started on" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle '.process.terminal = true'
		bundle_args sh -c 'tty; test -t 0 && test -t 1 && test -t 2 && echo all; exit 4'
		exits 4 on_a_terminal fence --root "$STATE" run --bundle "$BUNDLE" "$ID"
		has /dev/pts/0
		has all
	done
	become root
	waiting_bundle
	starts oci run --detach --bundle "$BUNDLE" "$ID"
	runs on_a_terminal fence --root "$STATE" exec --tty "$ID" sh -c 'tty; test -t 0 && echo terminal'
	has /dev/pts/0
	has terminal
	runs oci delete --force "$ID"
	assert_nothing_left
}

# hook KIND LINE…: a hook that appends a line to $WORK/log.
hook_filter() {
	jq -nr --arg work "$WORK" '[$ARGS.positional[] | "\(.): [{ path: \"/bin/sh\",
		args: [\"sh\", \"-c\", \"cat >>\($work)/\(.).json; echo \(.) >>\($work)/log\"] }]"] | ".hooks = { \(join(", ")) }"' --args "$@"
}

@test "hooks run in order, each with the state on its standard input" {
	waiting_bundle "$(hook_filter prestart createRuntime createContainer poststart poststop)" \
		'.hooks.startContainer = [{ path: "/bin/sh", args: ["sh", "-c", "cat >/state.json; pwd >/started"] }]'
	starts oci create --bundle "$BUNDLE" "$ID"
	[ "$(cat log)" = $'prestart\ncreateRuntime\ncreateContainer' ]
	absent "$BUNDLE/rootfs/started"
	runs oci start "$ID"
	[ "$(tail -n 1 log)" = poststart ]
	[ -e "$BUNDLE/rootfs/started" ]
	local pid
	pid=$(oci state "$ID" | jq .pid)
	[ "$(jq -r '.id, .pid, .bundle' createRuntime.json)" = "$ID"$'\n'"$pid"$'\n'"$BUNDLE" ]
	# All that step 2 of the specification's lifecycle makes is there.
	[ "$(jq -r .status prestart.json createRuntime.json)" = $'created\ncreated' ]
	[ "$(jq -r .status createContainer.json "$BUNDLE/rootfs/state.json" poststart.json)" = $'created\ncreated\nrunning' ]
	[ "$(jq .pid createContainer.json)" = "$pid" ]
	runs oci kill "$ID" KILL
	wait_until is_stopped
	runs oci delete "$ID"
	[ "$(tail -n 1 log)" = poststop ]
	[ "$(jq -r .status poststop.json)" = stopped ]
	assert_nothing_left
}

@test "a hook that fails, or takes too long, ends the container" {
	local kind
	for kind in prestart createRuntime createContainer; do
		waiting_bundle ".hooks.$kind = [{ path: \"/bin/false\" }]"
		fails oci create --bundle "$BUNDLE" "$ID"
		has "error running $kind hook #0: /bin/false ended with status 1"
		fails oci state "$ID"
	done
	waiting_bundle '.hooks.createRuntime = [{ path: "/bin/sleep", args: ["sleep", "60"], timeout: 1 }]'
	fails oci create --bundle "$BUNDLE" "$ID"
	has 'did not end in 1 s'
	waiting_bundle '.hooks.createRuntime = [{ path: "/bin/sleep", args: ["sleep", "0.1"], timeout: 4294967296 }]' # 2^32
	starts oci create --bundle "$BUNDLE" "$ID"
	runs oci delete --force "$ID"
	waiting_bundle '.hooks.createRuntime = [{ path: "/no/such/hook" }]'
	fails run_bundle
	has '/no/such/hook'
	waiting_bundle '.hooks.startContainer = [{ path: "/bin/false" }]'
	starts oci create --bundle "$BUNDLE" "$ID"
	fails oci start "$ID"
	has 'error running startContainer hook #0'
	runs oci delete --force "$ID"
	waiting_bundle '.hooks.poststart = [{ path: "/bin/false" }]'
	starts oci create --bundle "$BUNDLE" "$ID"
	fails oci start "$ID"
	has 'poststart hook #0'
	is_stopped
	runs oci delete "$ID"
	assert_nothing_left
}

@test "start fails when the init process is killed before it executes its program" {
	local pid
	for who in $EVERYONE; do
		become "$who"
		# Before it has come to the program…
		waiting_bundle '.hooks.startContainer = [{ path: "/bin/sh", args: ["sh", "-c", "touch /begun; exec sleep 60"] }]'
		starts oci create --bundle "$BUNDLE" --pid-file "$STATE.pid" "$ID"
		as_who "$FENCE" --root "$STATE" start "$ID" >"$TEST_DIR/start.log" 2>&1 3>&- &
		pid=$!
		wait_until test -e "$BUNDLE/rootfs/begun"
		kill -KILL "$(cat "$STATE.pid")"
		! wait "$pid"
		runs cat "$TEST_DIR/start.log"
		has 'was killed before it executed its program'
		wait_until eval '[ "$(status_of "$ID")" = stopped ]'
		runs oci delete "$ID"
	done
	# …and at the call itself, where whoever inherits it has not buried it yet. A program that has ended long since is another matter.
	become root
	make_bundle
	bundle_args true
	start inheritor /usr/bin/python3 -c 'import ctypes, subprocess, sys, time; ctypes.CDLL(None).prctl(36, 1); subprocess.run(sys.argv[1:]); time.sleep(600)' \
		"$FENCE" --root "$STATE" create --bundle "$BUNDLE" --pid-file "$STATE.pid" "$ID"
	wait_until eval '[ "$(status_of "$ID")" = created ]'
	start strace strace -qq -e inject=execve:signal=KILL -p "$(cat "$STATE.pid")"
	wait_until grep -q '^TracerPid:[^0-9]*[1-9]' "/proc/$(cat "$STATE.pid")/status"
	fails oci start "$ID"
	has 'was killed before it executed its program'
	runs oci delete --force "$ID"
	starts oci create --bundle "$BUNDLE" "$ID"
	runs oci start "$ID"
	runs oci delete --force "$ID"
	assert_nothing_left
}

@test "a hook that fails has its last words in the error; one in the container is held as the container is" {
	waiting_bundle '.hooks.createRuntime = [{ path: "/bin/sh", args: ["sh", "-c", "echo one; echo why >&2; exit 3"] }]'
	fails oci create --bundle "$BUNDLE" "$ID"
	has 'error running createRuntime hook #0: /bin/sh ended with status 3: one why'
	waiting_bundle '.hooks.createRuntime = [{ path: "/bin/sh", args: ["sh", "-c", "echo fine"] }] |
		.hooks.createContainer = [{ path: "/bin/sh", args: ["sh", "-c", "echo created >made"] }] |
		.hooks.startContainer = [{ path: "/bin/sh", args: ["sh", "-c", "echo $ONE >/one; ls /proc/self/fd >/fds; mkdir /denied; true"] }] |
		.process.env += ["ONE=1"] | .linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW",
			syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }] }'
	bundle_args true
	runs in_host sh -c 'exec 7</dev/null && exec "$@"' sh "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	has fine
	[ "$(cat "$BUNDLE/rootfs/made")" = created ]
	[ "$(cat "$BUNDLE/rootfs/one")" = 1 ]
	[ "$(wc -l <"$BUNDLE/rootfs/fds")" = 4 ]
	absent "$BUNDLE/rootfs/denied"
	assert_nothing_left
}

# bats test_tags=root
@test "pause and resume; exec waits for nobody" {
	require_kernel 'freezer cgroup' sh -c 'test -d /sys/fs/cgroup/freezer || test -e /sys/fs/cgroup/cgroup.controllers'
	waiting_bundle
	starts oci run --detach --bundle "$BUNDLE" "$ID"
	runs oci pause "$ID"
	[ "$(status_of "$ID")" = paused ]
	fails oci exec "$ID" true
	has 'paused container'
	fails oci pause "$ID"
	runs oci resume "$ID"
	[ "$(status_of "$ID")" = running ]
	runs oci exec "$ID" true
	runs oci pause "$ID"
	runs oci delete --force "$ID"
	assert_nothing_left
}

# bats test_tags=root
@test "kill takes names, numbers and --all" {
	make_bundle '.linux.namespaces -= [{ type: "pid" }]'
	bundle_args sh -c 'tail -f /dev/null & trap "echo usr1 >/usr1" USR1; while :; do sleep 0.05; done'
	starts oci run --detach --bundle "$BUNDLE" "$ID"
	fails oci kill "$ID" NO_SUCH_SIGNAL
	has 'unknown signal'
	runs oci kill "$ID" usr1
	wait_until test -e "$BUNDLE/rootfs/usr1"
	rm "$BUNDLE/rootfs/usr1"
	runs oci kill "$ID" SIGUSR1
	wait_until test -e "$BUNDLE/rootfs/usr1"
	runs oci kill --all "$ID" 9
	wait_until is_stopped
	wait_until no_processes_left
	runs oci delete "$ID"
	assert_nothing_left
}

# bats test_tags=root
@test "namespaces of other containers are joined by path" {
	waiting_bundle '.hostname = "first"'
	starts oci run --detach --bundle "$BUNDLE" "$ID-1"
	local pid
	pid=$(oci state "$ID-1" | jq .pid)
	BUNDLE=$WORK/second
	make_bundle ".linux.namespaces = [{ type: \"mount\" }, { type: \"pid\", path: \"/proc/$pid/ns/pid\" },
		{ type: \"network\", path: \"/proc/$pid/ns/net\" }, { type: \"uts\", path: \"/proc/$pid/ns/uts\" },
		{ type: \"ipc\", path: \"/proc/$pid/ns/ipc\" }] | del(.hostname)"
	bundle_args sh -c 'hostname; cat /proc/1/cmdline; readlink /proc/self/ns/net'
	runs run_bundle
	has first
	has tail
	has "$(readlink "/proc/$pid/ns/net")"
	edit_config '.linux.namespaces[1].path = "" | .linux.namespaces[3].path = ""' # as generators write it: a new one
	bundle_args readlink /proc/self/ns/net
	runs run_bundle
	hasnt "$(readlink /proc/self/ns/net)"
	edit_config '.linux.namespaces[1].path = "/proc/self/ns/net"'
	fails run_bundle
	has 'is not a pid namespace'
	runs oci delete --force "$ID-1"
	assert_nothing_left
}

# bats test_tags=root
@test "a user namespace with many ids, a joined network, and one to join" {
	chmod 755 "$TEST_DIR"
	local maps='.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 1000 }] | .linux.gidMappings = .linux.uidMappings'
	waiting_bundle ".linux.namespaces += [{ type: \"user\" }] | $maps"
	chown -R 100000:100000 "$BUNDLE/rootfs"
	starts oci run --detach --bundle "$BUNDLE" "$ID-1"
	runs oci exec --user 7:8 "$ID-1" sh -c 'id -u; cat /proc/self/uid_map'
	[ "${lines[0]}" = 7 ]
	[[ ${lines[1]} =~ ^\ *0\ +100000\ +1000$ ]]
	local pid
	pid=$(oci state "$ID-1" | jq .pid)
	edit_config ".linux.namespaces |= map(if .type == \"user\" or .type == \"network\" or .type == \"pid\"
		then .path = \"/proc/$pid/ns/\" + { user: \"user\", network: \"net\", pid: \"pid\" }[.type] else . end) |
		del(.linux.uidMappings, .linux.gidMappings)"
	bundle_args readlink /proc/self/ns/user
	runs run_bundle
	is "$(readlink "/proc/$pid/ns/user")"
	edit_config ".linux.namespaces |= map(if .type == \"user\" or .type == \"pid\" then del(.path) else . end) | $maps |
		.mounts |= map(select(.type != \"sysfs\")) | .linux.maskedPaths = [] "
	bundle_args sh -c 'readlink /proc/self/ns/net; readlink /proc/self/ns/user; echo $$'
	runs run_bundle
	[ "${lines[0]}" = "$(readlink "/proc/$pid/ns/net")" ]
	[ "${lines[1]}" != "$(readlink "/proc/$pid/ns/user")" ]
	[ "${lines[2]}" = 1 ]
	runs oci delete --force "$ID-1"
	assert_nothing_left
}

# bats test_tags=user
@test "an ordinary user's mapping of many ids goes through newuidmap" {
	require_kernel 'newuidmap' which newuidmap
	become user
	grep -q "^$TEST_USER:" /etc/subuid || usermod --add-subuids 200000-201000 --add-subgids 200000-201000 "$TEST_USER"
	local first
	first=$(sed -n "s/^$TEST_USER:\([0-9]*\):.*/\1/p" /etc/subuid | head -n 1)
	make_bundle ".linux.uidMappings |= .[:1] + [{ containerID: 1, hostID: $first, size: 100 }] |
		.linux.gidMappings |= .[:1] + [{ containerID: 1, hostID: $first, size: 100 }] | .process.user = { uid: 5, gid: 5, additionalGids: [6] }"
	bundle_args sh -c 'id -u; id -G'
	runs run_bundle
	is $'5\n5 6'
	assert_nothing_left
}

@test "time namespaces take their offsets" {
	require_kernel 'time namespaces' test -e /proc/self/ns/time
	make_bundle '.linux.namespaces += [{ type: "time" }] | .linux.timeOffsets = { boottime: { secs: 1000000000 } }'
	bundle_args cut -d. -f1 /proc/uptime
	runs run_bundle
	[ "$output" -gt 1000000000 ]
	for who in $EVERYONE; do
		become "$who"
		make_bundle '.linux.namespaces |= (. + [{ type: "time" }, { type: "user" }] | unique) |
			.linux.uidMappings //= [{ containerID: 0, hostID: 0, size: 1 }] | .linux.gidMappings //= .linux.uidMappings |
			.linux.timeOffsets = { boottime: { secs: 1000000000 } }'
		bundle_args cut -d. -f1 /proc/uptime
		runs run_bundle
		[ "$output" -gt 1000000000 ]
	done
}

@test "lo is up, and the host names are set" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle '.domainname = "example.org"'
		bundle_args sh -c 'hostname; cat /proc/sys/kernel/domainname; ip link show lo'
		runs run_bundle
		[ "${lines[0]}" = fence-test ]
		[ "${lines[1]}" = example.org ]
		has LOWER_UP
	done
}

@test "the working directory is made if it is missing, and cannot lie outside" {
	make_bundle '.process.cwd = "/new/and/deep"'
	bundle_args pwd
	runs run_bundle
	is /new/and/deep
	# CVE-2024-21626: by way of an fd that the runtime might have left open.
	local fd
	for fd in 3 4 5 6 7 8 9 10 11 12; do
		edit_config ".process.cwd = \"/proc/self/fd/$fd\""
		fails run_bundle
		hasnt "$WORK"
	done
	assert_nothing_left
}

@test "the runtime's own binary cannot be written to from inside (CVE-2019-5736)" {
	make_bundle 'del(.process.noNewPrivileges) | .process.capabilities |= map_values(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"])'
	local before
	before=$(sha256sum "$FENCE")
	bundle_args /proc/self/exe --version
	capture run_bundle
	# The interpreter of a script is found while the process is still the runtime's.
	printf '#!/proc/self/exe\n' >"$BUNDLE/rootfs/script"
	chmod 755 "$BUNDLE/rootfs/script"
	bundle_args sh -c '/script & for try in 1 2 3 4 5 6 7 8; do for exe in /proc/[0-9]*/exe; do
		: 2>/dev/null 3<"$exe" && echo bad >>/proc/self/fd/3; done; done; true'
	capture run_bundle
	starts oci run --detach --bundle "$BUNDLE" "$ID-wait" || true
	[ "$(sha256sum "$FENCE")" = "$before" ]
	oci delete --force "$ID-wait"
}

@test "--log-format json, --log" {
	fails oci --log-format json --log "$PWD/log" state no-such-container
	[ "$(jq -r .level <<<"$output")" = error ]
	jq -r .msg <<<"$output" | grep -q 'container does not exist'
	jq -e '.msg and .time' log
}

@test "ids, options and commands that are wrong" {
	make_bundle
	local id
	for id in '' . .. a/b '../x' 'a b'; do
		fails oci run --bundle "$BUNDLE" "$id"
		has 'container id'
	done
	fails oci run --bundle "$BUNDLE"
	has 'CONTAINER is missing'
	fails oci run --no-such-option x
	has 'unknown option --no-such-option'
	fails oci run --bundle /no/such/bundle x
	has '/no/such/bundle'
	fails oci list --format xml
	has '--format'
	runs fence --version
	has 'spec: 1.3.0'
	runs fence --help
	has Commands
	runs fence run --help
	has --preserve-fds
	runs oci features
	jq -e '.ociVersionMax == "1.3.0"' <<<"$output"
	assert_nothing_left
}

@test "spec writes a template that runs" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle
		rm "$BUNDLE/config.json"
		if [ "$who" = user ]; then
			runs fence spec --rootless --bundle "$BUNDLE"
		else
			runs fence spec --bundle "$BUNDLE"
		fi
		fails fence spec --bundle "$BUNDLE"
		has 'exists already'
		edit_config '.process.args = ["id", "-u"] | .process.terminal = false'
		runs run_bundle
		is 0
	done
}

@test "delete --force cleans what a killed create left" {
	waiting_bundle
	local call count
	for call in mkdir openat write renameat clone3 recvmsg; do
		for count in 1 2 4 8; do
			as_who strace -qq -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$count" \
				"$FENCE" --root "$STATE" create --bundle "$BUNDLE" "$ID" >/dev/null 2>&1 || true
			runs oci delete --force "$ID"
			assert_nothing_left
		done
	done
}

@test "run cleans up when it is killed at any point" {
	make_bundle
	bundle_args true
	local call count
	for call in mkdir openat write renameat clone3 recvmsg poll unlinkat; do
		for count in 1 2 5 10; do
			capture as_who strace -qq -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$count" \
				"$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
			assert_nothing_left
		done
	done
}

@test "placeholders are removed by the last container that holds them" {
	local filter=".annotations[\"dev.fence.placeholders\"] = \"[\\\"$WORK/made/inner\\\", \\\"$WORK/real\\\"]\" |
		.mounts += [{ destination: \"$WORK\", type: \"bind\", source: \"$WORK\", options: [\"rbind\"] },
			{ destination: \"$WORK/made/inner\", type: \"tmpfs\", source: \"tmpfs\" },
			{ destination: \"$WORK/real\", type: \"bind\", source: \"/dev/null\", options: [\"bind\"] }]"
	touch real
	waiting_bundle "$filter"
	starts oci run --detach --bundle "$BUNDLE" "$ID-1"
	starts oci run --detach --bundle "$BUNDLE" "$ID-2"
	runs oci delete --force "$ID-1"
	[ -d made/inner ]
	runs oci delete --force "$ID-2"
	absent made
	[ -e real ]
	starts oci run --detach --bundle "$BUNDLE" "$ID-1"
	touch made/inner/mine
	runs oci delete --force "$ID-1"
	[ -e made/inner/mine ]
	assert_nothing_left
}
