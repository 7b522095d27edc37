# fence under engines (podman), with and without a policy, and bundles that fence exports under other runtimes. All in a
# network namespace that plays the host, with an image store of the test's own.
load helpers

setup() {
	common_setup
	host_namespace
	private_etc
	ENGINE=$TEST_DIR/podman
	mkdir "$ENGINE"
	# Hard limits can't be raised without CAP_SYS_RESOURCE, which a root in a container or CI may lack: podman asks for a million.
	cat >"$TEST_DIR/containers.conf" <<-'EOT'
		[containers]
		default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
	EOT
	export CONTAINERS_CONF=$TEST_DIR/containers.conf PODMAN_IGNORE_CGROUPSV1_WARNING=1
	mkdir "$TEST_DIR/image"
	busybox_root "$TEST_DIR/image"
	PODMAN=(podman --root "$ENGINE/root" --runroot "$ENGINE/runroot" --tmpdir "$ENGINE/tmp" --events-backend none
		--network-config-dir "$ENGINE/networks" --cgroup-manager cgroupfs --runtime "$FENCE")
	tar -C "$TEST_DIR/image" -c . | in_host "${PODMAN[@]}" import - busybox:latest >/dev/null 2>&1
}

teardown() {
	podman rm --all --force --time 0 >/dev/null 2>&1 || true
	in_host sh -c 'mountpoint -q "$1/root/overlay" && umount "$1/root/overlay"' sh "$ENGINE" || true
	common_teardown
}

podman() {
	in_host "${PODMAN[@]}" "$@" </dev/null
}

podman_on_a_terminal() {
	on_a_terminal in_host "${PODMAN[@]}" "$@"
}

# node_policy NAME <JSON: what an annotation may name.
node_policy() {
	host_file "/etc/fence/policies/$1.json"
}

@test "podman run: output, status, user, environment, volumes, read-only" {
	runs podman run --rm --network none busybox echo 'a b'
	is 'a b'
	exits 7 podman run --rm --network none busybox sh -c 'exit 7'
	exits 127 podman run --rm --network none busybox no-such-command
	exits 126 podman run --rm --network none busybox /etc
	exits 137 podman run --rm --network none busybox sh -c 'sh -c "kill -KILL \$\$"; exit $?'
	mkdir volume
	runs podman run --rm --network none --user 12:34 --env A=b --volume "$PWD/volume:/volume" --read-only --workdir /tmp \
		busybox sh -c 'id -u; id -g; echo $A; touch /volume/x 2>&1; touch /x; pwd'
	[ "${lines[0]} ${lines[1]} ${lines[2]}" = '12 34 b' ]
	has 'Read-only file system'
	has /tmp
	assert_nothing_left
}

@test "podman run -it: a terminal" {
	runs podman_on_a_terminal run --rm -it --network none busybox sh -c 'tty; test -t 0 && echo terminal'
	has /dev/pts/0
	has terminal
}

@test "podman create, start, exec, ps, logs, stop, rm" {
	runs podman run --detach --name "$ID" --network none busybox sh -c 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.1; done'
	wait_until eval '[ "$(podman logs "$ID")" = up ]'
	runs podman exec "$ID" sh -c 'cat /proc/1/comm; echo inside'
	has inside
	exits 9 podman exec "$ID" sh -c 'exit 9'
	exits 127 podman exec "$ID" no-such-command
	runs podman exec --user 5:6 --workdir /tmp --env X=y "$ID" sh -c 'id -u; pwd; echo $X'
	is $'5\n/tmp\ny'
	runs podman_on_a_terminal exec -it "$ID" tty
	has /dev/pts/
	runs podman ps --format '{{.Names}}'
	is "$ID"
	runs podman stop --time 10 "$ID"
	runs podman inspect --format '{{.State.ExitCode}} {{.State.Status}}' "$ID"
	is '3 exited'
	runs podman logs "$ID"
	has bye
	runs podman start "$ID"
	runs podman kill --signal KILL "$ID"
	runs podman wait "$ID"
	is 137
	runs podman rm "$ID"
	assert_nothing_left
}

@test "podman's bridge: out, in by a published port, and between containers" {
	start_web 203.0.113.7 80
	runs podman run --rm busybox sh -c 'ip -o address show dev eth0 && wget -q -O - http://203.0.113.7/'
	has 'the page'
	runs podman run --detach --name "$ID" --publish 127.0.0.1:8080:80 busybox sh -c 'echo inner >index.html; exec httpd -f -p 80'
	wait_until in_host curl -sf --max-time 5 -o /dev/null "http://127.0.0.1:8080/"
	runs podman rm --force --time 0 "$ID"
	assert_nothing_left
}

