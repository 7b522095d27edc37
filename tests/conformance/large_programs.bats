# Programs that come in large packages, or that take their time: `make conformance`. The others are in tests/bats/programs.bats.
load ../bats/helpers

setup() {
	common_setup
	host_namespace
	start_proxy 1080
	start_dns 5353 www.example.com 203.0.113.7
	become user
	ways=('--proxy socks5://127.0.0.1:1080' '--allow *.example.com')
	set -f # the second way has a star
}

@test "npm: install from a registry" {
	mkdir -p "$TEST_DIR/package/package" "$TEST_DIR/registry/hello-fence/-"
	echo '{ "name": "hello-fence", "version": "1.0.0", "main": "index.js" }' >"$TEST_DIR/package/package/package.json"
	echo 'module.exports = "hello"' >"$TEST_DIR/package/package/index.js"
	tar -C "$TEST_DIR/package" -czf "$TEST_DIR/registry/hello-fence/-/hello-fence-1.0.0.tgz" package
	cat >"$TEST_DIR/registry.py" <<-'PY'
		import base64, hashlib, http.server, json, os, sys
		archive = open(sys.argv[1] + "/hello-fence/-/hello-fence-1.0.0.tgz", "rb").read()
		version = {"name": "hello-fence", "version": "1.0.0", "dist": {"tarball": "http://www.example.com/hello-fence/-/hello-fence-1.0.0.tgz",
		    "integrity": "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()}}
		class Handler(http.server.BaseHTTPRequestHandler):
		    protocol_version = "HTTP/1.1"
		    def do_GET(self):
		        body = archive if self.path.endswith(".tgz") else json.dumps({"name": "hello-fence", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}).encode()
		        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
		http.server.ThreadingHTTPServer(("203.0.113.7", 80), Handler).serve_forever()
	PY
	start registry /usr/bin/python3 "$TEST_DIR/registry.py" "$TEST_DIR/registry"
	wait_for_port 203.0.113.7 80
	local way
	for way in "${ways[@]}"; do
		become user
		echo '{ "name": "x", "version": "1.0.0" }' >package.json
		give package.json
		runs fence $way --dns 127.0.0.1:5353 -- sh -c 'export npm_config_cache=/tmp/cache
			npm install --registry http://www.example.com/ --no-audit --no-fund hello-fence >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
			node -p "require(\"hello-fence\")"'
		is hello
	done
}

@test "a Go program, with Go's own resolver" {
	start_web 203.0.113.7 80
	cat >"$WORK/main.go" <<-'GO'
		package main
		import ("context"; "fmt"; "io"; "net"; "net/http")
		func main() {
			addresses, err := (&net.Resolver{PreferGo: true}).LookupHost(context.Background(), "www.example.com")
			if err != nil { panic(err) }
			reply, err := http.Get("http://www.example.com/")
			if err != nil { panic(err) }
			body, _ := io.ReadAll(reply.Body)
			fmt.Printf("%d %s", len(addresses), body)
		}
	GO
	(cd "$WORK" && HOME=$TEST_DIR GOFLAGS=-mod=mod go build -o client main.go)
	give "$WORK"
	local way
	for way in "${ways[@]}"; do
		runs fence $way --dns 127.0.0.1:5353 -- ./client
		is '1 the page'
	done
}

@test "a Java program" {
	start_web 203.0.113.7 80
	cat >"$WORK/Client.java" <<-'JAVA'
		import java.net.URI;
		import java.net.http.*;
		public class Client {
			public static void main(String[] words) throws Exception {
				var request = HttpRequest.newBuilder(URI.create("http://www.example.com/")).build();
				System.out.print(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
			}
		}
	JAVA
	(cd "$WORK" && javac Client.java)
	give "$WORK"
	local way
	for way in "${ways[@]}"; do
		runs fence $way --dns 127.0.0.1:5353 -- java -Xshare:auto -cp . Client
		is 'the page'
	done
}

@test "HTTP/3: directly, through a proxy that carries UDP, and told at once where there is none" {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=www.example.com \
		-keyout "$TEST_DIR/key.pem" -out "$TEST_DIR/cert.pem" 2>/dev/null
	mkdir "$TEST_DIR/files" "$WORK/got"
	head -c 5M /dev/urandom >"$TEST_DIR/files/blob"
	give "$WORK"
	start server gtlsserver --quiet --htdocs "$TEST_DIR/files" 203.0.113.7 443 "$TEST_DIR/key.pem" "$TEST_DIR/cert.pem"
	cat >"$TEST_DIR/danted.conf" <<-'CONF'
		logoutput: stdout
		internal: 127.0.0.1 port = 1083
		external: 198.51.100.7
		clientmethod: none
		socksmethod: none
		user.privileged: root
		user.unprivileged: nobody
		client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
		socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 command: connect udpassociate
			log: connect }
		socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 command: bindreply udpreply }
	CONF
	start danted danted -f "$TEST_DIR/danted.conf" -p "$TEST_DIR/danted.pid"
	wait_for_port 127.0.0.1 1083
	printf '{ "filesystem": { "allowWrite": ["got"] } }' >policy.json
	local way
	for way in '--allow *.example.com' '--proxy socks5://127.0.0.1:1083'; do
		runs fence --policy ./policy.json $way --dns 127.0.0.1:5353 -- gtlsclient --quiet --no-quic-dump --no-http-dump --exit-on-all-streams-close \
			--download got www.example.com 443 https://www.example.com/blob
		cmp got/blob "$TEST_DIR/files/blob"
		rm got/blob
	done
	grep -q udpassociate "$TEST_DIR/danted.log"
	runs fence --proxy socks5://127.0.0.1:1080 --dns 127.0.0.1:5353 -- python3 -c '
import socket, time
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.connect(("www.example.com", 443)); begin = time.monotonic()
try: u.send(bytes(1200)); u.recv(1)
except OSError as error: print(error.strerror, time.monotonic() - begin < 2)'
	is 'Connection refused True'
}
