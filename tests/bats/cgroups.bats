# cgroups: joined in every hierarchy, limited as asked, on v1, hybrid and v2, and gone afterwards.
# bats file_tags=root
load helpers

CGROUP=/sys/fs/cgroup

unified() {
	[ "$(stat -f -c %T "$CGROUP")" = cgroup2fs ]
}

# A container that is created and waits: its cgroup can be looked at. create [JQ-FILTER]
create() {
	rm -rf "$BUNDLE"
	make_bundle "${1:-.}"
	edit_config --arg path "/$ID" '.linux.cgroupsPath //= $path'
	bundle_args "${command[@]}"
	fence --root "$STATE" create --bundle "$BUNDLE" "$ID" >"$TEST_DIR/create.log" 2>&1
}
command=(cat /dev/zero)

# The console of a detached container is whatever create had; its output is of no interest.
remove() {
	fence --root "$STATE" delete --force "$ID"
}

# directory CONTROLLER: of the container.
directory() {
	if unified; then
		echo "$CGROUP/$ID"
	elif [ -d "$CGROUP/$1/$ID" ]; then
		echo "$CGROUP/$1/$ID"
	else
		echo "$CGROUP/unified/$ID"
	fi
}

# holds V1-CONTROLLER V1-FILE V2-FILE EXPECTED: a file of the container's cgroup.
holds() {
	local file=$2 value
	! unified || file=$3
	value=$(cat "$(directory "$1")/$file")
	[ "$value" = "${*:4}" ] || { echo "$file is $value, not ${*:4}" >&2 && return 1; }
}

