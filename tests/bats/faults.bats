# Each system call on the way into and out of a container fails in its turn, or is the last one before SIGKILL: tests/drill.c.
# As a rule a sample; FAULTS=all (make check-faults) is every call, with every error.
load helpers

setup_file() {
	common_setup_file
	cc -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -I "$ROOT" -o "$FILE_DIR/drill" "$ROOT/tests/drill.c" "$ROOT/tests/leftovers.c" -lseccomp
}

# Not ENOENT, EACCES and EROFS: a path that is masked may not be there, or not be reachable, or not be writable anyway.
ERRORS=${ERRORS:-EIO,ENOMEM,EINVAL,ENOSYS,EPERM,EMFILE}

# What a container is: the same in each run, or nothing. Devices are nodes or, where those may not be made, mounts.
probe='
	grep -E "^(Uid|Gid|Groups|Cap[A-Z][a-z]*|NoNewPrivs|Seccomp):" /proc/self/status
	cut -d " " -f 4-6 /proc/self/mountinfo | grep -v " /dev/" | sed "s/fence-[0-9]*-[0-9a-f]*/ID/"
	(echo open >/proc/sys/kernel/hostname) 2>/dev/null
	cat /secret
	hostname
	ulimit -n
	pwd
	umask
	ls /proc/self/fd
	cat /proc/self/oom_score_adj
	for directory in / /bin /usr /dev /sys; do (: >"$directory/written") 2>/dev/null && echo "$directory is open"; done
	mkdir /tmp/made && chmod 700 /tmp/made
	echo done'

container() {
	make_bundle '.root.readonly = true' '.linux.maskedPaths += ["/secret"]' '.process.oomScoreAdj = 77' \
		'.process.rlimits = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 77}]' \
		'.mounts += [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]}]' \
		'.linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW",
			"syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"}]}' "$@"
	# Traced, newuidmap has no privilege: a user maps its own id alone.
	[ "$who" = root ] || edit_config '.linux |= (.uidMappings |= .[:1] | .gidMappings |= .[:1])'
	[ "$who" = user ] || edit_config --arg path "/$ID" '.linux.cgroupsPath = $path |
		.linux.resources = {"pids": {"limit": 50}, "memory": {"limit": 50000000}}'
	echo secret >"$BUNDLE/rootfs/secret"
	give "$BUNDLE"
	F=("$FENCE" --root "$STATE")
	WATCH=(--watch "$STATE" --watch "$BUNDLE" --watch "$WORK" --watch "$HOME" --watch "$XDG_RUNTIME_DIR/fence")
	DOOR=$XDG_RUNTIME_DIR/fence
	[ "$who" = user ] || DOOR=/run/fence WATCH+=(--watch /run/fence) # contrib/check gives each file one of its own
}

# settle [FIRST…]: a script that waits for the container's end.
settle() {
	echo "$* until ${F[*]} state $ID | grep -q stopped; do :; done" >"$TEST_DIR/settle"
}

# drill SHARE WORDS…: as who is to run it; of all calls one in SHARE fails, and one in SHARE is the last.
drill() {
	local share=$1 fault
	shift
	[ "${FAULTS:-}" != all ] || share=1
	for fault in "--fail $ERRORS" ${KILL---kill}; do
		echo "# $who, $fault" >&3
		runs as_who "$FILE_DIR/drill" $fault --every "$share" "${WATCH[@]}" -- "$@" || { echo "$output" >&2 && return 1; }
		echo "# ${lines[-1]}" >&3
	done
}

@test "run" {
	for who in $EVERYONE; do
		become "$who"
		container
		bundle_args sh -c "$probe"
		drill 12 + "${F[@]}" run --bundle "$BUNDLE" "$ID" + + "${F[@]}" delete --force "$ID"
	done
}

@test "create" {
	local share=12
	for who in $EVERYONE; do
		become "$who"
		container
		bundle_args sh -c "$probe"
		settle "${F[*]} start '$ID' &&"
		[ "$who" = root ] || share=2 # without a cgroup nothing else knows of a process that was forgotten
		drill "$share" + "${F[@]}" create --bundle "$BUNDLE" "$ID" + sh "$TEST_DIR/settle" + "${F[@]}" delete --force "$ID"
	done
}

