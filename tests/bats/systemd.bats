# The systemd cgroup driver: a scope that systemd makes, limits and removes, for root and for an ordinary user who is logged in.
load helpers

has_systemd() {
	[ -S /run/systemd/private ]
}

setup() {
	common_setup
	SCOPE=fence-$ID.scope
}

teardown() {
	fence --root "$STATE" delete --force "$ID" 2>/dev/null || true
	systemctl stop "$SCOPE" 2>/dev/null || true
	common_teardown
}

# The user is logged in for as long as the machine runs the tests.
log_in() {
	local uid
	uid=$(id -u "$TEST_USER")
	loginctl enable-linger "$TEST_USER"
	wait_until test -S "/run/user/$uid/systemd/private"
	export XDG_RUNTIME_DIR=/run/user/$uid
}

# create [JQ-FILTER]: a container that waits, in $SCOPE.
create() {
	rm -rf "$BUNDLE"
	make_bundle "${1:-.}"
	edit_config --arg path "$(slice):fence:$ID" '.linux.cgroupsPath //= $path'
	bundle_args cat /dev/zero
	fence --root "$STATE" --systemd-cgroup create --bundle "$BUNDLE" "$ID" >"$TEST_DIR/create.log" 2>&1 ||
		{ cat "$TEST_DIR/create.log" && return 1; }
}

slice() {
	if [ "$who" = root ]; then echo system.slice; else echo user.slice; fi
}

remove() {
	fence --root "$STATE" delete --force "$ID"
	runs manager is-active "$SCOPE" || true
	is inactive
}

# The system's systemctl, or the user's.
manager() {
	if [ "$who" = root ]; then systemctl "$@"; else as_user systemctl --user "$@"; fi
}

# shows PROPERTY VALUE: of the scope.
shows() {
	local value
	value=$(manager show --property "$1" --value "$SCOPE")
	[ "$value" = "$2" ] || { echo "$1 is $value, not $2" >&2 && return 1; }
}

# holds FILE VALUE: of the scope's cgroup, v2.
holds() {
	local value
	value=$(cat "/sys/fs/cgroup/$(manager show --property ControlGroup --value "$SCOPE")/$1")
	[ "$value" = "$2" ] || { echo "$1 is $value, not $2" >&2 && return 1; }
}

pid_of() {
	fence --root "$STATE" state "$ID" | jq .pid
}

# bats test_tags=root
@test "without systemd, --systemd-cgroup is one clear error, and nothing is left" {
	# A mount namespace without the socket, where there is one.
	make_bundle '.linux.cgroupsPath = "system.slice:fence:x"'
	exits 1 in_host unshare -m sh -c 'test ! -d /run/systemd || mount -t tmpfs none /run/systemd; exec "$@"' sh \
		"$FENCE" --root "$STATE" --systemd-cgroup run --bundle "$BUNDLE" "$ID"
	has 'no systemd runs here'
	[ "${#lines[@]}" = 1 ]
	become user
	make_bundle
	exits 1 fence --root "$STATE" --systemd-cgroup run --bundle "$BUNDLE" "$ID"
	has "no systemd of this user's runs here"
	assert_nothing_left
}

# bats test_tags=root
@test "a path that is not slice:prefix:name is refused" {
	local path
	require_kernel 'systemd (make check-vm has)' has_systemd
	for path in /a/b a:b x.service:a:b system.slice:a:b.slice a--b.slice:c:d; do
		make_bundle ".linux.cgroupsPath = \"$path\""
		fails fence --root "$STATE" --systemd-cgroup run --bundle "$BUNDLE" "$ID"
		has linux.cgroupsPath
	done
	assert_nothing_left
}

@test "a container is in its scope, also by exec, and the scope goes with it" {
	require_kernel 'systemd (make check-vm has)' has_systemd
	for who in $EVERYONE; do
		become "$who"
		[ "$who" = root ] || log_in
		create
		shows ActiveState active
		shows Delegate yes
		shows Slice "$(slice)"
		grep -q "/$(slice)/$SCOPE\$" "/proc/$(pid_of)/cgroup"
		[ "$(fence --root "$STATE" ps "$ID" | wc -l)" = 2 ] # the heading, and no process that kept the place
		fence --root "$STATE" start "$ID"
		runs fence --root "$STATE" exec "$ID" cat /proc/self/cgroup
		has "/$(slice)/$SCOPE"
		fence --root "$STATE" pause "$ID"
		runs fence --root "$STATE" state "$ID"
		has '"paused"'
		remove
		XDG_RUNTIME_DIR=${LOGIN:-$WORK} assert_nothing_left # a login session's has more in it
	done
}

