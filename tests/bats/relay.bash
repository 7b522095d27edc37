# Helpers for tests of what the relay carries: a "container" that is no more than a network namespace, the hook's relay for it, peers
# on the host, and Python inside. On the host of helpers.bash.

# relay NETWORK-JSON: a "container" (a process with a network namespace of its own), with the hook's tun0 and relay.
relay() {
	mkdir -p "$BUNDLE"
	(umask 077 && printf '%s\n' "$1" >"$BUNDLE/network.json")
	start container unshare --net sleep 600
	CONTAINER=$STARTED
	wait_until is_sleeping
	runs in_host env "${RELAY_ENVIRONMENT[@]}" "$FILE_DIR/fence-network" up <<<"{\"ociVersion\": \"1.0.2\", \"id\": \"$ID\", \"status\": \"creating\",
		\"pid\": $CONTAINER, \"bundle\": \"$BUNDLE\"}"
	RELAY=$(find /proc/[0-9]*/exe -maxdepth 0 -lname "$FILE_DIR/fence-network" | cut -d/ -f3 |
		while read -r pid; do [ "$(cat "/proc/$pid/comm")" != fence-relay ] || echo "$pid"; done)
}

is_sleeping() {
	[ "$(cat "/proc/$CONTAINER/comm")" = sleep ]
}

# With every capability: what the relay must withstand is more than a fenced command could send.
inside() {
	nsenter --target "$CONTAINER" --net -- "$@"
}

direct='{"allow": ["203.0.113.7", "2001:db8::7"]}'

# relay_by DATAPATH: what holds for TCP holds on each of them. Translating is the fallback everywhere, plain that of old kernels.
relay_by() {
	relay "{\"allow\": [\"203.0.113.7\", \"2001:db8::7\"], \"datapath\": \"$1\"}"
}

# Peers on the host, one for each way that a connection can go.
start_peers() {
	cat >"$TEST_DIR/peers.py" <<-'PY'
		import hashlib, os, socket, struct, threading, time
		blob = bytes(range(256)) * 32768
		def drain(c):
		    data = b"".join(iter(lambda: c.recv(65536), b""))
		    return str(len(data)) + " " + hashlib.sha256(data).hexdigest()
		def digest(c): c.sendall(drain(c).encode())          # answers after the end of what it was sent
		def send(c): c.sendall(blob)                         # sends, then ends
		def reset(c): c.recv(1); c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		def ends_first(c): c.shutdown(socket.SHUT_WR); print("ends_first", drain(c), flush=True)
		def slow(c): time.sleep(int(os.environ["TIME_FACTOR"])); digest(c)
		def echo(c):
		    for data in iter(lambda: c.recv(65536), b""): c.sendall(data)
		def notices_reset(c):
		    try: c.recv(1); c.recv(1); print("orderly", flush=True)
		    except ConnectionResetError: print("reset seen", flush=True)
		def serve(port, function):
		    s = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
		    def run(c):
		        with c: function(c)
		    while True: threading.Thread(target=run, args=(s.accept()[0],), daemon=True).start()
		for port, function in enumerate((digest, send, reset, ends_first, slow, echo, notices_reset), 7001):
		    threading.Thread(target=serve, args=(port, function), daemon=True).start()
		u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.bind(("::", 7001))
		print("serving", flush=True)
		while True:
		    data, address = u.recvfrom(65535); u.sendto(data, address)
	PY
	start peers /usr/bin/python3 "$TEST_DIR/peers.py"
	wait_until grep -q serving "$TEST_DIR/peers.log"
}

