# podman's commands and options, with fence as a plain OCI runtime; buildah. (Policies under engines are in engines.bats.)
load helpers
load podman

setup() {
	engine_setup
}

teardown() {
	engine_teardown
}

nothing_left() {
	engine_ended
	assert_nothing_left
}

@test "podman run: output, status, user, environment, volumes, read-only" {
	runs podman run --rm --network none busybox echo 'a b'
	is 'a b'
	exits 7 podman run --rm --network none busybox sh -c 'exit 7'
	exits 127 podman run --rm --network none busybox no-such-command
	exits 126 podman run --rm --network none busybox /etc
	exits 137 podman run --rm --network none busybox sh -c 'sh -c "kill -KILL \$\$"; exit $?'
	mkdir volume
	give volume
	runs podman run --rm --network none --user 12:34 --env A=b --volume "$PWD/volume:/volume" --read-only --workdir /tmp \
		busybox sh -c 'id -u; id -g; echo $A; touch /volume/x 2>&1; touch /x; pwd'
	[ "${lines[0]} ${lines[1]} ${lines[2]}" = '12 34 b' ]
	has 'Read-only file system'
	has /tmp
	nothing_left
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
	nothing_left
}

# bats test_tags=root
@test "podman's bridge: out, in by a published port, and between containers" {
	start_web 203.0.113.7 80
	runs podman run --rm busybox sh -c 'ip -o address show dev eth0 && wget -q -O - http://203.0.113.7/'
	has 'the page'
	runs podman run --detach --name "$ID" --publish 127.0.0.1:8080:80 busybox sh -c 'echo inner >index.html; exec httpd -f -p 80'
	wait_until in_host curl -sf --max-time 5 -o /dev/null "http://127.0.0.1:8080/"
	runs podman rm --force --time 0 "$ID"
	nothing_left
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

@test "podman attach, -i, --preserve-fds" {
	echo typed >typed
	runs podman create --name "$ID" --interactive --network none busybox sh -c 'read x; echo "got $x"'
	[ "$(as_who "${PODMAN[@]}" start --attach --interactive "$ID" <typed)" = 'got typed' ]
	removed
	detached busybox sh -c 'while :; do echo tick; sleep 0.1; done'
	capture as_who timeout "$((2 * TIME_FACTOR))" "${PODMAN[@]}" attach --no-stdin --sig-proxy=false "$ID"
	has tick
	removed
	runs as_who sh -c 'exec "$@" 3<typed </dev/null' sh "${PODMAN[@]}" run --rm --network none --preserve-fds 1 busybox cat /dev/fd/3
	is typed
	nothing_left
}

@test "podman pause, unpause, restart, top, stats, update" {
	detached --memory 50m busybox sleep 1000
	runs podman pause "$ID"
	runs podman inspect --format '{{.State.Status}}' "$ID"
	is paused
	fails podman exec "$ID" true
	runs podman unpause "$ID"
	runs podman exec "$ID" echo inside
	is inside
	runs podman top "$ID" pid args
	has 'sleep 1000'
	runs podman stats --no-stream --format '{{.MemLimit}}' "$ID"
	has 52428800
	runs podman update --memory 64m --cpus 0.5 "$ID"
	runs podman exec "$ID" sh -c "$(limit memory/memory.limit_in_bytes memory.max)"
	is 67108864
	runs podman exec "$ID" sh -c "$(limit cpu/cpu.cfs_quota_us cpu.max)"
	has 50000
	runs podman inspect --format '{{.State.Pid}}' "$ID"
	local pid=$output
	runs podman restart --time 0 "$ID"
	runs podman inspect --format '{{.State.Pid}} {{.State.Status}}' "$ID"
	has running
	hasnt "$pid "
	removed
	nothing_left
}

@test "podman cp, commit, diff, export, mount, rename, init" {
	detached --tmpfs /scratch busybox sh -c 'echo new >/new; exec sleep 1000'
	wait_until podman exec "$ID" test -e /new
	echo data >file
	runs podman cp file "$ID:/tmp/copied"
	runs podman cp file "$ID:/scratch/copied"
	runs podman exec "$ID" cat /tmp/copied /scratch/copied
	is $'data\ndata'
	runs podman cp "$ID:/etc/passwd" passwd
	grep -q ^root: passwd
	runs podman diff "$ID"
	has 'A /new'
	runs podman commit "$ID" committed
	runs once committed cat /new
	is new
	runs podman export --output exported "$ID"
	tar --list --file exported >files
	grep -q '^bin/busybox$' files
	if [ "$who" = root ]; then
		runs podman mount "$ID"
		[ -e "/proc/$HOST_PID/root$output/new" ]
		runs podman unmount "$ID"
	else
		runs podman unshare sh -c 'ls "$("$@")/new"' sh "${PODMAN[@]}" mount "$ID"
	fi
	runs podman rename "$ID" "$ID-renamed"
	runs podman exec "$ID-renamed" true
	runs podman rm --force --time 0 "$ID-renamed"
	runs podman create --name "$ID" --network none busybox echo started
	runs podman init "$ID"
	runs podman inspect --format '{{.State.Status}}' "$ID"
	is initialized
	runs podman start --attach "$ID"
	is started
	removed
	nothing_left
}

@test "podman: health checks, restart policy, stop signal, time limit" {
	detached --health-cmd 'test -e /healthy' --health-interval disable busybox sleep 1000
	exits 1 podman healthcheck run "$ID"
	runs podman exec "$ID" touch /healthy
	runs podman healthcheck run "$ID"
	removed
	detached --restart on-failure:2 busybox sh -c 'echo again; exit 1'
	wait_until eval '[ "$(podman logs "$ID" | grep -c again)" = 3 ]'
	removed
	detached --stop-signal USR1 busybox sh -c 'trap "exit 4" USR1; echo up; while :; do sleep 0.1; done'
	wait_until eval '[ "$(podman logs "$ID")" = up ]'
	runs podman stop --time 10 "$ID"
	runs podman wait "$ID"
	is 4
	removed
	fails once --timeout 1 busybox sleep 1000
	detached --pid host busybox sh -c 'sleep 4242 & sleep 4242'
	runs podman kill "$ID"
	runs podman wait "$ID"
	is 137
	removed
	nothing_left
}

pod_removed() {
	runs podman pod inspect --format '{{.ID}}' "$ID"
	local pod=$output
	capture podman pod rm --force --time 0 "$ID"
	fails podman pod exists "$ID"
	parent_removed "$pod"
}

@test "podman pod: shared namespaces, pause, stop, start; kube play" {
	runs podman pod create --name "$ID" --network none --infra-image busybox --infra-command '/bin/sleep 1000' --share net,ipc,uts,pid
	runs podman run --detach --pod "$ID" --name "$ID-1" busybox sleep 2000
	runs podman run --detach --pod "$ID" --name "$ID-2" busybox sh -c 'echo shared >/dev/shm/x; exec sleep 3000'
	wait_until podman exec "$ID-1" test -e /dev/shm/x
	runs podman exec "$ID-1" ps
	has 'sleep 3000'
	runs podman pod pause "$ID"
	runs podman pod unpause "$ID"
	# podman 5 removes the pod's cgroup, too, and fails for the v1 controllers that it made directories for and the host lacks (also
	# with crun): the pod is stopped then.
	capture podman pod stop --time 0 "$ID"
	[ "$status" -eq 0 ] || has 'conmon cgroup: remove /sys/fs/cgroup/'
	runs podman pod inspect --format '{{.State}}' "$ID"
	is Exited
	runs podman pod start "$ID"
	runs podman exec "$ID-1" true
	pod_removed
	cat >pod.yaml <<-YAML
		apiVersion: v1
		kind: Pod
		metadata: { name: $ID }
		spec:
		  hostNetwork: true
		  containers:
		  - name: a
		    image: localhost/busybox:latest
		    imagePullPolicy: Never
		    command: [/bin/sleep, "1000"]
		    securityContext: { capabilities: { drop: [ALL] }, readOnlyRootFilesystem: true, runAsUser: 7 }
		    resources: { limits: { memory: 50M, cpu: 500m } }
	YAML
	runs podman play kube pod.yaml
	runs podman exec "$ID-a" /bin/sh -c '/bin/id -u; /bin/touch /x 2>&1 || /bin/echo read-only'
	is $'7\ntouch: /x: Read-only file system\nread-only'
	pod_removed
	nothing_left
}

# bats test_tags=root
@test "podman: user namespaces, and devices, users and volumes in them" {
	local map=(--uidmap 0:100000:1000 --gidmap 0:200000:1000)
	# podman takes the ranges of the user `containers`.
	in_host sh -c 'echo "containers:x:5999:5999::/:/bin/false" >>/etc/passwd; for file in subuid subgid; do
		echo containers:300000:65536 >>"/etc/$file"; done'
	runs once --userns auto:size=1500 busybox cat /proc/self/uid_map
	[[ $output =~ ^\ +0\ +300000\ +1500$ ]]
	runs once "${map[@]}" busybox cat /proc/self/uid_map /proc/self/gid_map
	has 100000
	has 200000
	runs once "${map[@]}" --user 5:6 busybox sh -c 'id -u; id -g'
	is $'5\n6'
	runs once "${map[@]}" --device /dev/full:/dev/mine busybox sh -c 'stat -c "%u %g %t %T" /dev/mine; ! echo x >/dev/mine'
	# Before, a mount that is attached nowhere could not be cloned: the device is the host's own.
	if since 6.15; then has '0 0 1 7'; else has '65534 65534 1 7'; fi
	has 'No space left on device'
	mkdir given mapped
	echo mine >mapped/file
	chown 1:2 mapped/file
	runs once "${map[@]}" --volume "$PWD/given:/v:U" busybox stat -c '%u %g' /v
	is '0 0'
	[ "$(stat -c '%u %g' given)" = '100000 200000' ]
	runs once "${map[@]}" --volume "$PWD/mapped:/v:idmap" busybox stat -c '%u %g' /v/file
	is '1 2'
	runs once --volume "$PWD/mapped:/v:idmap=uids=1-11-1;gids=2-12-1" busybox stat -c '%u %g' /v/file
	is '11 12'
	detached "${map[@]}" busybox sleep 1000
	runs podman exec --user 7 "$ID" id -u
	is 7
	runs podman top "$ID" user huser
	has 100000
	removed
	nothing_left
}

# bats test_tags=user
@test "podman, rootless: limits by the session's systemd, in a scope of its own that goes with the container" {
	require_kernel 'systemd with a login session (make check-vm has)' test -n "$LOGIN"
	detached --memory 64m --pids-limit 50 busybox sleep 1000
	runs podman exec "$ID" cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max
	is $'67108864\n50'
	runs podman inspect --format '{{.Id}} {{.State.Pid}}' "$ID"
	local id=${output% *} pid=${output#* } scope
	scope=$(sed 's/^0:://' "/proc/$pid/cgroup")
	[[ $scope == "/user.slice/user-$(id -u "$TEST_USER").slice/user@"*"/libpod-$id.scope"* ]] || complain "the cgroup is $scope"
	runs podman update --memory 32m "$ID"
	runs podman exec "$ID" cat /sys/fs/cgroup/memory.max
	is 33554432
	runs as_who systemctl --user show --property MemoryMax --value "libpod-$id.scope"
	is 33554432
	fails podman container checkpoint "$ID"
	has 'requires root'
	removed
	runs as_who systemctl --user is-active "libpod-$id.scope" || true
	is inactive
	absent "/sys/fs/cgroup${scope%%/libpod-*}/libpod-$id.scope"
	nothing_left
}

# bats test_tags=user
@test "podman, rootless: exec, logs, user namespaces; a network of its own, and a published port" {
	local uid gid
	[ "$who" = user ] || { become user && engine; }
	uid=$(id -u "$TEST_USER") gid=$(id -g "$TEST_USER")
	detached busybox sh -c 'echo up; exec sleep 1000'
	runs podman exec "$ID" sh -c 'id -u; cat /proc/1/comm'
	has $'0\nsleep'
	runs podman exec --user 5:6 "$ID" id -G
	has 6
	runs podman logs "$ID"
	has up
	removed
	mkdir given
	give given
	runs once --userns keep-id --volume "$PWD/given:/v" busybox sh -c 'echo $(id -u) $(id -g) $(stat -c "%u %g" /v) $(wc -l </proc/self/uid_map); touch /v/kept'
	has "$uid $gid $uid $gid 3"
	[ "$(stat -c %u given/kept)" = "$uid" ]
	runs once --userns nomap busybox cat /proc/self/uid_map
	hasnt " $uid "
	runs once --userns auto:size=100 busybox cat /proc/self/uid_map
	[[ $output =~ \ 100$ ]]
	runs once --uidmap 0:1:100 --user 5 busybox id -u
	has 5
	start_web 203.0.113.7 80
	runs podman run --rm busybox wget -q -O - http://203.0.113.7/
	has 'the page'
	runs podman run --detach --name "$ID" --publish 127.0.0.1:8080:80 busybox sh -c 'echo inner >index.html; exec httpd -f -p 80'
	wait_until in_host curl -sf --max-time 5 -o /dev/null "http://127.0.0.1:8080/"
	removed
	nothing_left
}

# bats test_tags=root
@test "podman container checkpoint, restore; also with a user namespace" {
	require_kernel 'CRIU that works there' in_host criu check
	local count
	for map in '' '--uidmap 0:100000:1000 --gidmap 0:100000:1000'; do
		detached $map busybox sh -c 'n=0; while :; do n=$((n + 1)); echo $n >/tmp/count; usleep 20000; done'
		wait_until podman exec "$ID" test -s /tmp/count
		count=$(podman exec "$ID" cat /tmp/count)
		runs podman container checkpoint "$ID"
		runs podman container restore "$ID"
		wait_until eval '[ "$(podman exec "$ID" cat /tmp/count)" -gt "$count" ]'
		removed
	done
	assert_nothing_left
}

@test "podman: capabilities of users, security options, privileged, device rules" {
	runs once --cap-drop all --cap-add net_bind_service --user 5 busybox grep -e CapEff -e CapAmb /proc/self/status
	is $'CapEff:\t0000000000000400\nCapAmb:\t0000000000000400'
	runs once --security-opt no-new-privileges busybox grep NoNewPrivs /proc/self/status
	has 1
	runs once --security-opt mask=/etc/passwd busybox cat /etc/passwd
	is ''
	runs once --security-opt unmask=ALL busybox sh -c 'cat /proc/timer_list | wc -l'
	hasnt '^0$'
	runs once --security-opt proc-opts=hidepid=2 busybox grep hidepid /proc/mounts
	runs once --security-opt label=disable --security-opt apparmor=unconfined busybox true
	echo '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
		{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}' >seccomp.json
	fails once --security-opt "seccomp=$PWD/seccomp.json" busybox mkdir /tmp/x
	has 'not implemented'
	runs once --privileged busybox sh -c 'mount -t tmpfs tmpfs /tmp && grep -e Seccomp: /proc/self/status'
	has 0
	[ "$who" = root ] || return 0 # device nodes
	runs once --device-cgroup-rule 'c 1:7 rwm' --cap-add mknod busybox sh -c 'mknod /tmp/full c 1 7 && head -c 1 /tmp/full | wc -c'
	is 1
	fails once --device /dev/kmsg:/dev/k:r busybox sh -c ': </dev/k || exit 0; : >/dev/k'
	has 'not permitted'
}

@test "podman: --read-only, --tmpfs, and every kind of volume" {
	mkdir volume
	echo content >volume/file
	give volume
	runs once --read-only busybox sh -c 'touch /x 2>/dev/null || touch /tmp/x /run/x /dev/shm/x && echo writable'
	is writable
	fails once --read-only --read-only-tmpfs=false busybox touch /tmp/x
	runs once --tmpfs /scratch:size=1m,mode=700,noexec busybox sh -c 'stat -c %a /scratch; grep " /scratch " /proc/mounts'
	has 700
	has noexec
	has size=1024k
	runs once --mount type=tmpfs,destination=/etc,tmpcopyup busybox head -c 4 /etc/passwd
	is root
	runs once --volume "$PWD/volume:/v:ro,nosuid,nodev,noexec" busybox sh -c 'cat /v/file; touch /v/x; grep " /v " /proc/mounts'
	has content
	has 'Read-only file system'
	has nosuid,nodev,noexec
	if [ "$who" = root ]; then
		in_host mount --bind volume volume
		in_host mount --make-shared volume
		runs once --volume "$PWD/volume:/v:rshared" busybox grep ' /v ' /proc/self/mountinfo
		has shared:
		runs once --volume "$PWD/volume:/v:rslave" busybox grep ' /v ' /proc/self/mountinfo
		has master:
	fi
	runs once --volume "$PWD/volume:/v:O" busybox sh -c 'touch /v/new; cat /v/file'
	is content
	absent volume/new
	runs once --volume "$PWD/volume/file:/a/deep/file" busybox cat /a/deep/file
	is content
	runs once --volume "$ID:/v" busybox touch /v/kept
	runs once --volume "$ID:/v" busybox ls /v
	is kept
	runs once --mount type=image,source=busybox,destination=/image busybox ls /image/bin/busybox
	runs once --mount type=devpts,destination=/pts busybox ls /pts/ptmx
	runs once --rootfs "$TEST_DIR/image" echo 'a directory'
	is 'a directory'
	nothing_left
}

# bats test_tags=root
@test "podman: more limits, and where the cgroup is" {
	runs once --memory 64m --memory-swap 128m --memory-reservation 32m --cpus 1.5 --pids-limit 77 --cpuset-cpus 0 --oom-score-adj 300 \
		--shm-size 2m --ulimit nofile=100:200 --ulimit nproc=100:100 busybox sh -c "
			$(limit cpu/cpu.cfs_quota_us cpu.max); $(limit pids/pids.max pids.max); $(limit cpuset/cpuset.cpus cpuset.cpus)
			$(limit memory/memory.soft_limit_in_bytes memory.low)
			cat /proc/self/oom_score_adj; df -k /dev/shm | tail -n 1; ulimit -n"
	[ "${lines[0]%% *} ${lines[1]} ${lines[2]} ${lines[3]} ${lines[4]} ${lines[6]}" = '150000 77 0 33554432 300 100' ]
	has 2048
	runs once --cgroupns host --cgroup-parent "/$ID" busybox cat /proc/self/cgroup
	has "/$ID/"
	runs once --cgroupns private busybox tail -n 1 /proc/self/cgroup
	is "${output%%:*}:${output#*:}"
	[[ $output == *:/ ]]
	runs once --cgroups disabled busybox echo none
	is none
	parent_removed "$ID"
	nothing_left
}

@test "podman: other containers' and the host's namespaces, --init, secrets, hooks, sysctl" {
	detached busybox sleep 1000
	runs podman run --rm --network "container:$ID" --pid "container:$ID" --ipc "container:$ID" busybox ps
	has 'sleep 1000'
	removed
	runs podman run --rm --network host --ipc host --uts host busybox hostname
	is "$(uname -n)"
	runs once --pid host busybox sh -c '[ $$ -gt 1 ]'
	runs once --personality LINUX32 busybox uname -m
	is i686
	runs once --umask 0027 --tz UTC --group-add 77 --hostname box busybox sh -c 'umask; id; hostname'
	has 0027
	has 77
	has box
	echo hush >secret
	runs podman secret create "$ID" secret
	runs once --secret "$ID" busybox cat "/run/secrets/$ID"
	is hush
	mkdir hooks
	give .
	cat >hooks/record.json <<-JSON
		{ "version": "1.0.0", "when": { "always": true }, "stages": ["prestart"],
		  "hook": { "path": "/bin/sh", "args": ["sh", "-c", "cat >'$PWD/state'"] } }
	JSON
	runs as_who "${PODMAN[@]}" --hooks-dir "$PWD/hooks" run --rm --network none busybox true </dev/null
	[ "$(jq -r .status state)" = created ]
	runs once --init busybox cat /proc/1/comm
	[[ $output == catatonit || $output == podman-init ]]
	nothing_left
}

@test "buildah build and run by --runtime and BUILDAH_RUNTIME, podman build" {
	local limits=(--ulimit nofile=1024:1024 --ulimit nproc=1024:1024)
	printf 'FROM localhost/busybox\nRUN id -u >/built && echo "$$" >/first\n' >Containerfile
	runs as_who buildah "${STORE[@]}" build --runtime "$FENCE" --isolation oci --network none "${limits[@]}" --tag built . </dev/null
	runs once built cat /built /first
	is $'0\n1'
	# A runtime that leaves a trace, to be sure that this one is taken.
	printf '#!/bin/sh\necho "$*" >>"%s"\nexec "%s" "$@"\n' "$PWD/called" "$FENCE" >traced
	chmod +x traced
	give .
	runs as_who env BUILDAH_RUNTIME="$PWD/traced" buildah "${STORE[@]}" build --no-cache --isolation oci --network none "${limits[@]}" . </dev/null
	grep -q create called
	runs as_who buildah "${STORE[@]}" from --name "$ID" localhost/busybox </dev/null
	runs as_who buildah "${STORE[@]}" run --runtime "$FENCE" --isolation oci --network none --user 5 "$ID" id -u </dev/null
	is 5
	fails as_who buildah "${STORE[@]}" run --runtime "$FENCE" --isolation oci --network none "$ID" sh -c 'exit 3' </dev/null
	runs as_who buildah "${STORE[@]}" rm "$ID" </dev/null
	runs podman build --no-cache --network none --isolation oci .
	nothing_left
}