# bats test_tags=root
@test "an error that could be the init process's end, when that lives and waits for us" {
	require_kernel strace strace --inject=openat2:error=ESRCH true
	make_bundle '.process.oomScoreAdj = 77' '.hooks.createRuntime = [{"path": "/bin/true"}]' \
		'.linux.namespaces += [{"type": "user"}]' \
		'.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}]' '.linux.gidMappings = .linux.uidMappings'
	exits 1 in_host strace -o /dev/null --inject=openat2:error=ESRCH "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	has 'process.oomScoreAdj: cannot open'
	assert_nothing_left
}

@test "start" {
	container
	bundle_args sh -c "$probe"
	settle
	drill 2 "${F[@]}" create --bundle "$BUNDLE" "$ID" + "${F[@]}" start "$ID" + sh "$TEST_DIR/settle" + "${F[@]}" delete --force "$ID"
}

@test "exec" {
	local share=6
	for who in $EVERYONE; do
		become "$who"
		container
		bundle_args sleep 1000
		[ "$who" = root ] || share=1 # of three processes each waits for the others
		drill "$share" "${F[@]}" run --detach --bundle "$BUNDLE" "$ID" + "${F[@]}" exec "$ID" sh -c "$probe" + + "${F[@]}" delete --force "$ID"
	done
}

@test "delete" {
	container
	bundle_args true
	settle "${F[*]} create --bundle $BUNDLE $ID && ${F[*]} start $ID &&"
	drill 6 sh "$TEST_DIR/settle" + "${F[@]}" delete "$ID" + + "${F[@]}" delete --force "$ID"
	bundle_args sleep 1000
	drill 6 "${F[@]}" run --detach --bundle "$BUNDLE" "$ID" + "${F[@]}" delete --force "$ID" + + "${F[@]}" delete --force "$ID"
}

# With a stand-in for CRIU, of whose calls none fails.
# bats test_tags=root
@test "checkpoint" {
	container
	bundle_args sleep 1000
	mkdir "$TEST_DIR/fake" "$TEST_DIR/criu.d"
	install -m 755 "$ROOT/tests/fake_criu.py" "$TEST_DIR/fake/criu"
	echo works >"$TEST_DIR/criu.d/mode"
	cat >"$TEST_DIR/goes-on" <<-SH
		[ -e images/fence.json ] || ${F[*]} state "$ID" | grep -q running || { echo 'neither saved nor running' && exit 1; }
		rm -rf images
		${F[*]} delete --force "$ID"
	SH
	PATH=$TEST_DIR/fake:$PATH FAKE_CRIU=$TEST_DIR/criu.d drill 12 "${F[@]}" run --detach --bundle "$BUNDLE" "$ID" + \
		"${F[@]}" checkpoint --image-path images "$ID" + + sh "$TEST_DIR/goes-on"
}

# door_cleaner: deletes what is left when the watcher, if there is one, has done its work: nobody knows the container's name.
door_cleaner() {
	cat >"$TEST_DIR/clean" <<-SH
		for _ in {1..50}; do
			[ -n "\$(ls -A '$DOOR' | grep -v seccomp)" ] || exit 0
			read -rt 0.02 _ <> <(:) || true
		done
		for id in \$(ls '$DOOR'); do '$FENCE' delete --force "\$id"; done
	SH
}

@test "the front door" {
	for who in $EVERYONE; do
		become "$who"
		container
		mkdir .git
		give .
		door_cleaner
		drill 40 + "$FENCE" -- sh -c "$probe" + + bash "$TEST_DIR/clean"
	done
}

@test "the front door with a network: closed, or none" {
	host_namespace
	start witness socat TCP-LISTEN:7777,bind=203.0.113.7,fork,reuseaddr SYSTEM:'echo reached'
	wait_for_port 203.0.113.7 7777
	for who in $EVERYONE; do
		become "$who"
		container
		door_cleaner
		drill 100 + "$FENCE" --allow 198.51.100.7 -- bash -c "$probe; timeout 2 bash -c 'cat </dev/tcp/203.0.113.7/7777' 2>/dev/null; echo closed" \
			+ + bash "$TEST_DIR/clean"
	done
}