python() {
	inside timeout "$((60 * TIME_FACTOR))" /usr/bin/python3 -c "
import errno, hashlib, os, select, socket, struct, sys, threading, time
blob = bytes(range(256)) * 32768; FACTOR = int(os.environ['TIME_FACTOR']) # of time, where machines are slow
summary = str(len(blob)) + ' ' + hashlib.sha256(blob).hexdigest()
def family(host): return socket.AF_INET6 if ':' in host else socket.AF_INET
def connect(host, port):
    s = socket.socket(family(host)); s.settimeout(20); s.connect((host, port)); return s
def drain(c): return b''.join(iter(lambda: c.recv(65536), b''))
def take(c, n): # MSG_WAITALL does nothing for a socket with a timeout
    got = b''
    while len(got) < n and (more := c.recv(n - len(got))): got += more
    return got
def error_of(function):
    try: function()
    except OSError as error: return errno.errorcode[error.errno]
both = ('203.0.113.7', '2001:db8::7')
$1" "${@:2}"
}

# fast_clock FACTOR: for relays from now on time passes faster.
fast_clock() {
	cat >"$TEST_DIR/clock.c" <<-C
		#define _GNU_SOURCE
		#include <sys/epoll.h>
		#include <sys/syscall.h>
		#include <time.h>
		#include <unistd.h>
		int clock_gettime(clockid_t clock, struct timespec *now)
		{
			int result = syscall(SYS_clock_gettime, clock, now);
			long long fast = (now->tv_sec * 1000000000ll + now->tv_nsec) * $1;
			if (clock == CLOCK_MONOTONIC)
				*now = (struct timespec){ fast / 1000000000, fast % 1000000000 };
			return result;
		}
		int epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
		{
			return syscall(SYS_epoll_pwait, fd, events, count, timeout < 0 ? timeout : (timeout + $1 - 1) / $1, 0, 8);
		}
	C
	cc -shared -fPIC -o "$FILE_DIR/clock.so" "$TEST_DIR/clock.c"
	RELAY_ENVIRONMENT=("LD_PRELOAD=$FILE_DIR/clock.so")
}

# A SOCKS5 proxy that only associates: 127.0.0.1:1081.
start_associate() {
	cat >"$TEST_DIR/associate.py" <<-'PY'
		import selectors, socket, struct, threading
		def read(c, n): return c.recv(n, socket.MSG_WAITALL)
		def address(read):
		    kind = read(1)[0]
		    host = socket.inet_ntop(*((socket.AF_INET, read(4)) if kind == 1 else (socket.AF_INET6, read(16))))
		    return host, struct.unpack("!H", read(2))[0]
		def serve(c):
		    read(c, read(c, 2)[1]); c.sendall(b"\5\0"); assert read(c, 3) == b"\5\3\0"; address(lambda n: read(c, n))
		    inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); inner.bind(("127.0.0.1", 0))
		    outer = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
		    c.sendall(b"\5\0\0\1" + bytes(4) + struct.pack("!H", inner.getsockname()[1])); print("associated", flush=True)
		    selector = selectors.DefaultSelector()
		    for s in (c, inner, outer): selector.register(s, selectors.EVENT_READ)
		    while True:
		        for key, _ in selector.select():
		            if key.fileobj is c: return
		            data, peer = key.fileobj.recvfrom(65535)
		            if key.fileobj is inner:
		                client, rest = peer, memoryview(data)[3:]
		                def take(n):
		                    global left
		                    taken, left = left[:n], left[n:]; return taken
		                globals()["left"] = rest; host, port = address(take)
		                outer.sendto(bytes(left), ("::ffff:" + host if "." in host else host, port))
		            else:
		                host = peer[0]
		                head = b"\1" + socket.inet_aton(host[7:]) if host.startswith("::ffff:") else b"\4" + socket.inet_pton(socket.AF_INET6, host)
		                inner.sendto(bytes(3) + head + struct.pack("!H", peer[1]) + data, client)
		s = socket.create_server(("127.0.0.1", 1081)); print("serving", flush=True)
		while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
	PY
	start associate /usr/bin/python3 "$TEST_DIR/associate.py"
	wait_until grep -q serving "$TEST_DIR/associate.log"
}
