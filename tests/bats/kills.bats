# Kill -9 of the relay, the proxy, the resolver, the command and fence itself, one after the other while traffic flows: what follows is
# silence, never openness, and nothing is left. The first two decide most, so each pair is tried, the others following in some order;
# KILL_ORDERS=all tries every order.
load helpers

setup() {
	common_setup
	host_namespace
	start witness /usr/bin/python3 -u -c '
import selectors, socket
selector = selectors.DefaultSelector()
for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
    s = socket.socket(socket.AF_INET, kind); s.bind(("0.0.0.0", 7777)); selector.register(s, 1)
    if kind == socket.SOCK_STREAM: s.listen()
print("listening")
while True:
    for key, _ in selector.select():
        print("reached", key.fileobj.accept() if key.fileobj.type == socket.SOCK_STREAM else key.fileobj.recv(100))'
	wait_until grep -q listening "$TEST_DIR/witness.log"
	start stream /usr/bin/python3 -u -c '
import socket, threading
def pour(c):
    try:
        while True: c.sendall(bytes(65536)); c.recv(65536)
    except OSError: c.close()
s = socket.create_server(("203.0.113.7", 7000)); print("serving")
while True: threading.Thread(target=pour, args=(s.accept()[0],), daemon=True).start()'
	wait_until grep -q serving "$TEST_DIR/stream.log"
	# Traffic that is allowed, by name, and attempts that are not, all the time.
	cat >"$TEST_DIR/traffic.py" <<-'PY'
		import errno, socket, sys, threading, time
		def attempt(function):
		    try: function(); return 0
		    except OSError as error: return error.errno or 1
		def stream():
		    with socket.create_connection(("www.example.com", 7000), 2) as c:
		        if c.recv(65536): print("flows", flush=True)
		        while c.recv(65536): c.sendall(bytes(1000))
		def escape(kind):
		    with socket.socket(socket.AF_INET, kind) as s: s.settimeout(0.2); s.connect(("203.0.113.7", 7777)); s.send(b"leak")
		def again(function, *arguments):
		    while True: attempt(lambda: function(*arguments)); time.sleep(0.02)
		for arguments in (stream,), (escape, socket.SOCK_STREAM), (escape, socket.SOCK_DGRAM):
		    threading.Thread(target=again, args=arguments, daemon=True).start()
		time.sleep(600)
	PY
}

relay_pid() {
	local pid
	for pid in $(find /proc/[0-9]*/exe -maxdepth 0 -lname "$FILE_DIR/fence-network" 2>/dev/null | cut -d/ -f3); do
		[ "$(cat "/proc/$pid/comm")" != fence-relay ] || echo "$pid"
	done
}

command_pid() {
	grep -lsF "$ID.py" /proc/[0-9]*/cmdline | cut -d/ -f3 | while read -r pid; do
		[ "$(stat -Lc %i "/proc/$pid/ns/net")" = "$(stat -Lc %i "/proc/$HOST_PID/ns/net")" ] || echo "$pid"
	done
}

# round VICTIM…: all five, in this order.
round() {
	local victim pid fence
	start_proxy 1080
	start_dns 5353 www.example.com 203.0.113.7
	local dns=$STARTED
	cp "$TEST_DIR/traffic.py" "$ID.py"
	give "$ID.py"
	on_host "${AS[@]}" "$FENCE" --policy "$TEST_DIR/policy.json" -- /usr/bin/python3 "$ID.py"
	rm -f "$TEST_DIR/traffic.log"
	"${command[@]}" >"$TEST_DIR/traffic.log" 2>&1 </dev/null 3>&- &
	fence=$!
	wait_until grep -qs flows "$TEST_DIR/traffic.log" || { cat "$TEST_DIR/traffic.log" >&2 && return 1; }
	local -A pids=([relay]=$(relay_pid) [proxy]=$PROXY_PID [resolver]=$dns [command]=$(command_pid) [fence]=$fence)
	for victim in "$@"; do
		kill -KILL ${pids[$victim]} 2>/dev/null || true
		pause
	done
	wait "$fence" 2>/dev/null || true
	stop "$dns"
	stop "$PROXY_PID"
	wait_until no_processes_left || { echo "left after $*: $(processes_left)" >&2 && return 1; }
	[ "$(cat "$TEST_DIR/witness.log")" = listening ] || { echo "leaked after $*" >&2 && return 1; }
}

orders() {
	/usr/bin/python3 -c '
import itertools, random, sys
victims = "relay", "proxy", "resolver", "command", "fence"
for order in itertools.permutations(victims):
    if sys.argv[1] == "all" or list(order[2:]) == sorted(order[2:], key=victims.index): print(*order)' "${KILL_ORDERS:-pairs}"
}

# bats test_tags=root
@test "kill -9 of relay, proxy, resolver, command and fence, in every order: silence, and nothing left" {
	echo '{ "network": { "proxyUrl": "socks5://127.0.0.1:1080", "dnsAddr": "127.0.0.1:5353", "allowedDomains": ["www.example.com:7000"] } }' \
		>"$TEST_DIR/policy.json"
	local order turn=0
	while read -r order; do
		turn=$((turn + 1))
		become "$([ $((turn % 2)) = 0 ] && echo root || echo user)"
		round $order
	done < <(orders)
	[ "$turn" -ge 20 ]
	assert_nothing_left
}

@test "with the relay dead the command goes on, is told that there is no network, and fence net says why" {
	start_proxy 1080
	for who in $EVERYONE; do
		become "$who"
		mkfifo go
		give go
		on_host "${AS[@]}" "$FENCE" --proxy socks5://127.0.0.1:1080 -- /usr/bin/python3 -uc '
import socket
c = socket.create_connection(("203.0.113.7", 7000)); c.recv(1); print("flows"); open("go").read()
try: socket.create_connection(("203.0.113.7", 7000), 5)
except OSError as error: print("then:", error)
try: print("still", len(c.recv(10)))
except OSError as error: print("open one:", error)'
		rm -f "$TEST_DIR/dead.log"
		"${command[@]}" >"$TEST_DIR/dead.log" 2>&1 </dev/null 3>&- &
		local pid=$! id
		wait_until grep -qs flows "$TEST_DIR/dead.log"
		kill -KILL "$(relay_pid)"
		wait_until eval '[ -z "$(relay_pid)" ]'
		id=$(fence list --quiet | grep "^fence-$pid-")
		fails fence net "$id"
		has "container $id has no relay: it has no way out"
		echo go >go
		wait "$pid"
		runs cat "$TEST_DIR/dead.log"
		has 'then: [Errno 101] Network is unreachable'
	done
	assert_nothing_left
}
