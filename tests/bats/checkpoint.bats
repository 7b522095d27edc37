# checkpoint and restore. What fence says to CRIU, and what it does when that fails, with a stand-in (tests/fake_criu.py); saving and
# restoring for good with a CRIU that works on this kernel: `CRIU=PATH`, else the one in PATH.
# bats file_tags=root
load helpers

setup() {
	common_setup
	REAL_PATH=$PATH
	export FAKE_CRIU=$TEST_DIR/criu.d
	mkdir "$TEST_DIR/fake" "$FAKE_CRIU"
	install -m 755 "$ROOT/tests/fake_criu.py" "$TEST_DIR/fake/criu"
	echo works >"$FAKE_CRIU/mode"
	PATH=$TEST_DIR/fake:$REAL_PATH
}

# From now on `criu` is a real one.
use_criu() {
	local criu=${CRIU:-$(PATH=$REAL_PATH command -v criu)} why
	[ -n "$criu" ] || skip 'this distribution has no CRIU'
	mkdir -p "$TEST_DIR/real"
	ln -sf "$(realpath "$criu")" "$TEST_DIR/real/criu"
	PATH=$TEST_DIR/real:$REAL_PATH
	NO_NEW_PRIVILEGES=$(criu --version | jq -R 'ltrimstr("Version: ") | select(test("^[0-9]")) | split(".") | map(tonumber) >= [3, 19]')
	why=$(criu check 2>&1) || skip "this $("$criu" --version | head -n 1) does not work on Linux $(uname -r): $(head -n 1 <<<"$why")"
}

F() {
	fence --root "$STATE" "$@"
}

# begin [JQ…]: a detached container that counts in /tmp/count, under every restriction that there is.
begin() {
	container "$@"
	runs F run --detach --bundle "$BUNDLE" "$ID" <"$WORK/in"
	wait_until counts
}

container() {
	make_bundle '.root.readonly = true' '.process.oomScoreAdj = 77' '.process.args = ["sh", "/count"]' \
		'.process.rlimits = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}]' \
		'.linux.maskedPaths = ["/proc/timer_list", "/proc/keys", "/proc/scsi", "/sys/firmware", "/secret", "/hidden", "/not/there"]' \
		'.linux.readonlyPaths = ["/proc/sys", "/proc/irq", "/proc/bus"]' \
		'.mounts += [
			{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noexec"]},
			{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "nodev", "noexec", "ro"]},
			{"destination": "/data", "source": "data", "options": ["bind", "ro", "nosuid"]},
			{"destination": "/etc/one", "source": "data/one", "options": ["bind", "nodev", "noexec"]}]' \
		'.linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW",
			"syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"}]}' \
		".process.noNewPrivileges = ${NO_NEW_PRIVILEGES:-true}" "$@"
	edit_config --arg path "/$ID" '.linux.cgroupsPath = $path | .linux.resources.pids.limit = 50'
	mkdir -p "$BUNDLE/data" "$BUNDLE/rootfs/hidden" "$BUNDLE/rootfs/data"
	echo one >"$BUNDLE/data/one"
	echo secret | tee "$BUNDLE/rootfs/secret" >"$BUNDLE/rootfs/hidden/secret"
	cat >"$BUNDLE/rootfs/count" <<-'SCRIPT'
		number=0
		while :; do
			number=$((number + 1))
			echo $number >/tmp/count
			chmod 700 /tmp/count 2>/dev/null && echo chmod >>/tmp/broken
			(: >/proc/sys/kernel/hostname) 2>/dev/null && echo proc/sys >>/tmp/broken
			(: >/written) 2>/dev/null && echo root >>/tmp/broken
			(: >/data/written) 2>/dev/null && echo data >>/tmp/broken
			[ ! -s /secret ] && [ ! -e /hidden/secret ] || echo secret >>/tmp/broken
			[ ! -e /tmp/end ] || exit 7
			usleep 20000
		done
	SCRIPT
	[ -p "$WORK/in" ] || mkfifo "$WORK/in"
	exec 9<>"$WORK/in"
}

counts() {
	count=$(F exec "$ID" cat /tmp/count 2>/dev/null) && [ "${count:-0}" -gt "${1:-0}" ]
}

mounts_of() {
	sed -E 's/^[0-9]+ [0-9]+ [0-9:]+ //' "/proc/$1/mountinfo" | sort
}