@test "podman: limits, capabilities, seccomp, devices, tmpfs, init" {
	runs podman run --rm --network none --memory 64m --pids-limit 50 --cpus 0.5 busybox sh -c \
		'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max'
	is 67108864
	runs podman run --rm --network none --cap-drop all --cap-add net_raw busybox grep CapEff /proc/self/status
	has 0000000000002000
	runs podman run --rm --network none busybox grep Seccomp: /proc/self/status
	has 2
	runs podman run --rm --network none --security-opt seccomp=unconfined busybox grep Seccomp: /proc/self/status
	has 0
	runs podman run --rm --network none --device /dev/null:/dev/nothing --tmpfs /scratch:size=1m busybox sh -c \
		'echo x >/dev/nothing && df /scratch | tail -n 1'
	has 1024
	runs podman run --rm --network none --sysctl net.ipv4.ip_forward=1 --hostname box busybox sh -c 'hostname; cat /proc/sys/net/ipv4/ip_forward'
	is $'box\n1'
}

@test "without an annotation and without a node policy, a container is podman's own affair" {
	runs podman run --rm --network none busybox sh -c 'touch /x && echo plain; ls /sys/class/net'
	is $'plain\nlo'
}

@test "an annotation's policy fences the container: files, capabilities, one way out" {
	start_proxy 1080
	start_web 203.0.113.7 80
	start_web 203.0.113.8 80
	mkdir secret open
	echo hush | tee secret/file open/key.pem >/dev/null
	echo public >open/file
	node_policy strict <<-'JSON'
		{ "filesystem": { "denyRead": ["/secret", "/open/key.pem"], "denyWrite": ["/open"] },
		  "network": { "proxyUrl": "socks5://127.0.0.1:1080", "allowedDomains": ["203.0.113.7"] } }
	JSON
	local flags=(--rm --network none --annotation dev.fence.policy=strict --volume "$PWD/secret:/secret" --volume "$PWD/open:/open")
	runs podman run "${flags[@]}" busybox sh -c 'cat /secret/file /open/key.pem; cat /open/file; touch /open/new; ls /sys/class/net | tr "\n" " "'
	hasnt hush
	has public
	has tun0
	absent open/new
	runs podman run "${flags[@]}" busybox wget -q -O - http://203.0.113.7/
	is 'the page'
	fails podman run "${flags[@]}" busybox wget -q -T 5 -O - http://203.0.113.8/
	grep -q 'connected to 203.0.113.7:80' "$TEST_DIR/proxy.log"
	runs podman run "${flags[@]}" busybox grep -e CapEff -e NoNewPrivs /proc/self/status
	has $'NoNewPrivs:\t1'
	# exec is fenced as the container is.
	runs podman run --detach --name "$ID" "${flags[@]:1}" busybox sh -c 'exec tail -f /dev/null'
	capture podman exec "$ID" cat /secret/file
	hasnt hush
	runs podman exec "$ID" wget -q -O - http://203.0.113.7/
	is 'the page'
	fails podman exec "$ID" ip link set tun0 down
	runs podman rm --force --time 0 "$ID"
	assert_nothing_left
}

@test "on podman's bridge, too, an annotation's policy is the only way out" {
	start_proxy 1080
	start_web 203.0.113.7 80
	start_web 203.0.113.8 80
	node_policy strict <<-'JSON'
		{ "network": { "proxyUrl": "socks5://127.0.0.1:1080", "allowedDomains": ["203.0.113.7"] } }
	JSON
	runs podman run --rm --annotation dev.fence.policy=strict busybox wget -q -O - http://203.0.113.7/
	is 'the page'
	wait_until grep -q 'connected to 203.0.113.7:80' "$TEST_DIR/proxy.log"
	fails podman run --rm --annotation dev.fence.policy=strict busybox wget -q -T 5 -O - http://203.0.113.8/
	assert_nothing_left
}

@test "a policy that is not there, a path, or inline JSON is an error, and nothing runs" {
	mkdir volume
	echo '{}' >policy.json
	for value in missing "$PWD/policy.json" '../policy' '{}'; do
		fails podman run --rm --network none --annotation "dev.fence.policy=$value" --volume "$PWD/volume:/volume" busybox touch /volume/ran
		absent volume/ran
	done
	node_policy broken <<<'{ "filesytem": {} }'
	fails podman run --rm --network none --annotation dev.fence.policy=broken --volume "$PWD/volume:/volume" busybox touch /volume/ran
	has filesystem
	absent volume/ran
	assert_nothing_left
}

