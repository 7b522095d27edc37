# What `process` says about the process itself: user, capabilities, limits, scheduling, labels, the executable.
load helpers

# configured FILTER COMMAND: runs the shell line in a fresh bundle that the jq filter has changed.
configured() {
	rm -rf "$BUNDLE"
	make_bundle "$1"
	bundle_args sh -c "$2"
	run_bundle
}

capability_set() {
	printf '%s' "$1" | jq -c '{ bounding: ., effective: ., permitted: ., inheritable: [], ambient: [] }'
}

@test "the five capability sets are as asked" {
	runs configured '.process.capabilities = {
			bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], permitted: ["CAP_CHOWN", "CAP_KILL"],
			effective: ["CAP_CHOWN"], inheritable: ["CAP_NET_RAW"] }' 'grep ^Cap /proc/self/status'
	has $'CapBnd:\t0000000000002021'
	# exec(2) as root gives every capability of the bounding set; the sets themselves are seen without root's privilege.
	runs configured '.process.user = { uid: 1000, gid: 1000 } | .process.capabilities = {
			bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], permitted: ["CAP_CHOWN", "CAP_KILL"],
			effective: ["CAP_CHOWN"], inheritable: ["CAP_KILL"], ambient: ["CAP_KILL"] }' 'grep ^Cap /proc/self/status'
	has $'CapInh:\t0000000000000020'
	has $'CapPrm:\t0000000000000020'
	has $'CapEff:\t0000000000000020'
	has $'CapBnd:\t0000000000002021'
	has $'CapAmb:\t0000000000000020'
}

@test "no capabilities in config.json: none, in no set" {
	for who in $EVERYONE; do
		become "$who"
		runs configured 'del(.process.capabilities)' 'grep ^Cap /proc/self/status'
		[ "$(grep -c $'\t0000000000000000$' <<<"$output")" -eq 5 ] || complain 'all five should be empty'
	done
}

# bats test_tags=user
@test "a user namespace's root has no more than was asked" {
	become user
	runs configured . 'grep ^CapBnd /proc/self/status; hostname changed || true'
	has $'CapBnd:\t0000000020000420'
	has 'Operation not permitted'
}

@test "capabilities: mistakes are told" {
	# The specification: a warning, and no failure.
	runs configured '.process.capabilities.bounding += ["CAP_NET_ADMlN", "CAP_FLY"]' 'grep ^CapBnd /proc/self/status'
	has 'CAP_NET_ADMlN (did you mean CAP_NET_ADMIN?), CAP_FLY'
	has $'CapBnd:\t0000000020000420'
	fails configured '.process.capabilities.effective += ["CAP_CHOWN"]' true
	has 'process.capabilities.effective: CAP_CHOWN is not in process.capabilities.permitted'
}

@test "an ambient capability that is not inheritable is left out, as the kernel has it" {
	runs configured '.process.user = { uid: 1000, gid: 1000 } | .process.capabilities.ambient = ["CAP_KILL"]' \
		'grep ^CapAmb /proc/self/status'
	has $'CapAmb:\t0000000000000000'
	has "can't raise ambient capability CAP_KILL: not inheritable"
}