# All that holds the container's first process, in a form that can be compared.
holds() {
	local pid
	pid=$(F state "$ID" | jq .pid)
	mounts_of "$pid"
	grep -E '^(Uid|Gid|Groups|Cap[A-Z][a-z]*|NoNewPrivs|Seccomp[_a-z]*):' "/proc/$pid/status"
	cat "/proc/$pid/limits" "/proc/$pid/oom_score_adj" "/proc/$pid/cgroup"
}

# A process in namespaces of its own: $other.
other_namespaces() {
	start other unshare --net --ipc --uts sleep 100
	other=$STARTED
	wait_until eval '[ "$(readlink "/proc/$other/ns/uts")" != "$(readlink /proc/self/ns/uts)" ]'
}

asked() {
	grep -qxF -- "$1" "$FAKE_CRIU/log" || { echo "CRIU was not told: $1" && cat "$FAKE_CRIU/log" && return 1; } >&2
}

not_asked() {
	! grep -q -- "$1" "$FAKE_CRIU/log" || { echo "CRIU was told: $1" && cat "$FAKE_CRIU/log" && return 1; } >&2
}

mode() {
	echo "$1" >"$FAKE_CRIU/mode"
	rm -f "$FAKE_CRIU/log"
}

# refused_restore MESSAGE [OPTION…]: in one line, and nothing is left.
refused_restore() {
	fails F restore --detach --bundle "$BUNDLE" "${@:2}" "$ID" <"$WORK/in"
	has "$1"
	[ "${#lines[@]}" -eq 1 ] || complain 'it should be one line'
	is_gone
	assert_nothing_left
}

is_gone() {
	fails F state "$ID"
	has 'container does not exist'
}

# --- what CRIU is asked ---

@test "the request of a checkpoint: mounts by their places, the freezer, options, and no fd that is not for CRIU" {
	container '.mounts += [{"destination": "/conf/inner", "source": "data", "options": ["rbind"]}]' \
		'.hooks = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", "cat >>'"$TEST_DIR"'/poststop"]}]}' \
		'.root.readonly = false'
	ln -s /real "$BUNDLE/rootfs/conf"
	runs F run --detach --bundle "$BUNDLE" "$ID" <"$WORK/in"
	pid=$(F state "$ID" | jq .pid)
	exec 7<"$BUNDLE/config.json"
	runs F checkpoint --image-path images --work-path work --tcp-established --ext-unix-sk --file-locks --shell-job --link-remap \
		--tcp-skip-in-flight --auto-dedup --manage-cgroups-mode full --network-lock nftables --empty-ns network \
		--page-server 192.0.2.1:99 "$ID"
	is ''
	asked 'request 1'
	asked "pid $pid"
	asked "root $BUNDLE/rootfs"
	for line in 'ext_mnt /data=/data' 'ext_mnt /real/inner=/conf/inner' 'ext_mnt /etc/one=/etc/one' 'ext_mnt /secret=/secret' 'ext_mnt /proc/timer_list=/proc/timer_list' \
		'tcp_established 1' 'ext_unix_sk 1' 'file_locks 1' 'shell_job 1' 'link_remap 1' 'tcp_skip_in_flight 1' 'auto_dedup 1' \
		'manage_cgroups_mode 4' 'network_lock 2' 'empty_ns 1073741824' 'ps 192.0.2.1=99' 'orphan_pts_master 1' 'notify_scripts 1' \
		'log_file dump.log' 'post-dump accepted'; do
		asked "$line"
	done
	for line in '^ext_mnt /hidden' '^ext_mnt /not' '^leave_running' '^track_mem' '^fd .*config.json' '^fd .*images' '^fd .*state'; do
		not_asked "$line"
	done
	grep -q "^freeze_cgroup .*/$ID\$" "$FAKE_CRIU/log"
	[ "$(grep -c '^fd [3-9]' "$FAKE_CRIU/log")" -le 2 ] # the socket, and one of the listing
	is_gone
	jq -e '.status == "stopped"' "$TEST_DIR/poststop"
	[ "$(stat -c %a images)" = 700 ]
	assert_nothing_left
}

@test "a checkpoint that leaves it running, and one of memory only" {
	begin
	runs F checkpoint --leave-running "$ID"
	asked 'request 1'
	asked 'leave_running 1'
	[ -s checkpoint/fence.json ]
	wait_until counts "$count"
	mode works
	runs F checkpoint --pre-dump --image-path before "$ID"
	asked 'request 4'
	asked 'track_mem 1'
	absent before/fence.json
	mode works
	runs F checkpoint --parent-path ../before --image-path after --leave-running "$ID"
	asked 'parent_img ../before'
	asked 'track_mem 1'
	fails F checkpoint --parent-path "$PWD/before" --image-path after "$ID"
	has '--parent-path'
	fails F checkpoint --parent-path ../nothing --image-path after "$ID"
	has '--parent-path'
	runs F delete --force "$ID"
	assert_nothing_left
}

