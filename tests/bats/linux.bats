# Properties of `linux` in config.json that concern a resource of the host's: network devices, cache and bandwidth classes.
# bats file_tags=root
load helpers

oci() {
	fence --root "$STATE" "$@"
}

# --- linux.netDevices ---

# On the test's host: veth0, with addresses, and its peer.
make_devices() {
	host_namespace
	in_host sh -ec '
		ip link add veth0 mtu 1400 address 02:00:00:00:00:07 type veth peer name peer0
		ip address add 192.0.2.9/24 brd 192.0.2.255 dev veth0
		ip address add 169.254.7.7/16 scope link dev veth0
		ip -6 address add 2001:db8::9/64 nodad dev veth0
		ip link set peer0 up'
	make_bundle "$@"
}

inside() {
	bundle_args sh -c "$1"
	runs run_bundle
}

@test "a network device moves into the container, with what it has" {
	make_devices '.linux.netDevices = {"veth0": {}}'
	inside 'ip address show dev veth0'
	has ',UP'
	has 'mtu 1400'
	has 'link/ether 02:00:00:00:00:07'
	has 'inet 192.0.2.9/24 brd 192.0.2.255 scope global veth0'
	has 'inet6 2001:db8::9/64 scope global'
	hasnt 169.254.7.7
	fails in_host ip link show veth0 # with the namespace it has ended
	assert_nothing_left
}

@test "a network device gets another name, by a template too, in a namespace that is joined" {
	local namespace=$TEST_DIR/namespace
	make_devices '.linux.netDevices = {"veth0": {"name": "inner%d"}, "peer0": {"name": "eth7"}}'
	: >"$namespace"
	# It has devices already, one by a number and a name that would be taken.
	in_host unshare --net="$namespace" sh -ec 'ip link add inner0 index 2 type veth peer name other0 index 3'
	in_host nsenter --net="$namespace" ip link >"$TEST_DIR/before"
	edit_config --arg path "$namespace" '.linux.namespaces |= map(if .type == "network" then .path = $path else . end)'
	inside 'ip -o link'
	has 'inner1@'
	has 'eth7@'
	fails in_host ip link show veth0
	# They stay in the namespace, which is not the container's own.
	runs in_host nsenter --net="$namespace" ip -o link
	has 'inner1@'
	in_host umount "$namespace"
	assert_nothing_left
}

@test "a network device that cannot be moved, and then none is" {
	make_devices '.linux.netDevices = {"veth0": {"name": "eth0"}, "nowhere0": {}}'
	fails run_bundle
	has 'linux.netDevices: nowhere0: No such device'
	edit_config '.linux.netDevices = {"peer0": {}, "veth0": {"name": "lo"}}'
	fails run_bundle
	has 'linux.netDevices: veth0: the container has a device lo already'
	edit_config '.linux.netDevices = {"lo": {"name": "lo7"}}'
	fails run_bundle
	has 'linux.netDevices: lo: cannot move it'
	edit_config '.linux.netDevices = {"veth0": {"name": "a/b"}}'
	fails run_bundle
	has 'is not a name for a network interface'
	edit_config '.linux.netDevices = {"veth0": {}} | .linux.namespaces |= map(select(.type != "network"))'
	fails run_bundle
	has 'linux.netDevices: there is no network namespace for it'
	runs in_host ip link show veth0
	runs in_host ip link show peer0
	become user
	make_bundle '.linux.netDevices = {"veth0": {}}'
	fails run_bundle
	has 'linux.netDevices: cannot enter the container'
	assert_nothing_left
}

# --- linux.intelRdt ---