@test "the scope ends by itself when the container's processes have" {
	require_kernel 'systemd (make check-vm has)' has_systemd
	create
	fence --root "$STATE" start "$ID"
	fence --root "$STATE" kill "$ID" KILL
	wait_until eval '! systemctl --quiet is-active "$SCOPE"'
	fence --root "$STATE" delete "$ID"
	assert_nothing_left
}

# bats test_tags=root
@test "without a path: fence-ID.scope in system.slice; nested slices by their names" {
	require_kernel 'systemd (make check-vm has)' has_systemd
	make_bundle
	bundle_args cat /proc/self/cgroup
	runs fence --root "$STATE" --systemd-cgroup run --bundle "$BUNDLE" "$ID"
	has "/system.slice/fence-$ID.scope"
	edit_config '.linux.cgroupsPath = "fence-test-deep.slice::inner"'
	runs fence --root "$STATE" --cgroup-manager systemd run --bundle "$BUNDLE" "$ID"
	has "/fence.slice/fence-test.slice/fence-test-deep.slice/inner.scope"
	systemctl stop fence.slice
	assert_nothing_left
}

# bats test_tags=root
@test "limits are the scope's properties, and in the cgroup's files, also after a reload and update" {
	require_kernel 'systemd (make check-vm has)' has_systemd
	require_kernel 'cgroup v2 alone' test -e /sys/fs/cgroup/cgroup.controllers
	create '.linux.resources = { memory: { limit: 67108864, reservation: 33554432, swap: 134217728 }, pids: { limit: 50 },
		cpu: { shares: 512, quota: 50000, period: 100000, cpus: "0", mems: "0" }, unified: { "memory.high": "50331648" } }'
	shows MemoryMax 67108864
	shows MemoryLow 33554432
	shows MemorySwapMax 67108864
	shows MemoryHigh 50331648
	shows TasksMax 50
	shows CPUQuotaPerSecUSec 500ms
	shows AllowedCPUs 0
	systemctl daemon-reload
	fence --root "$STATE" update --memory 33554432 --pids-limit 20 --cpu-quota 33333 "$ID"
	shows MemoryMax 33554432
	shows TasksMax 20
	shows CPUQuotaPerSecUSec 340ms # in steps of 10 ms
	holds cpu.max '34000 100000'   # the same before and after systemd writes it
	systemctl daemon-reload
	holds cpu.max '34000 100000'
	holds memory.max 33554432
	holds memory.swap.max 67108864
	holds pids.max 20
	holds cpuset.cpus 0
	fence --root "$STATE" update --cpu-period 50000 "$ID"
	fence --root "$STATE" update --cpu-quota -1 "$ID"
	holds cpu.max 'max 50000'
	fence --root "$STATE" update --pids-limit -1 "$ID"
	shows TasksMax infinity
	holds pids.max max
	fence --root "$STATE" update --memory -1 "$ID" # and so on swap
	shows MemorySwapMax infinity
	systemctl daemon-reload
	holds memory.swap.max max
	remove
	assert_nothing_left
}

# bats test_tags=root
# bats test_tags=root
@test "cpu.max of unified is the scope's, too" {
	require_kernel 'systemd (make check-vm has)' has_systemd
	require_kernel 'cgroup v2 alone' test -e /sys/fs/cgroup/cgroup.controllers
	create '.linux.resources = { cpu: { quota: 40000 }, unified: { "cpu.max": "5000 50000", "cpu.weight": "42" } }'
	shows CPUQuotaPerSecUSec 100ms
	shows CPUQuotaPeriodUSec 50ms
	shows CPUWeight 42
	systemctl daemon-reload
	holds cpu.max '5000 50000'
	echo '{ "unified": { "cpu.max": "max 100000" } }' | fence --root "$STATE" update --resources - "$ID"
	shows CPUQuotaPerSecUSec infinity
	holds cpu.max 'max 100000'
	remove
	assert_nothing_left
}

# bats test_tags=root
# bats test_tags=root
@test "what is idle stays so, whatever systemd writes, until it is given a weight" {
	require_kernel 'systemd (make check-vm has)' has_systemd
	require_kernel 'cpu.idle (cgroup v2, Linux 5.15)' test -e /sys/fs/cgroup/init.scope/cpu.idle
	create '.linux.resources.cpu = { idle: 1 }'
	holds cpu.idle 1
	systemctl daemon-reload
	fence --root "$STATE" update --cpu-quota 50000 "$ID"
	holds cpu.idle 1
	fence --root "$STATE" update --cpu-idle 0 "$ID"
	systemctl daemon-reload
	holds cpu.idle 0
	holds cpu.weight 100
	runs fence --root "$STATE" update --cpu-idle 1 --cpu-share 512 "$ID"
	has 'unable to apply both'
	echo '{ "unified": { "cpu.idle": "1", "cpu.weight": "8" } }' >"$WORK/resources"
	runs fence --root "$STATE" update --resources "$WORK/resources" "$ID"
	has 'unable to apply both'
	fails fence --root "$STATE" update --cpu-idle 2 "$ID"
	holds cpu.idle 1
	fence --root "$STATE" update --cpu-share 512 "$ID"
	holds cpu.idle 0
	shows CPUWeight 59
	remove
	assert_nothing_left
}