@test "the request of a restore: sources, streams, namespaces, cgroups, labels" {
	other_namespaces
	begin "(.linux.namespaces[] | select(.type == \"network\")).path = \"/proc/$other/ns/net\"" \
		"(.linux.namespaces[] | select(.type == \"ipc\")).path = \"/proc/$other/ns/ipc\""
	runs F checkpoint "$ID"
	grep -q "^external net\[.*\]:extRootNetNS\$" "$FAKE_CRIU/log"
	mode fails
	fails F restore --detach --bundle "$BUNDLE" --lsm-profile apparmor:other --lsm-mount-context some --tcp-close "$ID" <"$WORK/in"
	asked 'request 2'
	asked "ext_mnt /data=$BUNDLE/data"
	asked 'ext_mnt /secret=/dev/null'
	asked "root $BUNDLE/rootfs"
	asked 'rst_sibling 1'
	asked 'lsm_profile apparmor:other'
	asked 'lsm_mount_context some'
	asked 'tcp_close 1'
	asked "join_ns ipc=/proc/$other/ns/ipc"
	grep -q '^inherit_fd extRootNetNS=' "$FAKE_CRIU/log"
	grep -q "^cg_root .*=.*/$ID\$" "$FAKE_CRIU/log"
	fd=$(sed -n 's/^inherit_fd extRootNetNS=//p' "$FAKE_CRIU/log")
	asked "fd $fd $(readlink "/proc/$other/ns/net")"
	assert_nothing_left
}

@test "the request of a lazy checkpoint, and of a restore of it" {
	container '.process.args = ["sleep", "1000"]'
	runs F run --detach --bundle "$BUNDLE" "$ID" <"$WORK/in"
	runs sh -c 'exec "$@" 8>ready' sh "$FENCE" --root "$STATE" checkpoint --lazy-pages --page-server 0.0.0.0:99 --status-fd 8 "$ID"
	asked 'lazy_pages 1'
	asked 'ps 0.0.0.0=99'
	asked 'status-ready accepted'
	[ "$(od -An -tx1 ready)" = ' 00' ]
	mode fails
	fails F restore --lazy-pages --detach --bundle "$BUNDLE" "$ID" <"$WORK/in"
	asked 'lazy_pages 1'
	fails F restore --no-pivot --detach --bundle "$BUNDLE" "$ID" <"$WORK/in"
	has 'CRIU'
	assert_nothing_left
}

@test "the configuration file of CRIU's that the annotation names" {
	begin '.annotations = {"org.criu.config": "/etc/criu/special.conf"}'
	runs F checkpoint --leave-running "$ID"
	asked 'config_file /etc/criu/special.conf'
	runs F delete --force "$ID"
	runs F features
	jq -e '.potentiallyUnsafeConfigAnnotations | index("org.criu.config")' <<<"$output"
}

@test "a CRIU that does not bring no_new_privs back will do for who does not have it" {
	begin '.process.noNewPrivileges = false'
	mode 'before 3.19'
	runs F checkpoint --leave-running "$ID"
	runs F exec --no-new-privs "$ID" sh -c 'sleep 1000 </dev/null >/dev/null 2>&1 &'
	fails F checkpoint --leave-running "$ID"
	has 'no_new_privs'
	runs F delete --force "$ID"
}

# --- what goes wrong ---

