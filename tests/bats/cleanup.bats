# Nothing stays behind: no process, mount, cgroup, device, socket or file, however the end comes.
load helpers

setup() {
	common_setup
	host_namespace
}

snapshot() {
	find "$HOME" "$WORK" | sort
}

# The command is up when it has written "up"; the path of it all is short so that a kill comes at any point.
begin() {
	on_host "${AS[@]}" "$FENCE" "$@"
	: >"$TEST_DIR/begin.log"
	"${command[@]}" >"$TEST_DIR/begin.log" 2>&1 </dev/null 3>&- &
	pid=$!
}

waiting=(sh -c 'echo up; exec cat fifo')

# The network devices that the host has: a TUN device of fence's is only ever in the container's namespace.
devices() {
	in_host ip -o link | cut -d: -f2
}

relays() {
	find /proc/[0-9]*/exe -maxdepth 0 -lname "$FILE_DIR/fence-network" 2>/dev/null | cut -d/ -f3
}

inits() {
	grep -lsF "$WORK" /proc/[0-9]*/mountinfo | cut -d/ -f3
}

@test "after an ordinary end, with a network and a background process" {
	start_proxy 1080
	for who in $EVERYONE; do
		become "$who"
		snapshot >"$TEST_DIR/before"
		devices >"$TEST_DIR/devices"
		runs fence --proxy socks5://127.0.0.1:1080 -p 8080 -- sh -c 'cat /dev/zero >/dev/null & setsid cat /dev/zero >/dev/null & exit 0'
		assert_nothing_left
		snapshot | diff "$TEST_DIR/before" -
		devices | diff "$TEST_DIR/devices" -
	done
}

@test "after SIGKILL of fence" {
	start_proxy 1080
	for who in $EVERYONE; do
		become "$who"
		mkdir .git
		mkfifo fifo
		give .
		snapshot >"$TEST_DIR/before"
		begin --proxy socks5://127.0.0.1:1080 -- "${waiting[@]}"
		wait_until grep -q up "$TEST_DIR/begin.log"
		[ -n "$(relays)" ]
		kill -KILL "$pid"
		wait "$pid" || true
		assert_nothing_left
		snapshot | diff "$TEST_DIR/before" -
	done
}

@test "after SIGKILL of the command and of everything inside" {
	start_proxy 1080
	for who in $EVERYONE; do
		become "$who"
		mkfifo fifo
		give .
		begin --proxy socks5://127.0.0.1:1080 -- "${waiting[@]}"
		wait_until grep -q up "$TEST_DIR/begin.log"
		kill -KILL $(inits)
		status=0
		wait "$pid" || status=$?
		[ "$status" -eq 137 ]
		assert_nothing_left
	done
}

@test "after SIGKILL of the relay, then of fence" {
	start_proxy 1080
	for who in $EVERYONE; do
		become "$who"
		mkfifo fifo
		give .
		begin --proxy socks5://127.0.0.1:1080 -- "${waiting[@]}"
		wait_until grep -q up "$TEST_DIR/begin.log"
		kill -KILL $(relays)
		kill -KILL "$pid"
		wait "$pid" || true
		assert_nothing_left
	done
}

@test "after SIGKILL at any moment of the start" {
	start_proxy 1080
	for who in $EVERYONE; do
		become "$who"
		mkdir .git
		give .
		snapshot >"$TEST_DIR/before"
		for delay in 0 1 2 3 4 6 8 10 12 15 20 25 30 40; do
			begin --proxy socks5://127.0.0.1:1080 -- true
			/usr/bin/python3 -c 'import sys, select; select.select([], [], [], float(sys.argv[1]) / 1000)' "$delay"
			kill -KILL "$pid" 2>/dev/null || true
			wait "$pid" || true
		done
		assert_nothing_left
		snapshot | diff "$TEST_DIR/before" -
	done
}

# One is killed when it has removed its placeholders, and before that is on record; the next one shares them, and makes them anew.
@test "after SIGKILL amidst the removal of what the next one shares" {
	become root
	trace=(strace -f -e trace=unlinkat,flock -e signal=none)
	snapshot >"$TEST_DIR/before"
	runs fence -- true # caches are warm
	runs in_host "${trace[@]}" -o "$TEST_DIR/trace" "$FENCE" -- true
	number=$(awk 'NR == 1 { pid = $1 } $1 == pid && / unlinkat/ { count++ } $1 == pid && /"\.placeholders"/ { print count; exit }' "$TEST_DIR/trace")
	[ "$number" -gt 10 ]
	# Its watcher comes late.
	start first "${trace[@]}" -e "inject=unlinkat:signal=KILL:when=$number" -e inject=flock:delay_enter=2000000:when=1 "$FENCE" -- true
	wait_until grep -q '"\.placeholders", 0) *= ?' "$TEST_DIR/first.log"
	snapshot | diff "$TEST_DIR/before" -
	mkdir "$TEST_DIR/others" # so that no inode is used again
	for number in $(seq 100); do
		: >"$TEST_DIR/others/$number"
	done
	runs fence -- true
	wait "$STARTED" || true
	assert_nothing_left
	snapshot | diff "$TEST_DIR/before" -
}

@test "after a failure of fence's own" {
	for who in $EVERYONE; do
		become "$who"
		snapshot >"$TEST_DIR/before"
		exits 127 fence --proxy socks5://127.0.0.1:1 -- no-such-command
		exits 125 fence --proxy nonsense -- true
		exits 125 fence -p 70000 -- true
		start holder socat TCP-LISTEN:9090,bind=127.0.0.1,fork,reuseaddr /dev/null
		wait_for_port 127.0.0.1 9090
		exits 125 fence -p 9090 -- true # in use
		stop "$STARTED"
		assert_nothing_left
		snapshot | diff "$TEST_DIR/before" -
	done
}

@test "a hundred containers in a row leave nothing" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle
		bundle_args true
		for number in $(seq 50); do
			runs fence --root "$STATE" create --bundle "$BUNDLE" "$ID-$number"
			runs fence --root "$STATE" start "$ID-$number"
			runs fence --root "$STATE" delete --force "$ID-$number"
		done
		assert_nothing_left
	done
}