# on_resctrl CMD…: where /sys/fs/resctrl is a directory that does as the kernel's would. One that fence makes gets its files from a loop,
# for which mkdirat(2) takes its time.
on_resctrl() {
	export BUNDLE TEST_DIR
	in_host unshare --mount --propagation private bash -ec '
		mkdir -p "$1/cgroup"
		mount --rbind /sys/fs/cgroup "$1/cgroup"
		mount -t tmpfs tmpfs /sys/fs
		mkdir /sys/fs/cgroup /sys/fs/resctrl
		mount --rbind "$1/cgroup" /sys/fs/cgroup
		cd /sys/fs/resctrl
		mkdir -p info mon_groups given/mon_groups
		touch tasks given/tasks schemata
		printf "    L3:0=ff;1=ff\n    MB:0=100\n" >given/schemata
		made=
		while :; do
			for directory in */ */mon_groups/*/; do
				case $directory$made in
				*"*"* | *"$directory "* | info/ | mon_groups/ | given/) ;;
				*/mon_groups/*) [ -e "$directory/tasks" ] || >"$directory/tasks" && made+=" $directory " ;;
				*) [ -e "$directory/tasks" ] || { >"$directory/schemata" && >"$directory/tasks" && made+=" $directory "; } ;;
				esac
			done
			read -rt 0.01 _ <> <(:) || true
		done 2>/dev/null &
		trap "kill $!" EXIT
		shift
		"$@"' bash "$TEST_DIR" "$@"
}

slow_mkdir=(strace -f -qq -o /dev/null -e trace=mkdirat -e inject=mkdirat:delay_exit=500000)

@test "intelRdt: a class of the container's own, with its schemata; a monitoring group" {
	make_bundle '.mounts += [{"destination": "/tmp", "source": "/sys/fs/resctrl", "options": ["rbind"]}]' \
		'.linux.intelRdt = {"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20", "schemata": ["L2:0=3"]}'
	# As the rmdir of the kernel does, it takes the files away.
	bundle_args sh -c "cd /tmp/$ID && cat schemata && grep -c . tasks && rm schemata tasks"
	runs on_resctrl bash -ec '"$@"; ls' bash "${slow_mkdir[@]}" "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	is $'L3:0=f\nMB:0=20\nL2:0=3\n1\ngiven\ninfo\nmon_groups\nschemata\ntasks'
	edit_config '.linux.intelRdt = {"closID": "given", "enableMonitoring": true}'
	bundle_args sh -c "cd /tmp/given/mon_groups/$ID && grep -c . tasks ../../tasks && rm tasks"
	runs on_resctrl bash -ec '"$@"; ls given/mon_groups' bash "${slow_mkdir[@]}" "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	is $'tasks:1\n../../tasks:1'
	assert_nothing_left
}

@test "intelRdt: a class that is there must be as the config says; exec joins it" {
	make_bundle '.linux.intelRdt = {"closID": "given", "l3CacheSchema": "L3:0=ff;1=ff", "memBwSchema": "MB:0=100"}'
	bundle_args sleep 100
	runs on_resctrl bash -ec '
		"$3" --root "$1" run --detach --bundle "$BUNDLE" "$2" >/dev/null 2>&1
		cat given/tasks
		"$3" --root "$1" state "$2" | jq .pid
		"$3" --root "$1" exec --pid-file "$TEST_DIR/pid" "$2" true
		cat given/tasks "$TEST_DIR/pid" && echo
		"$3" --root "$1" delete --force "$2"
		ls given' bash "$STATE" "$ID" "$FENCE"
	[ "${lines[0]}" = "${lines[1]}" ]
	[ "${lines[2]}" = "${lines[3]}" ] # by exec
	has schemata
	edit_config '.linux.intelRdt.memBwSchema = "MB:0=10"'
	fails on_resctrl "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	has 'linux.intelRdt: MB:0=10 is not what the class given'
	edit_config '.linux.intelRdt = {"closID": "nowhere"}'
	fails on_resctrl "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	has 'linux.intelRdt.closID: /sys/fs/resctrl/nowhere: No such file'
	for name in .. info a/b; do
		edit_config --arg name "$name" '.linux.intelRdt = {"closID": $name, "schemata": ["L3:0=f"]}'
		fails on_resctrl "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
		has "linux.intelRdt.closID: \"$name\" cannot be the name of a class"
	done
	edit_config '.linux.intelRdt = {"closID": "/"}'
	bundle_args true
	runs on_resctrl bash -ec '"$@"; grep -c . tasks' bash "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	is 1
	edit_config '.linux.intelRdt = {"closID": "given", "schemata": ["L3:0=f\nMB:0=10"]}'
	fails run_bundle
	has 'linux.intelRdt.schemata[0]'
	assert_nothing_left
}

@test "update: schemata of the resctrl class that was made for the container" {
	make_bundle '.linux.intelRdt = {"l3CacheSchema": "L3:0=f"}'
	bundle_args tail -f /dev/null
	runs on_resctrl bash -ec '
		"${@:3}" "$FENCE" --root "$1" run --bundle "$BUNDLE" "$2" >/dev/null 2>&1 &
		timeout "$((30 * TIME_FACTOR))" sh -c "until [ -s \"\$0/tasks\" ]; do sleep 0.1; done" "$2"
		"$FENCE" --root "$1" update --l3-cache-schema L3:0=3 "$2"
		cat "$2/schemata"
		"$FENCE" --root "$1" update --mem-bw-schema MB:0=10 --l3-cache-schema L3:0=7 --pids-limit 100 "$2"
		cat "$2/schemata"
		rm "$2"/*
		"$FENCE" --root "$1" kill "$2" KILL
		! wait "$!"' bash "$STATE" "$ID" "${slow_mkdir[@]}"
	is $'L3:0=3\nL3:0=7\nMB:0=10'
	for rdt in null '{"closID": "given"}'; do
		edit_config --argjson rdt "$rdt" '.linux.intelRdt = $rdt'
		fails on_resctrl bash -ec '
			"$FENCE" --root "$1" run --detach --bundle "$BUNDLE" "$2" >/dev/null 2>&1
			trap "\"$FENCE\" --root \"$1\" delete --force \"$2\"" EXIT
			"$FENCE" --root "$1" update --l3-cache-schema L3:0=3 "$2"' bash "$STATE" "$ID"
		has 'the container has no class of its own at /sys/fs/resctrl'
	done
	edit_config 'del(.linux.intelRdt)'
	runs fence --root "$STATE" run --detach --bundle "$BUNDLE" "$ID" >/dev/null
	fails fence --root "$STATE" update --l3-cache-schema L3:0=3 "$ID"
	has 'there is no resctrl file system at /sys/fs/resctrl'
	runs fence --root "$STATE" delete --force "$ID"
	assert_nothing_left
}