@test "a checkpoint that fails: one line with the reason, and the container goes on" {
	begin
	while IFS='|' read -r how message; do
		mode "$how"
		counts
		fails F checkpoint --image-path images "$ID"
		has "$message"
		[ "${#lines[@]}" -eq 1 ] || complain 'it should be one line'
		absent images/fence.json
		wait_until counts "$count"
	done <<-TABLE
		fails|CRIU could not do it: mnt: the first reason (more is in images/dump.log)
		dies|killed by signal 9
		garbage|CRIU's answer makes no sense
		wrong|CRIU answered what was not asked
		old|the package criu is too old: version 3.17
		before 3.19|CRIU 3.18 does not bring back no_new_privs
	TABLE
	mkdir "$TEST_DIR/none"
	fails env PATH="$TEST_DIR/none" "$FENCE" --root "$STATE" checkpoint --image-path images "$ID"
	has 'there is no `criu` in PATH: install the package criu'
	mode works
	fails F checkpoint --image-path "$BUNDLE/config.json" "$ID"
	fails F checkpoint --image-path images --empty-ns ipc "$ID"
	fails F checkpoint --image-path images --page-server nowhere "$ID"
	while IFS='|' read -r flags message; do
		fails F checkpoint --image-path images $flags "$ID"
		has "$message"
	done <<-'TABLE'
		--lazy-pages|needs --page-server 0.0.0.0:PORT
		--lazy-pages --page-server 127.0.0.1:99|needs --page-server 0.0.0.0:PORT
		--lazy-pages --page-server 0.0.0.0:99 --pre-dump|not with --pre-dump
		--lazy-pages --page-server 0.0.0.0:99 --status-fd 77|descriptor 77 is not open for writing
		--status-fd 1|is for --lazy-pages
	TABLE
	runs F pause "$ID"
	fails F checkpoint "$ID"
	has 'is paused'
	runs F delete --force "$ID"
	fails F checkpoint "$ID"
	has 'does not exist'
	assert_nothing_left
}

@test "a restore that fails leaves nothing" {
	begin
	runs F checkpoint "$ID"
	while IFS='|' read -r how message; do
		mode "$how"
		fails F restore --detach --bundle "$BUNDLE" --pid-file pid "$ID" <"$WORK/in"
		has "$message"
		[ "${#lines[@]}" -eq 1 ] || complain 'it should be one line'
		absent pid
		is_gone
		assert_nothing_left
	done <<-TABLE
		fails|CRIU could not do it: mnt: the first reason (more is in checkpoint/restore.log)
		dies|killed by signal 9
		garbage|CRIU's answer makes no sense
		nameless|CRIU has not restored the container as it was told to
		unsafe|the process is not in a new pid namespace
	TABLE
	edit_config '.linux.namespaces |= map(select(.type != "pid"))'
	fails fence --root "$STATE" --cgroup-manager disabled restore --detach --bundle "$BUNDLE" "$ID" <"$WORK/in"
	has 'neither a pid namespace nor a cgroup of its own'
	rm checkpoint/fence.json
	fails F restore --detach --bundle "$BUNDLE" "$ID" <"$WORK/in"
	has 'this is no whole checkpoint'
	fails F restore --detach --bundle "$BUNDLE" --image-path nothing "$ID" <"$WORK/in"
	assert_nothing_left
}

@test "a record that somebody damaged: one line, and nothing is left" {
	begin
	runs F checkpoint "$ID"
	mv checkpoint/fence.json whole.json
	while IFS='|' read -r damage message; do
		rm -rf checkpoint/fence.json
		(cd checkpoint && eval "$damage")
		refused_restore "$message"
	done <<-'TABLE'
		head -c 100 ../whole.json >fence.json|fence.json:1:101: descriptors[2]
		: >fence.json|fence.json:1:1: the text ends too early
		mkdir fence.json|fence.json: cannot be read
		jq '.descriptors[0].kind = "x"' ../whole.json >fence.json|has to be one again
	TABLE
}

@test "what comes back with less than it had is killed before it can run" {
	begin
	runs F checkpoint "$ID"
	mode unsafe
	fails F restore --bundle "$BUNDLE" "$ID" <"$WORK/in"
	has 'the process is not in a new pid namespace'
	grep -q '^post-restore accepted' "$FAKE_CRIU/log"
	absent "/proc/$(sed -n 's/^restored //p' "$FAKE_CRIU/log")"
	assert_nothing_left
}

@test "fence or CRIU killed amidst a restore: delete --force, or the watcher, leaves nothing" {
	container
	runs F run --detach --bundle "$BUNDLE" "$ID" </dev/null
	runs F checkpoint "$ID"
	for detach in --detach ''; do
		mode waits
		start restore "$FENCE" --root "$STATE" restore $detach --bundle "$BUNDLE" "$ID"
		wait_until grep -q 'setup-namespaces accepted' "$FAKE_CRIU/log"
		restored=$(sed -n 's/^restored //p' "$FAKE_CRIU/log")
		[ "$(F state "$ID" | jq -r .status)" = creating ]
		fails F exec "$ID" true
		has 'that is creating'
		kill -KILL "$STARTED"
		wait "$STARTED" || true
		[ -z "$detach" ] || runs F delete --force "$ID"
		wait_until test ! -e "/proc/$restored"
		assert_nothing_left
	done
}