@test "the node's floor holds for every container, and an annotation can't loosen it" {
	mkdir secret
	echo hush >secret/file
	host_file /etc/fence/fence.json <<<'{ "filesystem": { "denyRead": ["/secret"] } }'
	node_policy loose <<<'{ "filesystem": { "defaultDenyRead": false, "allowRead": ["/secret"], "allowWrite": ["/"] } }'
	capture podman run --rm --network none --volume "$PWD/secret:/secret" busybox cat /secret/file
	hasnt hush
	capture podman run --rm --network none --annotation dev.fence.policy=loose --volume "$PWD/secret:/secret" busybox cat /secret/file
	hasnt hush
}

# --- exported bundles ---

# crun refuses the hybrid cgroup layout: without its v2 part, in a mount namespace of its own, it runs.
other_runtime() {
	local name=$1
	shift
	as_who_privately sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"' sh "${AS[@]}" "$name" --root "$STATE/$name" "$@"
}

as_who_privately() {
	in_host unshare --mount -- "$@"
}

export_bundle() {
	rm -rf "$BUNDLE"
	runs fence spec "$@"
	runs "$ROOT/tests/bats/oci-schema/validate.py" config-schema.json "$BUNDLE/config.json"
}

@test "an exported bundle is valid, and unmodified runc and crun run it as fenced as fence does" {
	start_proxy 1080
	start_web 203.0.113.7 80
	start_web 203.0.113.8 80
	for who in $EVERYONE; do
		become "$who"
		mkdir "$HOME/.ssh"
		echo secret | tee "$HOME/.ssh/id" hidden >/dev/null
		cat >../policy.json <<-'JSON'
			{ "command": { "useDefaults": false },
			  "filesystem": { "allowWrite": ["."], "denyRead": ["./hidden"], "allowExecute": ["/usr", "/bin", "/lib"] },
			  "network": { "proxyUrl": "socks5://127.0.0.1:1080", "allowedDomains": ["203.0.113.7"] } }
		JSON
		give . .. "$HOME"
		local try='cat ~/.ssh/id hidden; curl -sS --max-time 20 http://203.0.113.7/
			curl -sS --max-time 5 http://203.0.113.8/ && echo leak
			echo evil >>.bashrc; touch ~/x "written-$1"; grep -e CapEff -e Seccomp: -e NoNewPrivs /proc/self/status
			unshare -U true && echo unshared
			cp /bin/true "copy-$1" && "./copy-$1" && echo executed; exit 9'
		for runtime in fence runc crun; do
			export_bundle --policy "$WORK/../policy.json" --bundle "$BUNDLE" -- sh -c "$try" sh "$runtime"
			if [ "$runtime $who" = 'crun user' ]; then
				# Run by an ordinary user, crun's first process is not dumpable: no hook can enter its network
				# namespace. It has to fail, then, and nothing may run.
				fails other_runtime "$runtime" run --bundle "$BUNDLE" "$ID-$who"
				has hook
				absent "written-$runtime"
				continue
			fi
			if [ "$runtime" = fence ]; then
				exits 9 fence --root "$STATE/fence" run --bundle "$BUNDLE" "$ID-$who"
			else
				exits 9 other_runtime "$runtime" run --bundle "$BUNDLE" "$ID-$who"
			fi
			hasnt secret
			has 'the page'
			hasnt leak
			hasnt unshared
			[ -e "copy-$runtime" ]
			hasnt executed # Landlock's, by fence-exec
			has $'CapEff:\t0000000000000000'
			has $'Seccomp:\t2'
			has $'NoNewPrivs:\t1'
			[ -e "written-$runtime" ]
			absent "$HOME/x"
			# Other runtimes leave the empty file that they made to mount over; fence does not.
			[ "$runtime" != fence ] || absent .bashrc
			[ ! -s .bashrc ]
			rm -f .bashrc
		done
		[ "$(grep -c 'connected to 203.0.113.7:80' "$TEST_DIR/proxy.log")" -ge 2 ]
		[ "$(grep -c 'connected to 203.0.113.8:80' "$TEST_DIR/proxy.log")" -eq 0 ]
		rm -rf "$STATE" "$XDG_RUNTIME_DIR"
		mkdir "$STATE" "$XDG_RUNTIME_DIR"
		assert_nothing_left
	done
}

@test "fence's own features and state are valid, too" {
	runs fence features
	runs "$ROOT/tests/bats/oci-schema/validate.py" features-schema.json - <<<"$output"
	make_bundle
	bundle_args sleep 100
	runs fence --root "$STATE" create --bundle "$BUNDLE" "$ID" 3>&-
	runs fence --root "$STATE" state "$ID"
	runs "$ROOT/tests/bats/oci-schema/validate.py" state-schema.json - <<<"$output"
	runs fence --root "$STATE" delete --force "$ID"
	assert_nothing_left
}