# The cgroups of that name which fence has left on purpose. Not by looking through all of them: others come and go meanwhile.
remove_own() {
	local directory
	for directory in $(readlink -e "$CGROUP"/*/"$ID" "$CGROUP/$ID" | sort -u); do
		find "$directory" -depth -type d -exec rmdir {} \;
	done
}

pid_of() {
	fence --root "$STATE" state "$ID" | jq .pid
}

teardown() {
	fence --root "$STATE" delete --force "$ID" 2>/dev/null || true
	common_teardown
}

@test "the container is in its cgroup in every hierarchy, also by exec, and nothing is left" {
	local pid
	create
	pid=$(pid_of)
	while IFS=: read -r _ _ path; do
		[ "$path" = "/$ID" ] || { echo "it is in $path" >&2 && return 1; }
	done <"/proc/$pid/cgroup"
	fence --root "$STATE" start "$ID"
	runs fence --root "$STATE" exec "$ID" sh -c 'cat /proc/self/cgroup'
	[ "$(grep -c ":/$ID\$" <<<"$output")" -eq "${#lines[@]}" ] || complain 'exec should be in the same cgroups'
	remove
	assert_nothing_left
}

@test "memory" {
	create '.linux.resources.memory = { limit: 67108864, reservation: 33554432 }'
	holds memory memory.limit_in_bytes memory.max 67108864
	holds memory memory.soft_limit_in_bytes memory.low 33554432
	remove
	create '.linux.resources.memory = { limit: 67108864, swap: 134217728 }'
	! unified || holds memory - memory.swap.max 67108864
	unified || holds memory memory.memsw.limit_in_bytes - 134217728
	remove
	if ! unified; then
		create '.linux.resources.memory = { limit: -1, swappiness: 7, disableOOMKiller: true, kernel: 50000000, kernelTCP: 50000000 }'
		holds memory memory.swappiness - 7
		grep -q 'oom_kill_disable 1' "$(directory memory)/memory.oom_control"
	fi
}

@test "a process that takes more memory than it may is killed" {
	make_bundle '.linux.resources.memory = { limit: 16777216, swap: 16777216 }'
	bundle_args sh -c 'x=a; while :; do x=$x$x; done'
	edit_config --arg path "/$ID" '.linux.cgroupsPath = $path'
	exits 137 run_bundle
}

@test "processes" {
	make_bundle '.linux.resources.pids.limit = 4'
	edit_config --arg path "/$ID" '.linux.cgroupsPath = $path'
	bundle_args sh -c 'cat /dev/zero & cat /dev/zero & cat /dev/zero & cat /dev/zero & echo all'
	fails run_bundle
	has 'fork'
	hasnt all
	create '.linux.resources.pids.limit = -1'
	holds pids pids.max pids.max max
}

@test "no process more than the first: a limit of 0 is one" {
	make_bundle '.linux.resources.pids.limit = 0'
	edit_config --arg path "/$ID" '.linux.cgroupsPath = $path'
	bundle_args sh -c 'echo first; cat /dev/null; echo second'
	fails run_bundle
	has first
	hasnt second
}

@test "a frozen cgroup that was there is refused and left, not entered for ever" {
	local freezer=$CGROUP/freezer/$ID state=freezer.state frozen=FROZEN
	! unified || { freezer=$CGROUP/$ID state=cgroup.freeze frozen=1; }
	mkdir "$freezer"
	echo "$frozen" >"$freezer/$state"
	fails create
	output=$(cat "$TEST_DIR/create.log")
	has "container's cgroup unexpectedly frozen"
	[ "$(cat "$freezer/$state")" = "$frozen" ]
	rmdir "$freezer"
	[ -z "$(find "$CGROUP" -type d -name "$ID")" ] || complain 'a cgroup is left'
}

@test "on v1, below a cpuset that an engine made and left empty" {
	! unified || skip 'cgroup v2 has no empty cpusets'
	mkdir "$CGROUP/cpuset/$ID"
	create '.linux.cgroupsPath = "/'"$ID"'/inner/most"'
	[ -n "$(cat "$CGROUP/cpuset/$ID/inner/most/cpuset.cpus")" ]
	remove
	remove_own
}

@test "CPU" {
	create '.linux.resources.cpu = { shares: 512, quota: 50000, period: 100000, cpus: "0", mems: "0" }'
	if unified; then
		holds - - cpu.weight 59
		holds - - cpu.max '50000 100000'
	else
		holds cpu cpu.shares - 512
		holds cpu cpu.cfs_quota_us - 50000
		holds cpu cpu.cfs_period_us - 100000
	fi
	holds cpuset cpuset.cpus cpuset.cpus 0
	holds cpuset cpuset.mems cpuset.mems 0
	[ "$(sed -n 's/^Cpus_allowed_list:\t//p' "/proc/$(pid_of)/status")" = 0 ]
	remove
	create '.linux.resources.cpu = { quota: 50000, period: 100000, burst: 1000 }'
	holds cpu cpu.cfs_burst_us cpu.max.burst 1000
	remove
	create '.linux.resources.cpu = { idle: 1 }'
	holds cpu cpu.idle cpu.idle 1
}

@test "a list of CPUs of any length" {
	local list
	list=$(printf '0,%.0s' {1..300})0
	create ".linux.resources.cpu.cpus = \"$list\""
	holds cpuset cpuset.cpus cpuset.cpus 0
	runs fence --root "$STATE" update --cpuset-mems "$list" "$ID"
	remove
}

@test "block i/o" {
	local device
	device=$(cut -d: -f1,2 /sys/block/*/dev | head -n 1)
	require_kernel 'block device' test -n "$device"
	create ".linux.resources.blockIO = {
		throttleReadBpsDevice: [{ major: ${device%:*}, minor: ${device#*:}, rate: 1048576 }],
		throttleWriteIOPSDevice: [{ major: ${device%:*}, minor: ${device#*:}, rate: 100 }] }"
	if unified; then
		grep -q "^$device rbps=1048576 wbps=max riops=max wiops=100" "$(directory io)/io.max"
	else
		holds blkio blkio.throttle.read_bps_device - "$device 1048576"
		holds blkio blkio.throttle.write_iops_device - "$device 100"
	fi
}

@test "huge pages, wherever the controller is" {
	local before
	grep -q '^hugetlb' /proc/cgroups || skip 'this kernel has no hugetlb controller'
	! unified && before=$(cat "$CGROUP/unified/cgroup.subtree_control" 2>/dev/null || true)
	create '.linux.resources.hugepageLimits = [{ pageSize: "2MB", limit: 4194304 }]' || {
		cat "$TEST_DIR/create.log"
		return 1
	}
	cat "$(directory hugetlb)"/hugetlb.2MB.{max,limit_in_bytes} 2>/dev/null | grep -qx 4194304
	remove
	# What had to be enabled for it on the host is set back.
	[ "${before-hugetlb}" = hugetlb ] || echo -hugetlb >"$CGROUP/unified/cgroup.subtree_control"
}

# opens DEVICE-RULES: which of three device nodes the container can open; null: without any resources.
opens() {
	rm -rf "$BUNDLE"
	make_bundle
	edit_config --argjson rules "$1" --arg path "/$ID" '.linux.cgroupsPath = $path |
		(if $rules then .linux.resources.devices = $rules else del(.linux.resources) end) |
		.process.capabilities |= map_values(. + ["CAP_MKNOD"])'
	bundle_args sh -c 'cd /tmp; mknod full c 1 7; mknod kmsg c 1 11; mknod tun c 10 200
		for node in full kmsg tun; do
			(exec 3<$node) 2>/dev/null && printf "r:%s " $node
			(exec 3>$node) 2>/dev/null && printf "w:%s " $node
		done; echo'
	run_bundle
}

@test "devices: denied but for the common ones, allowed as the rules say, a later one overriding" {
	runs opens '[{"allow": false, "access": "rwm"}]'
	is 'r:full w:full '
	runs opens null
	is 'r:full w:full '
	runs opens '[{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 200, "access": "r"}]'
	is 'r:full w:full r:tun '
	runs opens '[{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "access": "rw"}]'
	is 'r:full w:full r:tun w:tun '
	runs opens '[{"allow": false, "access": "rwm"}, {"allow": false, "type": "c", "major": 1, "minor": 7, "access": "w"}]'
	is 'r:full '
	runs opens '[{"allow": true, "access": "rwm"}, {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "rw"}]'
	is 'r:full w:full r:tun w:tun '
	runs opens '[{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 200, "access": "rw"},
		{"allow": false, "type": "c", "major": 10, "access": "w"}]'
	is 'r:full w:full r:tun '
}

@test "devices.list has the rules in the order that they were given in" {
	! unified || skip 'this is cgroup v1'
	create '.linux.resources.devices = [{allow: false, access: "rwm"},
		{allow: true, type: "c", major: 10, minor: 229, access: "rwm"}, {allow: true, type: "b", major: 8, minor: 20, access: "rw"}]'
	[ "$(head -n 2 "$(directory devices)/devices.list")" = $'c 10:229 rwm\nb 8:20 rw' ]
	remove
}

@test "update changes the limits that it names" {
	create '.linux.resources = { memory: { limit: 67108864 }, pids: { limit: 100 }, devices: [{ allow: false, access: "rwm" }] }'
	fence --root "$STATE" update --memory 33554432 "$ID"
	holds memory memory.limit_in_bytes memory.max 33554432
	holds pids pids.max pids.max 100
	echo '{"pids": {"limit": 50}}' >"$TEST_DIR/resources.json"
	give "$TEST_DIR/resources.json"
	fence --root "$STATE" update --resources "$TEST_DIR/resources.json" "$ID"
	holds pids pids.max pids.max 50
	holds memory memory.limit_in_bytes memory.max 33554432
	echo '{"memory": {"limit": 4096, "checkBeforeUpdate": true}}' >"$TEST_DIR/resources.json"
	fails fence --root "$STATE" update --resources "$TEST_DIR/resources.json" "$ID"
	has 'rejecting memory limit: 4096 is less than'
	holds memory memory.limit_in_bytes memory.max 33554432
	# Engines repeat what they know: devices may be among it, but as they are.
	echo '{"pids": {"limit": 60}, "devices": [{"allow": false, "access": "rwm"}]}' >"$TEST_DIR/resources.json"
	runs fence --root "$STATE" update --resources "$TEST_DIR/resources.json" "$ID"
	holds pids pids.max pids.max 60
	echo '{"pids": {"limit": 70}, "devices": [{"allow": true, "access": "rwm"}]}' >"$TEST_DIR/resources.json"
	fails fence --root "$STATE" update --resources "$TEST_DIR/resources.json" "$ID"
	has 'linux.resources.devices'
	holds pids pids.max pids.max 60
}

@test "pause stops every process, resume lets them go on, a paused one can be deleted" {
	command=(sh -c 'cat /dev/zero >/dev/null & cat /dev/zero >/dev/null & wait')
	create
	fence --root "$STATE" start "$ID"
	fence --root "$STATE" pause "$ID"
	runs fence --root "$STATE" state "$ID"
	has '"paused"'
	fence --root "$STATE" resume "$ID"
	runs fence --root "$STATE" state "$ID"
	has '"running"'
	fence --root "$STATE" pause "$ID"
	remove
	assert_nothing_left
}

is_stopped() {
	[ "$(fence --root "$STATE" state "$ID" | jq -r .status)" = stopped ]
}

@test "a kill that fails leaves nothing frozen" {
	! unified || skip 'v2 kills without freezing first'
	require_kernel strace strace --inject=kill:error=EPERM true
	make_bundle
	bundle_args cat /dev/zero
	runs in_host unshare --mount bash -c 'umount /sys/fs/cgroup/unified
		"${@:3}" run --detach --bundle "$1" "$2" >/dev/null 2>&1
		strace -o /dev/null --inject=kill:error=EPERM "${@:3}" kill --all "$2" KILL
		"${@:3}" state "$2"' sh "$BUNDLE" "$ID" "$FENCE" --root "$STATE"
	has 'cannot send signal 9'
	has '"running"'
	remove
}

@test "a paused container can be killed" {
	create
	fence --root "$STATE" start "$ID"
	fence --root "$STATE" pause "$ID"
	runs fence --root "$STATE" kill "$ID" KILL
	wait_until is_stopped
	runs fence --root "$STATE" delete "$ID"
	assert_nothing_left
}

@test "also one that has not been started can be paused, resumed and deleted" {
	command=(true)
	create
	fence --root "$STATE" pause "$ID"
	runs fence --root "$STATE" state "$ID"
	has '"paused"'
	fails fence --root "$STATE" start "$ID"
	runs fence --root "$STATE" resume "$ID"
	runs fence --root "$STATE" state "$ID"
	has '"created"'
	fence --root "$STATE" pause "$ID"
	runs timeout 20 "$FENCE" --root "$STATE" delete --force "$ID"
	assert_nothing_left
}

@test "cgroups that the container made below its own go with it" {
	create
	fence --root "$STATE" start "$ID"
	mkdir -p "$(directory pids)/inner/most"
	remove
	assert_nothing_left
}

has_ended() {
	! kill -0 "$1" 2>/dev/null
}

@test "cgroups that the container made deeper than we may open files" {
	local deep place=$CGROUP/unified/$ID
	deep=$(printf '/d%.0s' {1..100})
	unified || [ -d "$CGROUP/unified" ] || place=$CGROUP/pids/$ID
	! unified || place=$CGROUP/$ID
	create
	mkdir -p "$(directory pids)$deep" "$place$deep"
	tail -f /dev/null 3>&- &
	SERVERS+=("$!")
	echo "$!" >"$place$deep/cgroup.procs"
	runs bash -c 'ulimit -n 50; exec "$@"' sh "$FENCE" --root "$STATE" ps --format json "$ID"
	has "$!"
	runs bash -c 'ulimit -n 50; exec "$@"' sh "$FENCE" --root "$STATE" delete --force "$ID"
	wait_until has_ended "${SERVERS[-1]}"
	assert_nothing_left
}

@test "on v2, who may write the cgroup mount owns the cgroup, but not its limits" {
	local owned user mount='{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}'
	local writable=".mounts += [$mount] | .linux.namespaces += [{\"type\": \"cgroup\"}]"
	user='.linux.namespaces += [{"type": "user"}] | .linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] |
		.linux.gidMappings = .linux.uidMappings'
	require_kernel 'cgroup v2 alone' unified
	create "$writable | $user | .linux.resources.memory.limit = 67108864"
	owned=$(cd "$(directory memory)" && find . -maxdepth 1 -uid 100000 ! -name 'memory.*' | sort | paste -s -d ' ')
	[ "$owned" = '. ./cgroup.procs ./cgroup.subtree_control ./cgroup.threads' ]
	fence --root "$STATE" start "$ID"
	runs fence --root "$STATE" exec "$ID" sh -c 'mkdir /sys/fs/cgroup/below && echo $$ >/sys/fs/cgroup/below/cgroup.procs && echo done
		(echo max >/sys/fs/cgroup/memory.max) 2>/dev/null || echo limited'
	is $'done\nlimited'
	remove
	create "$writable | .process.user.uid = 1234"
	[ "$(stat -c %u "$(directory memory)")" = 1234 ]
	remove
	create "$writable | $user | .mounts[-1].options = [\"ro\"]"
	[ "$(stat -c %u "$(directory memory)")" = 0 ]
	remove
	create "$user | .mounts += [$mount]" # without a cgroup namespace
	[ "$(stat -c %u "$(directory memory)")" = 0 ]
}

@test "kill --all reaches processes that share no pid namespace with the first" {
	command=(sh -c 'setsid cat /dev/zero >/dev/null & cat /dev/zero >/dev/null')
	create '.linux.namespaces |= map(select(.type != "pid"))'
	fence --root "$STATE" start "$ID"
	wait_until test "$(wc -l <"$(directory pids)/cgroup.procs")" -ge 2
	fence --root "$STATE" kill --all "$ID" KILL
	wait_until sh -c '! [ -s "$1/cgroup.procs" ]' sh "$(directory pids)"
	remove
	assert_nothing_left
}

@test "a cgroup that has processes is shared, not taken over: neither killed nor removed" {
	local other shared
	# A process of ours in a cgroup of that name.
	for shared in "$CGROUP" "$CGROUP"/*/; do
		[ -e "$shared/cgroup.procs" ] || continue
		[ ! -e "$shared/cgroup.type" ] || ! unified || continue
		mkdir "$shared/$ID"
		[ ! -e "$shared/cpuset.cpus" ] || cat "$shared/cpuset.cpus" >"$shared/$ID/cpuset.cpus"
		[ ! -e "$shared/cpuset.mems" ] || cat "$shared/cpuset.mems" >"$shared/$ID/cpuset.mems"
	done
	start other cat /dev/zero
	other=$STARTED
	echo "$other" >"$(directory pids)/cgroup.procs"
	create
	fence --root "$STATE" delete --force "$ID"
	kill -0 "$other"
	[ -d "$(directory pids)" ]
	stop "$other"
	remove_own
}

@test "a relative path is below our own cgroup, and deleted from wherever delete runs" {
	local name=$ID
	create ".linux.cgroupsPath = \"$name/deep\""
	[ "$(find "$CGROUP" -type d -path "*/$name/deep" | wc -l)" -ge 1 ]
	remove
	[ -z "$(find "$CGROUP" -type d -path "*/$name/deep")" ]
	find "$CGROUP" -depth -type d -name "$name" -exec rmdir {} + 2>/dev/null || true # others' come and go meanwhile
	[ -z "$(find "$CGROUP" -type d -name "$name" 2>/dev/null)" ] || complain 'a cgroup is left'
}

@test "what cannot be limited is an error that names it, and leaves nothing" {
	local filter fragment
	while IFS='|' read -r filter fragment; do
		fails create ".linux.resources = $filter"
		output=$(cat "$TEST_DIR/create.log")
		has "$fragment"
		[ -z "$(find "$CGROUP" -type d -name "$ID")" ] || complain 'a cgroup is left'
	done <<-'CASES'
		{"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}|linux.resources.hugepageLimits[0]
		{"rdma": {"no_such_device": {"hcaHandles": 3}}}|linux.resources.rdma
		{"unified": {"no.such.file": "1"}}|linux.resources.unified
		{"unified": {"../cgroup.procs": "1"}}|is not the name of a cgroup file
		{"cpu": {"cpus": "4095"}}|linux.resources.cpu.cpus
		{"memory": {"limit": 67108864, "swap": 1000}}|linux.resources.memory.swap
		{"blockIO": {"throttleReadBpsDevice": [{"major": 4000, "minor": 1, "rate": 1}]}}|linux.resources.blockIO.throttleReadBpsDevice
	CASES
}

@test "an ordinary user without a delegated cgroup: no limits, no cgroup; limits are refused aloud" {
	become user
	create
	fence --root "$STATE" start "$ID"
	runs fence --root "$STATE" exec "$ID" echo inside
	is inside
	remove
	edit_config '.linux.resources.pids.limit = 10'
	fails run_bundle
	has linux.resources.pids.limit
	assert_nothing_left
}