# refuses JQ MESSAGE: at the checkpoint, and at the restore, without a word to CRIU.
refuses() {
	rm -rf "$BUNDLE"
	container "$1"
	runs F run --detach --bundle "$BUNDLE" "$ID" <"$WORK/in"
	fails F checkpoint "$ID"
	has "$2"
	[ "${#lines[@]}" -eq 1 ] || complain 'it should be one line'
	[ "$(F state "$ID" | jq -r .status)" = running ]
	runs F delete --force "$ID"
	fails F restore --detach --bundle "$BUNDLE" "$ID" <"$WORK/in"
	has "$2"
	absent "$FAKE_CRIU/log"
}

@test "refused with one line: what CRIU cannot bring back" {
	refuses '.linux.memoryPolicy = {"mode": "MPOL_DEFAULT"}' 'with linux.memoryPolicy cannot be checkpointed'
	refuses '.process.ioPriority = {"class": "IOPRIO_CLASS_BE", "priority": 7}' 'with process.ioPriority cannot'
	refuses '.mounts += [{"destination": "/home", "source": "data", "options": ["bind", "idmap"],
		"uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}]' \
		'with id-mapped mounts'
	refuses '.linux.namespaces |= map(select(.type != "mount")) | .mounts = [] | .linux.maskedPaths = [] | .linux.readonlyPaths = [] |
		.root.readonly = false | .process.args = ["/bin/sh", "/count"]' 'with no mount namespace of its own cannot'
	assert_nothing_left
}

@test "refused: a container behind a policy, and one of an ordinary user" {
	for who in root user; do
		become "$who"
		mkfifo wait
		give .
		on_host "${AS[@]}" "$FENCE" -- cat wait
		"${command[@]}" 3>&- &
		pid=$!
		wait_until eval 'id=$(fence list --quiet) && [ -n "$id" ]'
		wait_until eval 'fence state "$id" | grep -q running'
		fails fence checkpoint "$id"
		if [ "$who" = root ]; then
			has 'with a policy cannot be checkpointed or restored: CRIU does not bring back Landlock'
		else
			has 'checkpoint and restore need root'
		fi
		absent "$FAKE_CRIU/log"
		echo >wait
		wait "$pid"
	done
	assert_nothing_left
}

@test "features tell whether there is a criu" {
	runs F features
	jq -e '.annotations["dev.fence.checkpoint.enabled"] == "true"' <<<"$output"
	mkdir "$TEST_DIR/none"
	runs env PATH="$TEST_DIR/none" "$FENCE" features
	jq -e '.annotations["dev.fence.checkpoint.enabled"] == "false"' <<<"$output"
}

# --- for good ---

@test "a round trip: it goes on where it was, held by all that held it" {
	use_criu
	begin
	holds >"$TEST_DIR/before"
	for round in 1 2; do
		counts
		runs F checkpoint --work-path work "$ID"
		is ''
		is_gone
		assert_nothing_left
		runs F restore --detach --bundle "$BUNDLE" --pid-file pid "$ID" <"$WORK/in"
		is ''
		[ "$(F state "$ID" | jq -r '.status, .pid' | paste -sd ' ')" = "running $(cat pid)" ]
		holds | diff "$TEST_DIR/before" -
		wait_until counts "$count"
		fails F exec "$ID" cat /tmp/broken # what could be done that should not
		has "can't open"
		fails F exec "$ID" sh -c 'cat /secret /proc/timer_list; ls /hidden; : >/proc/sys/kernel/hostname'
		[ "${#lines[@]}" -eq 1 ]
		has "can't create /proc/sys/kernel/hostname: Read-only file system"
	done
	[ "$(cat "$(find /sys/fs/cgroup -path "*/$ID/pids.max")")" = 50 ]
	runs F pause "$ID"
	runs F resume "$ID"
	runs F delete --force "$ID"
	assert_nothing_left
}

