# Policies under an engine (podman), and bundles that fence exports under other runtimes. What podman itself can do is in podman.bats.
# bats file_tags=root
load helpers
load podman

setup() {
	engine_setup
}

teardown() {
	engine_teardown
}

# node_policy NAME <JSON: what an annotation may name.
node_policy() {
	host_file "/etc/fence/policies/$1.json"
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

# A program for 32-bit x86 that asks socketcall(2) for a socket of an address family; its exit status is errno.
socketcall_program() { # FAMILY FILE
	python3 -c 'import struct, sys
base, start = 0x10000, 84
code = bytes.fromhex("b866000000 bb01000000 b9") + struct.pack("<I", base + start + 44) + bytes.fromhex("cd80 f7d8 7902 31c0 89c3 b801000000 cd80")
code = code.ljust(44, b"\0") + struct.pack("<III", int(sys.argv[1]), 1, 0)
size = start + len(code)
header = b"\x7fELF\1\1\1".ljust(16, b"\0") + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + start, 52, 0, 0, 52, 32, 1, 0, 0, 0)
sys.stdout.buffer.write(header + struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 4096) + code)' "$1" >"$2"
	chmod +x "$2"
}

@test "no socket by the 32-bit socketcall, whose arguments no filter sees; an engine's own refusals of sockets stay" {
	mkdir bin
	socketcall_program 1 bin/unix
	socketcall_program 40 bin/vsock
	require_kernel '32-bit programs' bin/unix
	runs podman run --rm --network none --volume "$PWD/bin:/m" busybox /m/unix
	node_policy strict <<<'{ "network": { "allowedDomains": ["203.0.113.7"] } }'
	# As podman's default profile has been since version 5.
	jq '.syscalls |= [{names: ["socket"], action: "SCMP_ACT_ERRNO", errnoRet: 1, args: [{index: 0, value: 40, op: "SCMP_CMP_EQ"}]}] + .' \
		/usr/share/containers/seccomp.json >seccomp.json
	for profile in /usr/share/containers/seccomp.json "$PWD/seccomp.json"; do
		runs podman run --rm --network none --security-opt "seccomp=$profile" --annotation dev.fence.policy=strict --volume "$PWD/bin:/m" \
			busybox sh -c '/m/unix; echo $?; /m/vsock; echo $?; ls /sys/class/net'
		[ "${lines[0]} ${lines[1]}" = '1 1' ]
		has tun0
	done
	assert_nothing_left
}

@test "command rules, the node's and the annotation's, judge what a container starts with" {
	host_file /etc/fence/fence.json <<<'{ "command": { "deny": ["ls"] } }'
	node_policy words <<<'{ "command": { "deny": ["echo secret"], "allow": ["ls"] } }'
	local flags=(--rm --network none --annotation dev.fence.policy=words)
	fails podman run "${flags[@]}" busybox echo secret
	has 'denied by command.deny: "echo secret"'
	fails podman run "${flags[@]}" busybox sh -c 'true; ls /'
	has 'denied by the node'"'"'s command.deny: "ls"'
	runs podman run "${flags[@]}" busybox echo public
	is public
	node_policy words <<<'{ "command": { "runtimeExecPolicy": "path" } }'
	fails podman run "${flags[@]}" busybox true
	has 'filesystem.denyRead'
	assert_nothing_left
}

@test "what a policy denies of a volume is denied to the next container, too" {
	mkdir -p volume/way/deep
	echo secret | tee volume/way/deep/key volume/way/deep/x.pem >/dev/null
	echo original >volume/way/deep/fixed
	node_policy strict <<<'{ "filesystem": { "denyRead": ["/v/way/deep/key", "/v/way/*/*.pem"], "denyWrite": ["/v/way/deep/fixed"] } }'
	local flags=(--rm --network none --annotation dev.fence.policy=strict --volume "$PWD/volume:/v")
	capture podman run "${flags[@]}" busybox sh -c 'mv /v/way/deep /v/way/other; mv /v/way /v/other; echo text >/v/way/deep/new'
	[ "$(cat volume/way/deep/new)" = text ]
	capture podman run "${flags[@]}" busybox sh -c 'cat /v/*/*/key /v/*/*/*.pem; echo evil >/v/way/deep/fixed'
	hasnt secret
	[ "$(cat volume/way/deep/fixed)" = original ]
}