# bats test_tags=root
# bats test_tags=root
@test "a limit below what is used is refused before systemd sets it" {
	require_kernel 'systemd (make check-vm has)' has_systemd
	create '.linux.resources.memory.limit = 67108864'
	fails fence --root "$STATE" update --resources - "$ID" <<<'{ "memory": { "limit": 4096, "checkBeforeUpdate": true } }'
	has 'linux.resources.memory.limit: rejecting memory limit: 4096 is less than'
	fails fence --root "$STATE" update --resources - "$ID" <<<'{ "memory": { "limit": 2048, "swap": 4096, "checkBeforeUpdate": true } }'
	has 'linux.resources.memory.'
	runs fence --root "$STATE" state "$ID"
	has '"created"'
	shows MemoryMax 67108864
	remove
	assert_nothing_left
}

# bats test_tags=root
@test "devices stay denied after systemd was reloaded" {
	require_kernel 'systemd (make check-vm has)' has_systemd
	create '.linux.resources.devices = [{"allow": false, "access": "rwm"}] |
		.process.capabilities |= map_values(. + ["CAP_MKNOD", "CAP_SYSLOG"])'
	fence --root "$STATE" start "$ID"
	systemctl daemon-reload
	systemctl set-property --runtime "$SCOPE" TasksMax=40
	runs fence --root "$STATE" exec "$ID" sh -c 'cd /tmp; mknod full c 1 7; mknod kmsg c 1 11
		(exec 3<full) && echo full; (exec 3<kmsg) 2>/dev/null || echo denied'
	is $'full\ndenied'
	# Where systemd has a list of its own, it is told.
	[ -e /sys/fs/cgroup/cgroup.controllers ] || shows DevicePolicy strict
	remove
	create '.linux.resources.devices = [{"allow": true, "access": "rwm"}] |
		.process.capabilities |= map_values(. + ["CAP_MKNOD", "CAP_SYSLOG"])'
	fence --root "$STATE" start "$ID"
	[ -e /sys/fs/cgroup/cgroup.controllers ] || shows DevicePolicy auto
	systemctl daemon-reload
	systemctl set-property --runtime "$SCOPE" TasksMax=41
	runs fence --root "$STATE" exec "$ID" sh -c 'mknod /tmp/kmsg c 1 11; (exec 3</tmp/kmsg) && echo open'
	is open
}

@test "properties by annotation" {
	require_kernel 'systemd (make check-vm has)' has_systemd
	create '.annotations = { "org.systemd.property.TimeoutStopUSec": "uint64 7000000", "org.systemd.property.RuntimeMaxSec": "3600",
		"org.systemd.property.Description": "'"'it is mine'"'", "org.systemd.property.Documentation": "[\"man:a(1)\", \"man:b(1)\"]",
		"org.systemd.property.SendSIGHUP": "true" }'
	shows TimeoutStopUSec 7s
	shows RuntimeMaxUSec 1h
	shows Description 'it is mine'
	shows Documentation '"man:a(1)" "man:b(1)"'
	shows SendSIGHUP yes
	remove
	fails create '.annotations = { "org.systemd.property.SendSIGHUP": "maybe" }'
	has 'org.systemd.property.SendSIGHUP: "maybe" is not a value'
	fails create '.annotations = { "org.systemd.property.NoSuchThing": "true" }'
	has NoSuchThing
	assert_nothing_left
}

# bats test_tags=root
@test "a scope of that name that is somebody else's is left alone, as is a frozen cgroup" {
	local other=/sys/fs/cgroup/$(slice)/$SCOPE
	require_kernel 'systemd (make check-vm has)' has_systemd
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		mkdir "$other"
		echo 1 >"$other/cgroup.freeze"
		fails create
		has "container's cgroup unexpectedly frozen"
		[ "$(cat "$other/cgroup.freeze")" = 1 ]
		rmdir "$other"
	fi
	start other systemd-run --scope --unit "$SCOPE" cat /dev/zero
	wait_until systemctl --quiet is-active "$SCOPE"
	fails create
	has "$SCOPE"
	systemctl --quiet is-active "$SCOPE"
	systemctl stop "$SCOPE"
	assert_nothing_left
}