@test "a terminal, with a console socket and in the foreground" {
	use_criu
	container '.process.terminal = true | .process.args = ["sh", "-c", "while read word; do echo got $word; [ $word != end ] || exit 5; done"]'
	start receiver /usr/bin/python3 -u -c 'import array, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
for word in (b"first\n", b"second\n"):
    connection, _ = server.accept()
    _, ancillary, _, _ = connection.recvmsg(100, 100)
    master = array.array("i", ancillary[0][2])[0]
    os.write(master, word)
    while b"got " + word.strip() not in os.read(master, 1000):
        pass
    print("heard", word.decode().strip())
signal.pause()' "$TEST_DIR/console"
	wait_until test -S "$TEST_DIR/console"
	runs F run --detach --bundle "$BUNDLE" --console-socket "$TEST_DIR/console" "$ID" </dev/null
	wait_until grep -q 'heard first' "$TEST_DIR/receiver.log"
	fails F restore --detach --bundle "$BUNDLE" "$ID-other" </dev/null
	has 'console-socket'
	runs F checkpoint "$ID"
	runs F restore --detach --bundle "$BUNDLE" --console-socket "$TEST_DIR/console" "$ID" </dev/null
	wait_until grep -q 'heard second' "$TEST_DIR/receiver.log"
	runs F exec "$ID" sh -c 'test -c /dev/console && readlink /proc/1/fd/0'
	has /dev/pts/0
	runs F checkpoint "$ID"
	mkfifo "$TEST_DIR/nobody"
	printf 'third\nend\n' >"$TEST_DIR/nobody" 3>&- &
	exits 5 on_a_terminal fence --root "$STATE" restore --bundle "$BUNDLE" "$ID"
	has 'got third'
	assert_nothing_left
}

@test "in the foreground: the streams, the exit status, and nothing left" {
	use_criu
	container
	runs F run --detach --bundle "$BUNDLE" "$ID" </dev/null
	wait_until counts
	runs F checkpoint "$ID"
	fails F restore --bundle "$BUNDLE" "$ID" <"$WORK/in"
	has 'descriptor 0 of the container was a device, and has to be one again'
	start restored "$FENCE" --root "$STATE" restore --bundle "$BUNDLE" "$ID"
	wait_until counts
	runs F exec "$ID" touch /tmp/end
	status=0
	wait "$STARTED" || status=$?
	[ "$status" -eq 7 ]
	assert_nothing_left
	# And by a signal.
	start restored "$FENCE" --root "$STATE" restore --bundle "$BUNDLE" "$ID"
	wait_until counts
	wait_until eval '! kill -TERM "$STARTED" 2>/dev/null' # twice, at least
	status=0
	wait "$STARTED" || status=$?
	[ "$status" -eq 137 ]
	assert_nothing_left
}

@test "what was run in the foreground ends with its supervisor, and is not restored without one" {
	use_criu
	container
	start run "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	wait_until counts
	runs F checkpoint "$ID"
	fails F restore --detach --bundle "$BUNDLE" "$ID" </dev/null
	has 'restore it without --detach'
	start restored "$FENCE" --root "$STATE" restore --bundle "$BUNDLE" "$ID"
	wait_until counts "$count"
	kill -KILL "$STARTED"
	wait "$STARTED" || true
	assert_nothing_left
}

@test "hooks, settings of the kernel, and places for mounts" {
	use_criu
	hook() { # NAME
		echo '"'"$1"'": [{"path": "/bin/sh", "args": ["sh", "-c", "(echo '"$1"'; cat; echo) >>'"$TEST_DIR"'/hooks"]}]'
	}
	begin ".hooks = {$(hook prestart), $(hook createRuntime), $(hook poststart), $(hook poststop)}" \
		'.linux.sysctl = {"net.ipv4.ip_unprivileged_port_start": "77", "kernel.msgmax": "7777"}' '.root.readonly = false' \
		'.mounts += [{"destination": "/outer", "source": "data", "options": ["bind"]},
			{"destination": "/outer/in/one", "source": "data", "options": ["bind"]}]'
	runs F checkpoint "$ID"
	grep -v '{' "$TEST_DIR/hooks" | paste -sd ' ' | grep -x 'prestart createRuntime poststart poststop *'
	rm -r "$TEST_DIR/hooks" "$BUNDLE/data/in" "$BUNDLE/rootfs/outer"
	runs F restore --detach --bundle "$BUNDLE" "$ID" <"$WORK/in"
	sed -n 's/^{.*"pid":\([0-9]*\).*/\1/p' "$TEST_DIR/hooks" | sort -u | grep -x "$(F state "$ID" | jq .pid)"
	grep -v '{' "$TEST_DIR/hooks" | paste -sd ' ' | grep -x 'prestart createRuntime poststart *'
	runs F exec "$ID" cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax /outer/in/one/one
	is $'77\n7777\none'
	runs F delete --force "$ID"
	# One that fails ends it.
	edit_config '.hooks.createRuntime = [{"path": "/bin/false"}]'
	fails F restore --detach --bundle "$BUNDLE" "$ID" <"$WORK/in"
	has createRuntime
	assert_nothing_left
}