@test "exec in a fenced container: no more than it has itself, whatever the engine says" {
	node_policy strict <<<'{ "capabilities": ["CAP_CHOWN"], "env": { "deny": ["CREDENTIAL"], "set": { "COLOUR": "green" } } }'
	runs podman run --detach --name "$ID" --network none --annotation dev.fence.policy=strict --env CREDENTIAL=secret busybox \
		sh -c 'exec tail -f /dev/null'
	runs podman exec --privileged --env CREDENTIAL=secret --env LD_PRELOAD=/x "$ID" sh -c 'grep -e Cap -e NoNewPrivs /proc/self/status; env'
	has $'CapInh:\t0000000000000000\nCapPrm:\t0000000000000001\nCapEff:\t0000000000000001\nCapBnd:\t0000000000000001'
	has $'NoNewPrivs:\t1'
	has COLOUR=green
	hasnt secret
	hasnt LD_PRELOAD
	runs podman rm --force --time 0 "$ID"
	# Without a policy it is the engine's affair.
	runs podman run --detach --name "$ID" --network none busybox sh -c 'exec tail -f /dev/null'
	runs podman exec --privileged "$ID" grep CapEff /proc/self/status
	hasnt 0000000000000001
	runs podman rm --force --time 0 "$ID"
}

@test "an image says nothing to systemd for a fenced container, but how it is stopped" {
	node_policy strict <<<'{ "resources": { "pids": 10 } }'
	runs podman run --detach --name "$ID" --network none --annotation dev.fence.policy=strict --annotation org.systemd.property.TasksMax='uint64 1000' \
		--annotation org.systemd.property.OnSuccess="['poweroff.target']" --annotation org.systemd.property.TimeoutStopUSec='uint64 10' \
		busybox sh -c 'exec tail -f /dev/null'
	runs podman inspect --format '{{.Id}}' "$ID"
	runs fence state "$output"
	has TimeoutStopUSec
	hasnt TasksMax
	hasnt OnSuccess
	runs podman rm --force --time 0 "$ID"
}