# bats test_tags=root
@test "a capability that the host cannot grant is left out, and said" {
	local bounding lacking
	bounding=$((16#$(sed -n 's/^CapBnd:\t//p' /proc/self/status)))
	[ $((bounding >> 24 & 1)) -eq 0 ] || skip 'this host grants CAP_SYS_RESOURCE'
	lacking=$(capability_set '["CAP_CHOWN", "CAP_SYS_RESOURCE"]')
	runs configured ".process.capabilities = $lacking" 'grep ^CapEff /proc/self/status'
	has $'CapEff:\t0000000000000001'
	has CAP_SYS_RESOURCE
}

@test "user, groups, umask" {
	runs configured '.process.user = { uid: 1000, gid: 1001, additionalGids: [20, 30], umask: 23 }' 'id -u; id -G; umask'
	is $'1000\n1001 20 30\n0027'
	become user
	fails configured '.linux.gidMappings |= .[:1] | .process.user.additionalGids = [5]' true
	has 'process.user.additionalGids'
	fails configured '.linux.uidMappings |= .[:1] | .process.user.uid = 7' true
	has 'process.user.uid'
}

# As on a network file system, or in FUSE, where root is nobody in particular.
# bats test_tags=root
@test "a working directory that only the container's user may enter" {
	make_bundle '.process.user = {"uid": 1000, "gid": 1000} | .process.cwd = "/home/private"'
	mkdir -m 700 "$BUNDLE/rootfs/home/private"
	chown 1000:1000 "$BUNDLE/rootfs/home/private"
	bundle_args pwd
	runs in_host setpriv --bounding-set=-dac_override,-dac_read_search \
		"$FENCE" --root "$STATE" --cgroup-manager disabled run --bundle "$BUNDLE" "$ID"
	is /home/private
	edit_config '.process.user = {"uid": 1001, "gid": 1001}'
	fails in_host setpriv --bounding-set=-dac_override,-dac_read_search \
		"$FENCE" --root "$STATE" --cgroup-manager disabled run --bundle "$BUNDLE" "$ID"
	has 'cannot enter process.cwd: /home/private: Permission denied'
	assert_nothing_left
}

@test "rlimits" {
	runs configured '.process.rlimits = [ { type: "RLIMIT_NOFILE", soft: 100, hard: 200 },
			{ type: "RLIMIT_CORE", soft: 0, hard: 0 } ]' 'ulimit -Sn; ulimit -Hn; ulimit -c'
	is $'100\n200\n0'
	become user
	fails configured '.process.rlimits = [ { type: "RLIMIT_NOFILE", soft: 1, hard: 9007199254740992 } ]' true
	has 'process.rlimits[0]'
	has RLIMIT_NOFILE
	fails configured '.process.rlimits = [ { type: "RLIMIT_NOFILE", soft: 300, hard: 200 } ]' true
	has 'process.rlimits[0]'
}

@test "a hard limit that cannot be raised: the message says how far" {
	become user
	fails configured '.process.rlimits = [ { type: "RLIMIT_NPROC", soft: 1, hard: 4194305 } ]' true
	has 'process.rlimits[0]: cannot raise the hard limit of RLIMIT_NPROC'
	has 'ask for at most '
}

@test "OOM score" {
	runs configured '.process.oomScoreAdj = 333' 'cat /proc/self/oom_score_adj'
	is 333
	become user
	fails configured '.process.oomScoreAdj = -900' true
	has 'process.oomScoreAdj: cannot set it to -900'
}

@test "CPU scheduler" {
	runs configured '.process.scheduler = { policy: "SCHED_BATCH", nice: 5 }' 'cut -d" " -f19,41 /proc/self/stat'
	is '5 3'
	runs configured '.process.scheduler = { policy: "SCHED_OTHER", nice: 7, flags: ["SCHED_FLAG_RESET_ON_FORK"] }' \
		'read -r line </proc/self/stat; echo "$line" | cut -d" " -f19,41'
	is '7 0'
	fails configured '.process.scheduler = { policy: "SCHED_ISO" }' true
	has 'process.scheduler: cannot set SCHED_ISO'
	if [ "$who" = root ] && [ "$(nproc)" -gt 1 ]; then # and CPU 0 is not all that there are
		fails configured '.process.scheduler = { policy: "SCHED_DEADLINE", runtime: 42000, deadline: 100000, period: 1000000 } |
			.linux.resources.cpu.cpus = "0"' true
		has AllowedCPUs
	fi
	become user
	fails configured '.process.scheduler = { policy: "SCHED_FIFO", priority: 10 }' true
	has 'process.scheduler: cannot set SCHED_FIFO'
	has CAP_SYS_NICE
	hasnt AllowedCPUs
}

@test "I/O priority" {
	runs configured '.process.ioPriority = { class: "IOPRIO_CLASS_BE", priority: 6 }' ionice
	is 'best-effort: prio 6'
	runs configured '.process.ioPriority = { class: "IOPRIO_CLASS_IDLE", priority: 0 }' ionice
	is idle
	fails configured '.process.ioPriority = { class: "IOPRIO_CLASS_BE", priority: 8 }' true
	has 'process.ioPriority.priority'
}

@test "personality" {
	runs configured '.linux.personality = { domain: "LINUX32" }' 'cat /proc/self/personality'
	is 00000008
	fails configured '.linux.personality = { domain: "LINUX", flags: ["ADDR_NO_RANDOMIZE"] }' true
	has 'linux.personality.flags[0]'
}

@test "memory policy" {
	require_kernel 'NUMA' test -e /proc/self/numa_maps
	runs configured '.linux.memoryPolicy = { mode: "MPOL_BIND", nodes: "0" }' 'cat /proc/self/numa_maps'
	has ' bind:0 '
	runs configured '.linux.memoryPolicy = { mode: "MPOL_INTERLEAVE", nodes: "0", flags: ["MPOL_F_STATIC_NODES"] }' \
		'cat /proc/self/numa_maps'
	has 'interleave=static:0'
	fails configured '.linux.memoryPolicy = { mode: "MPOL_BIND", nodes: "900" }' true
	has 'linux.memoryPolicy: cannot set MPOL_BIND with nodes "900"'
	fails configured '.linux.memoryPolicy = { mode: "MPOL_BIND", nodes: "0-" }' true
	has 'linux.memoryPolicy.nodes: "0-" has an invalid memory policy node'
	fails configured '.linux.memoryPolicy = { mode: "MPOL_DEFAULT", nodes: "0-7" }' true
	has 'MPOL_DEFAULT mode requires 0 nodes but got 8'
}

@test "labels: without the LSM they are an error, unconfined is nothing" {
	[ ! -e /sys/module/apparmor ] || skip 'this host has AppArmor'
	[ ! -e /sys/fs/selinux/enforce ] || skip 'this host has SELinux'
	runs configured '.process.apparmorProfile = "unconfined"' true
	fails configured '.process.apparmorProfile = "fence-no-such-profile"' true
	has 'process.apparmorProfile: cannot use "fence-no-such-profile"'
	fails configured '.process.selinuxLabel = "system_u:system_r:container_t:s0"' true
	has 'process.selinuxLabel: cannot use "system_u:system_r:container_t:s0"'
}

@test "the executable: found by PATH, missing 127, not executable 126" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle
		bundle_args no-such-program
		exits 127 run_bundle
		has 'executable file `no-such-program` not found in $PATH: No such file or directory'
		bundle_args /etc/passwd
		exits 126 run_bundle
		has 'Permission denied'
		bundle_args /etc
		exits 126 run_bundle
		has 'Permission denied'
		printf '%s\n' '#!/no/such/shell' >"$BUNDLE/rootfs/run.sh"
		chmod +x "$BUNDLE/rootfs/run.sh"
		bundle_args /run.sh
		exits 127 run_bundle
		is 'fence: exec /run.sh: no such file or directory'
		edit_config '.process.env = ["PATH=/nowhere", "PATH=/nowhere:/bin"]'
		bundle_args true
		runs run_bundle
	done
}