@test "a restore that differs from the record in anything is none" {
	use_criu
	begin
	runs F checkpoint --image-path images "$ID"
	while IFS='|' read -r filter message; do
		rm -rf other
		cp -a images other
		jq -c "$filter" images/fence.json >other/fence.json
		refused_restore "$message" --image-path other
	done <<-'TABLE'
		.protections.mounts += [{"path": "/new", "denied": []}]|the mount /new has not been restored
		del(.protections.mounts[1])|mounts have been restored where there were
		.protections.threads[0].facts.Seccomp = "3"|has been restored with Seccomp "2" instead of "3"
		.protections.threads[0].facts.oom_score_adj = "78"|oom_score_adj "77" instead of "78"
		.protections.threads[0].facts.limits = ""|with limits
		.protections.threads[0].id = "999"|a process 1 has been restored that was not there
		.protections = null|record lacks
		.protections = []|record lacks
		.protections.threads = {}|record lacks
		.protections.threads[0] = 1|a process 1 has been restored that was not there
		.protections.threads[0].facts = 1|record lacks what process 1 was held by
		.protections.threads[0].facts = {}|record lacks what process 1 was held by
		.protections.mounts[0] = 1|has not been restored
		.protections.mounts[0].denied = 1|record lacks "denied"
	TABLE
	# Restrictions of mounts that were lost are given back: here more than there were.
	jq -c '.protections.mounts |= map(if .path == "/tmp" then .denied += ["nosymfollow"] else . end)' images/fence.json >other/fence.json
	runs F restore --detach --bundle "$BUNDLE" --image-path other "$ID" <"$WORK/in"
	runs F exec "$ID" grep ' /tmp ' /proc/self/mountinfo
	has nosymfollow
	runs F delete --force "$ID"
	while read -r damage; do
		rm -rf other
		cp -a images other
		(cd other && eval "$damage")
		refused_restore 'CRIU could not do it: ' --image-path other
	done <<-'TABLE'
		rm inventory.img
		rm core-1.img
		: >pstree.img
		truncate -s 100 core-1.img
		cp mm-1.img files.img
		cp mm-1.img pagemap-1.img
	TABLE
	assert_nothing_left
}

@test "what was added by exec is saved with it, again and again" {
	use_criu
	begin
	pids=()
	for round in 1 2; do
		# CRIU lets a sleep that it interrupts fail with EINTR, at which some of busybox end.
		runs F exec "$ID" sh -c 'while :; do sleep 1; done </dev/null >/dev/null 2>&1 & echo $!'
		pids+=("$output")
		runs F checkpoint "$ID"
		runs F restore --detach --bundle "$BUNDLE" "$ID" <"$WORK/in"
		for pid in "${pids[@]}"; do
			runs F exec "$ID" grep -l sleep "/proc/$pid/cmdline"
		done
	done
	runs F delete --force "$ID"
	assert_nothing_left
}

# lazily: a checkpoint whose memory stays here until it is fetched, by a `fence` that is $STARTED.
lazily() {
	rm -rf images ready
	mkfifo ready
	exec 8<>ready
	start dump sh -c 'exec "$@" 8>ready' sh "$FENCE" --root "$STATE" checkpoint --lazy-pages --page-server 0.0.0.0:27277 --status-fd 8 \
		--image-path images "$ID"
	[ "$(timeout 20 head -c 1 ready | od -An -tx1)" = ' 00' ]
	[ -e images/fence.json ]
}

@test "a lazy checkpoint that is killed: CRIU ends with it, and the container goes on" {
	use_criu
	host_namespace
	begin
	counts
	lazily
	in_host ss -Hltn 'sport = :27277' | grep -q 27277
	kill -KILL "$STARTED"
	wait "$STARTED" || true
	wait_until counts "$count"
	wait_until eval '! in_host ss -Hltn "sport = :27277" | grep -q 27277'
	runs F delete --force "$ID"
	assert_nothing_left
}