@test "allowExecute holds in a container, in exec, and for files in memory" {
	mkdir bin
	cp /bin/busybox bin/echo
	# memfd_create("", 0): its error number, or 0.
	printf '%s' '#define _GNU_SOURCE
		#include <errno.h>
		#include <sys/mman.h>
		int main(void) { return memfd_create("", 0) < 0 ? errno : 0; }' | gcc -static -x c -o "$TEST_DIR/image/bin/memory" -
	tar -C "$TEST_DIR/image" --owner 0 --group 0 -c . | as_who "${PODMAN[@]}" import - programs:latest >/dev/null 2>&1
	runs podman run --rm --network none programs memory
	for policy in '"allowExecute": ["/bin"]' '"allowExecute": ["/bin"], "allowWrite": ["/volume"]'; do
		node_policy programs <<<"{ \"landlock\": \"preferred\", \"filesystem\": { $policy } }"
		runs podman run --detach --name "$ID" --network none --annotation dev.fence.policy=programs --volume "$PWD/bin:/volume" programs \
			sh -c 'exec tail -f /dev/null'
		exits 126 podman exec "$ID" /volume/echo executed
		hasnt executed
		fails podman exec "$ID" memory
		runs podman rm --force --time 0 "$ID"
	done
	node_policy programs <<<'{ "filesystem": { "allowExecute": ["/usr"] } }'
	fails podman run --rm --network none --annotation dev.fence.policy=programs busybox echo executed
	hasnt executed
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
	# Nor is a built-in one: an image's annotation could ask for its network.
	fails podman run --rm --network none --annotation dev.fence.policy=code-relaxed --volume "$PWD/volume:/volume" busybox touch /volume/ran
	has extends
	absent volume/ran
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

@test "under a floor that lets all names through, an annotation's policy cannot name those that \"*\" does not mean" {
	start_proxy 1080
	local proxy='"proxyUrl": "socks5h://127.0.0.1:1080"'
	host_file /etc/fence/fence.json <<<"{ \"network\": { $proxy, \"allowedDomains\": [\"*\"] } }"
	node_policy loose <<<"{ \"network\": { $proxy, \"allowedDomains\": [\"www.example.com\", \"metadata.google.internal\", \"*.ec2.internal\", \"db.example.internal\"] } }"
	capture podman run --rm --annotation dev.fence.policy=loose busybox sh -c '
		for name in db.example.internal metadata.google.internal instance-data.ec2.internal; do nslookup "$name" | grep Address | tail -n 1; done'
	is $'Address: fd66:656e:6365::c612:100\nAddress:\t198.18.0.2:53\nAddress:\t198.18.0.2:53' # the resolver's own: no answer
}

@test "under the node's floor, too: a name's connections are for its server, and a named policy's log is written" {
	start_web 203.0.113.7 80
	start_dns 5353 www.example.com 203.0.113.7
	local network='"allowedDomains": ["www.example.com"], "dnsAddr": "127.0.0.1:5353"'
	host_file /etc/fence/fence.json <<<"{ \"containerPolicies\": \"any\", \"network\": { $network, \"checkServerName\": true } }"
	node_policy loose <<<"{ \"network\": { $network, \"checkServerName\": false, \"log\": \"$TEST_DIR/net.log\" } }"
	local get=(busybox sh -c "printf 'GET / HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n' \$0 | nc -w 5 www.example.com 80")
	runs podman run --rm --annotation dev.fence.policy=loose "${get[@]}" www.example.com
	has 'the page'
	capture podman run --rm --annotation dev.fence.policy=loose "${get[@]}" evil.example.org
	hasnt 'the page'
	runs jq -r 'select(.event == "flow") | .verdict, .serverName // empty' "$TEST_DIR/net.log"
	is $'allow\ndeny\nevil.example.org'
	# What may be anybody's names no file that root would write.
	echo "{ \"network\": { \"log\": \"$TEST_DIR/no.log\" } }" >"$TEST_DIR/policy.json"
	fails podman run --rm --annotation "dev.fence.policy=$TEST_DIR/policy.json" busybox true
	has "only a policy of the node's own names a log"
	node_policy loose <<<'{ "network": { "log": "net.log" } }'
	fails podman run --rm --annotation dev.fence.policy=loose busybox true
	has 'absolute path'
	# The node's own goes first.
	host_file /etc/fence/fence.json <<<"{ \"network\": { $network, \"log\": \"$TEST_DIR/node.log\" } }"
	node_policy loose <<<"{ \"network\": { $network, \"log\": \"$TEST_DIR/no.log\" } }"
	runs podman run --rm --annotation dev.fence.policy=loose "${get[@]}" www.example.com
	grep -q '"event":"flow"' "$TEST_DIR/node.log"
	absent "$TEST_DIR/no.log"
	assert_nothing_left
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
	jq -e '.potentiallyUnsafeConfigAnnotations | index("dev.fence.policy")' <<<"$output"
	runs "$ROOT/tests/bats/oci-schema/validate.py" features-schema.json - <<<"$output"
	make_bundle
	bundle_args sleep 100
	runs fence --root "$STATE" create --bundle "$BUNDLE" "$ID" 3>&-
	runs fence --root "$STATE" state "$ID"
	runs "$ROOT/tests/bats/oci-schema/validate.py" state-schema.json - <<<"$output"
	runs fence --root "$STATE" delete --force "$ID"
	assert_nothing_left
}