@test "a lazy checkpoint: the memory follows page by page, and then the first one is gone" {
	use_criu
	require_kernel userfaultfd criu check --feature uffd-noncoop
	require_kernel 'pipes as large as CRIU wants them (CAP_SYS_RESOURCE)' \
		/usr/bin/python3 -c 'import fcntl, os; fcntl.fcntl(os.pipe()[0], fcntl.F_SETPIPE_SZ, 819 << 12)'
	host_namespace
	begin
	counts
	lazily
	dump=$STARTED
	start pages criu lazy-pages --page-server --address 127.0.0.1 --port 27277 --images-dir images
	wait_until test -S images/lazy-pages.socket
	edit_config --arg path "/$ID-lazily" '.linux.cgroupsPath = $path'
	runs F restore --lazy-pages --detach --bundle "$BUNDLE" --image-path images "$ID-lazily" <"$WORK/in"
	wait "$dump"
	wait "$STARTED"
	is_gone
	ID=$ID-lazily counts "$count"
	runs F delete --force "$ID-lazily"
	assert_nothing_left
}

# owners PID: which of its namespaces belong to its user namespace.
owners() {
	/usr/bin/python3 -c 'import fcntl, os, sys
directory = "/proc/%s/ns/" % sys.argv[1]
for name in "cgroup", "ipc", "mnt", "net", "pid", "uts":
    owner = fcntl.ioctl(os.open(directory + name, os.O_RDONLY), 0xb701) # NS_GET_USERNS
    print(name, os.fstat(owner).st_ino == os.stat(directory + "user").st_ino)' "$1"
}

@test "a user namespace: ids, devices, and images that are root's alone" {
	use_criu
	container '.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings |
		.linux.namespaces += [{"type": "user"}, {"type": "cgroup"}] | .process.user.additionalGids = [7] |
		.linux.devices = [{"path": "/dev/full", "type": "c", "major": 1, "minor": 7}]'
	chown -hR 100000:100000 "$BUNDLE/rootfs" "$BUNDLE/data"
	runs F run --detach --bundle "$BUNDLE" --pid-file pid "$ID" <"$WORK/in"
	wait_until counts
	holds >"$TEST_DIR/before"
	owners "$(cat pid)" >"$TEST_DIR/owners"
	chmod 700 "$BUNDLE/.." # root's alone, as what engines keep
	fails F checkpoint --pre-dump "$ID"
	has 'in one step only'
	for round in 1 2; do
		counts
		runs F checkpoint "$ID"
		is ''
		is_gone
		[ "$(stat -c '%a %u' checkpoint)" = '700 0' ]
		runs F restore --detach --bundle "$BUNDLE" --pid-file pid "$ID" <"$WORK/in"
		is ''
		holds | diff "$TEST_DIR/before" -
		owners "$(cat pid)" | diff "$TEST_DIR/owners" -
		wait_until counts "$count"
		runs F exec "$ID" sh -c 'echo $(cat /proc/self/uid_map); head -c 1 /dev/zero | wc -c; ! echo x >/dev/full'
		[ "${lines[0]}|${lines[1]}" = '0 100000 65536|1' ]
		has 'No space left on device'
		fails F exec "$ID" cat /tmp/broken
	done
	runs F checkpoint "$ID"
	edit_config '.linux.uidMappings[0].size = 65000'
	fails F restore --detach --bundle "$BUNDLE" "$ID" <"$WORK/in"
	has 'uid_map of the process is not what config.json says'
	assert_nothing_left
}

@test "namespaces of others, another cgroup, a cgroup namespace" {
	use_criu
	other_namespaces
	begin "(.linux.namespaces[] | select(.type == \"network\")).path = \"/proc/$other/ns/net\"" \
		"(.linux.namespaces[] | select(.type == \"ipc\")).path = \"/proc/$other/ns/ipc\"" \
		"(.linux.namespaces[] | select(.type == \"uts\")).path = \"/proc/$other/ns/uts\" | del(.hostname)" \
		'.linux.namespaces += [{"type": "cgroup"}]'
	for mode in soft ignore; do
		runs F checkpoint --manage-cgroups-mode $mode "$ID"
		edit_config --arg path "/$ID-$mode" '.linux.cgroupsPath = $path'
		runs F restore --detach --bundle "$BUNDLE" --manage-cgroups-mode $mode --pid-file pid "$ID" <"$WORK/in"
		for type in net ipc uts; do
			[ "$(readlink "/proc/$(cat pid)/ns/$type")" = "$(readlink "/proc/$other/ns/$type")" ]
		done
		[ "$(readlink "/proc/$(cat pid)/ns/cgroup")" != "$(readlink /proc/self/ns/cgroup)" ]
		grep -q "/$ID-$mode\$" "/proc/$(cat pid)/cgroup"
		wait_until counts "$count"
	done
	runs F delete --force "$ID"
	assert_nothing_left
}
