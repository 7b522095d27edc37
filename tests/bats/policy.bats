# Policies: what each rule comes to. The goldens (golden/*.txt) hold what the compiler decides for a policy, in a few lines of
# each config; UPDATE_GOLDEN=1 rewrites them. The rest runs commands behind the fence, or reads what `fence spec` wrote.
load helpers

# spec [OPTION…]: the bundle of a policy, new each time.
spec() {
	rm -rf "$BUNDLE"
	runs fence spec --bundle "$BUNDLE" "$@" -- true
}

config() {
	jq -r "$@" "$BUNDLE/config.json"
}

# golden NAME <TEXT: TEXT, its places made nameless, is what golden/NAME.txt has.
golden() {
	local wanted=$BATS_TEST_DIRNAME/golden/$1.txt found=$TEST_DIR/$1.txt
	sed -e "s|$BUNDLE|@BUNDLE@|g" -e "s|$HOME|@HOME@|g" -e "s|$WORK|@WORK@|g" -e "s|$TEST_DIR|@TEST@|g" >"$found"
	[ -z "${UPDATE_GOLDEN:-}" ] || cp "$found" "$wanted"
	diff -u "$wanted" "$found" >&2
}

# Mounts below the test's own directory: the rest differs from host to host.
own_mounts() {
	config --arg own "$TEST_DIR" '.mounts[] | select(.destination | startswith($own))
		| "\(.destination) <- \(.source) \(.options | join(","))"'
}

# --- the compiler's decisions ---

# bats test_tags=root
@test "golden: the mounts of a project with rules above, below and across each other" {
	mkdir -p "$HOME"/{.ssh,.config/gh,tools} secrets/open .git/{hooks,objects} .claude/commands build sub/.vscode data
	touch "$HOME/.ssh/id" secrets/{key,open/file} .env sub/.env.local notes.key
	echo text | tee .git/config .git/hooks/sample .claude/commands/one sub/.vscode/settings.json >/dev/null
	ln -s data link
	policy '{ "filesystem": { "strictDenyRead": true,
		"allowRead": ["~/tools", "secrets/open", "~/missing"], "denyRead": ["secrets", "*.key", "~"],
		"allowWrite": [".", "link/x"], "denyWrite": ["build", "out/made/later"] } }'
	spec --policy "$POLICY"
	own_mounts | golden mounts
	config '.annotations["dev.fence.placeholders"]' | jq -r '.[]' | golden placeholders
	(cd "$BUNDLE" && find . -mindepth 1 -path ./config.json -o -path ./rootfs/proc -o -path ./rootfs/sys\* -prune -o -printf '%y %m %p %l\n' | sort) |
		grep -v -e config.json -e /rootfs/proc -e /rootfs/sys | golden bundle
}

# bats test_tags=root
@test "golden: system calls, capabilities and namespaces of the default policy" {
	spec --policy default
	config '.linux.seccomp.syscalls[] | "\(.names | join(" ")): \(.action) \(.errnoRet) \(.args // [] | map("\(.index) \(.op) \(.value) \(.valueTwo)") | join("; "))"' |
		golden seccomp
	config '.linux.namespaces[].type, .process.capabilities, .process.noNewPrivileges, .root.readonly, .linux.maskedPaths, .linux.readonlyPaths' |
		golden privileges
}

@test "golden: the network file" {
	policy '{ "network": { "proxyUrl": "socks5://user:word@192.0.2.1:1080", "dnsAddr": "192.0.2.53:53",
		"allowedDomains": ["example.com", "*.example.org:443", "udp://203.0.113.0/24"], "deniedDomains": ["bad.example.org"],
		"allowLocalOutboundPorts": [5432], "inboundPorts": [8080, "127.0.0.2:53:5353/udp"], "tun": "preferred" } }'
	spec --policy "$POLICY"
	jq -S 'del(.tun)' "$BUNDLE/network.json" | golden network
	config '.hooks | to_entries[] | .key + ": " + (.value[0].args | join(" "))' | golden hooks
	[ "$(stat -c %a "$BUNDLE/network.json")" = 600 ]
	! grep -q word "$BUNDLE/config.json"
}

@test "a rule for the host's loopback opens it, one for a name that only begins like it does not" {
	for rule in localhost tcp://LOCALHOST:80 127.0.0.1 '[::1]:80'; do
		policy "{ \"network\": { \"allowedDomains\": [\"$rule\"] } }"
		spec --policy "$POLICY"
		jq -e .allowLocalOutbound "$BUNDLE/network.json"
	done
	policy '{ "network": { "allowedDomains": ["localhost.example.com", "localhosts.example.com:80", "0.0.0.0/0"] } }'
	spec --policy "$POLICY"
	jq -e '.allowLocalOutbound | not' "$BUNDLE/network.json"
}

@test "each built-in policy compiles to a valid config, and its network to what the relay reads" {
	for name in default default-deny workspace-write git-readonly local-dev-server npm-install pip-install agent-api-only code code-relaxed; do
		spec --policy "$name"
		runs "$ROOT/tests/bats/oci-schema/validate.py" config-schema.json "$BUNDLE/config.json"
	done
}

@test "the schema for editors knows the keys that fence knows" {
	local object keys
	for object in '' filesystem network command ssh env syscalls resources; do
		if [ -n "$object" ]; then
			policy "{ \"$object\": { \"?\": 0 } }"
			keys=".properties.$object.properties | keys[]"
		else
			policy '{ "?": 0 }'
			keys='.properties | keys[]'
		fi
		capture fenced true
		diff -u <(jq -r "$keys" "$ROOT/contrib/policy.schema.json" | sort) \
			<(grep -o '"[^"]*"' <<<"${output#*the keys here are}" | tr -d '"' | sort) >&2
	done
}

# --- where policies come from ---

@test "extends: built-in policies and files, lists appended, nearer scalars win, denials kept" {
	mkdir ../base
	cat >../base/base.json <<-'JSON'
		{ "extends": "default-deny", "filesystem": { "denyRead": ["hidden"], "defaultDenyRead": true },
		  "env": { "set": { "A": "base", "B": "base" } } }
	JSON
	echo secret | tee hidden >open
	policy '{ "extends": "base/base.json", "filesystem": { "allowRead": ["."], "allowWrite": ["."] }, "env": { "set": { "A": "nearer" } } }'
	give .. .
	runs fenced sh -c 'cat open; touch new; echo "$A $B"; cat hidden 2>&1 || true'
	has 'nearer base'
	[ -e new ]
	[ "$(grep -c secret <<<"$output")" = 1 ]
}

@test "extends: a chain that leads back, one that is too long, a file where only names may stand" {
	echo '{ "extends": "./b.json" }' >a.json
	echo '{ "extends": "./a.json" }' >b.json
	exits 125 fence --policy ./a.json -- true
	has 'it leads back to itself'
	echo '{}' >0.json
	for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
		echo "{ \"extends\": \"./$((n - 1)).json\" }" >"$n.json"
	done
	runs fence --policy ./9.json -- true
	exits 125 fence --policy ./12.json -- true
	has 'longer than'
}

@test "a name: the user's policies, then an error that suggests; a file of that name is not meant" {
	mkdir -p "$HOME/.config/fence/policies"
	echo '{ "filesystem": { "allowWrite": ["."] } }' >"$HOME/.config/fence/policies/mine.json"
	runs fence --policy mine -- touch new
	exits 125 fence --policy defualt -- true
	has 'did you mean "default"?'
	echo '{}' >here
	exits 125 fence --policy here -- true
	has 'write ./here'
}

@test "the node's policy: what it denies stays denied, whatever opens what is below it" {
	host_namespace
	private_etc
	mkdir -p vault/inner
	echo secret >vault/inner/file
	host_file /etc/fence/fence.json <<<"{ \"filesystem\": { \"denyRead\": [\"$WORK/vault\"] } }"
	policy "{ \"filesystem\": { \"allowRead\": [\"vault/inner\"], \"allowWrite\": [\"vault/inner\", \".\"] } }"
	capture fenced cat vault/inner/file
	hasnt secret
	capture fence -- cat vault/inner/file
	hasnt secret
	runs fenced touch new
}

# --- files ---

@test "the nearest rule decides; on the same path a denial does" {
	for who in $EVERYONE; do
		become "$who"
		mkdir -p a/b/c/d same
		for file in a/1 a/b/2 a/b/c/3 a/b/c/d/4 same/5; do echo "secret-$file" >"$file"; done
		give .
		policy '{ "filesystem": { "allowWrite": [".", "a/b/c", "same"], "denyRead": ["a/b", "a/b/c/d", "same"], "denyWrite": ["a"] } }'
		capture fenced sh -c 'cat a/1 a/b/2 a/b/c/3 a/b/c/d/4 same/5; touch a/new a/b/c/new a/b/c/d/new same/new top; true'
		has secret-a/1
		has secret-a/b/c/3
		hasnt secret-a/b/2
		hasnt secret-a/b/c/d/4
		hasnt secret-same
		[ -e a/b/c/new ] && [ -e top ]
		absent a/new a/b/c/d/new same/new
	done
}

@test "denying all of home leaves the working directory in it, and what is allowed by name" {
	for who in $EVERYONE; do
		become "$who"
		mkdir -p "$HOME/project" "$HOME/.ssh" "$HOME/docs"
		echo secret >"$HOME/.ssh/key"
		echo text >"$HOME/docs/page"
		give "$HOME"
		policy '{ "filesystem": { "defaultDenyRead": false, "denyRead": ["~"], "allowRead": ["~/docs"], "allowWrite": ["."] } }'
		cd "$HOME/project"
		runs fenced sh -c 'touch here; cat ~/docs/page; ls -a ~; cat ~/.ssh/key 2>&1 || true'
		has text
		hasnt secret
		hasnt .ssh$'\n'
		[ -e here ]
	done
}

@test "in home itself, or above it, \".\" opens nothing" {
	for who in $EVERYONE; do
		become "$who"
		echo secret >"$HOME/private"
		give "$HOME"
		for place in "$HOME" "$HOME/.." /; do
			cd "$place"
			capture fence -d -- sh -c 'cat ~/private; touch ~/new ./new; pwd'
			hasnt $'\nsecret'
			has 'opens nothing'
			absent "$HOME/new"
		done
		cd "$HOME"
		policy '{ "filesystem": { "allowWrite": ["~"] } }'
		runs fenced sh -c 'cat private; touch new'
		has secret
		fails fenced sh -c 'echo >>.bashrc'
		rm new
	done
}

@test "a link that the command could have made opens nothing outside" {
	for who in $EVERYONE; do
		become "$who"
		mkdir -p "$HOME/.ssh" real
		echo secret >"$HOME/.ssh/key"
		ln -s "$HOME/.ssh" build
		ln -s real inside
		give . "$HOME"
		policy '{ "filesystem": { "allowWrite": [".", "build"] } }'
		exits 125 fenced cat build/key
		has "name $HOME/.ssh itself"
		policy '{ "filesystem": { "allowWrite": ["."], "allowRead": ["b*"] } }'
		capture fenced cat build/key
		hasnt secret
		policy '{ "filesystem": { "allowRead": ["."], "allowWrite": ["inside"] } }'
		runs fenced touch inside/new
		# Protective mounts show nothing, either.
		ln -s "$HOME/.ssh" .vscode
		policy '{ "filesystem": { "allowWrite": ["."] } }'
		capture fenced cat .vscode/key
		hasnt secret
	done
}

@test "a protected file that is a link: neither the link nor what it leads to can be changed" {
	for who in $EVERYONE; do
		become "$who"
		mkdir dotfiles
		echo old | tee dotfiles/mcp dotfiles/other >/dev/null
		ln -s dotfiles/mcp .mcp.json
		give .
		policy '{ "filesystem": { "allowWrite": ["."] } }'
		capture fenced sh -c 'rm .mcp.json; mv .mcp.json x; ln -sf dotfiles/other .mcp.json; echo new >.mcp.json; echo new >dotfiles/mcp; cat .mcp.json; touch dotfiles/free'
		has old
		[ "$(readlink .mcp.json)" = dotfiles/mcp ]
		[ "$(cat dotfiles/mcp)" = old ]
		[ -e dotfiles/free ]
	done
}

@test "a submodule cannot be moved away, to be replaced by one that obeys the command" {
	for who in $EVERYONE; do
		become "$who"
		git init -q .
		mkdir -p libraries/module
		git init -q libraries/module
		echo tracked >libraries/module/file
		give .
		policy '{ "filesystem": { "allowWrite": ["."] } }'
		fails fenced mv libraries/module moved
		fails fenced mv libraries moved
		runs fenced sh -c 'echo changed >libraries/module/file && mv libraries/module/file libraries/file'
		[ "$(cat libraries/file)" = changed ]
	done
}

@test "a directory cannot be moved away with what is denied in it, to be made anew or to be read by the next command" {
	for who in $EVERYONE; do
		become "$who"
		mkdir -p app/conf/deep lib/.vscode web/one
		echo original | tee app/conf/fixed lib/.vscode/settings.json >/dev/null
		echo secret | tee app/conf/deep/key web/one/.env >/dev/null
		give .
		policy '{ "filesystem": { "allowWrite": ["."], "denyWrite": ["app/conf/fixed"], "denyRead": ["app/conf/deep/key"] } }'
		runs fenced sh -c 'mkdir -p a/b/c/d; mv app a/b/c/d; mv app/conf app/aside; mv app/conf/deep x; mv lib x2; mv web a/b/c/d; mv web/one a/b/c/d
			mkdir -p app/conf lib/.vscode; echo evil >app/conf/fixed; echo evil >lib/.vscode/settings.json; touch app/conf/new; true'
		[ -e app/conf/new ]
		[ "$(cat app/conf/fixed lib/.vscode/settings.json)" = $'original\noriginal' ]
		capture fenced find . -type f -name '[.k]*' -exec cat '{}' +
		hasnt secret
	done
}

@test "a command cannot change the policies that hold it, or those after it, back" {
	local loose='{ "filesystem": { "allowWrite": ["/"] } }'
	for who in $EVERYONE; do
		become "$who"
		mkdir -p rules
		echo '{ "extends": "./base.json", "filesystem": { "allowWrite": ["."] } }' >rules/policy.json
		echo '{}' >rules/base.json
		ln -s rules/policy.json link.json
		give .
		for name in rules/policy.json rules/base.json link.json; do
			capture fence --policy link.json -- sh -c 'echo "$2" >"$1"; rm -f "$1"; echo "$2" >new; mv new "$1"; mv rules r; true' sh "$name" "$loose"
		done
		[ "$(cat rules/base.json)" = '{}' ]
		[ "$(jq -r .extends link.json)" = ./base.json ]
		# The user's own: there, and not there.
		policy '{ "filesystem": { "allowWrite": ["~"] } }'
		capture fenced sh -c 'mkdir -p ~/.config/fence; mv ~/.config ~/aside; mkdir -p ~/.config/fence; echo "$1" >~/.config/fence/fence.json; touch ~/new' sh "$loose"
		absent "$HOME/.config/fence/fence.json"
		mkdir -p "$HOME/.config/fence/policies"
		cp "$POLICY" "$HOME/.config/fence/fence.json"
		give "$HOME"
		capture fence -- sh -c 'cd ~/.config; echo "$1" >fence/fence.json; echo "$1" >fence/policies/mine.json; mv fence f; mv ../.config ../c; touch ~/new; touch other' sh "$loose"
		[ "$(cat "$HOME/.config/fence/fence.json")" = "$(cat "$POLICY")" ]
		absent "$HOME/.config/fence/policies/mine.json"
		[ -e "$HOME/new" ] && [ -e "$HOME/.config/other" ]
	done
}

@test "the proxy's password cannot be read from the policy's file" {
	for who in $EVERYONE; do
		become "$who"
		echo '{ "network": { "proxyUrl": "socks5://me:password@192.0.2.1:1080" } }' >proxy.json
		echo '{ "extends": "./proxy.json", "filesystem": { "defaultDenyRead": false } }' >open.json
		give .
		capture fence --policy open.json -- cat proxy.json
		has 'Permission denied'
	done
}

# bats test_tags=user
@test "what a command locks, by taking its own rights to a directory away, stays closed to the next one" {
	become user
	git init -q .
	git init -q sub
	mkdir secret
	echo secret | tee secret/key.pem >secret/named
	give .
	policy '{ "filesystem": { "allowWrite": ["."], "denyRead": ["secret/named", "**/*.pem"] } }'
	runs fenced chmod 000 .git sub secret
	runs fenced sh -c 'chmod 755 .git sub secret; echo evil >>.git/config; echo evil >>sub/.git/config; echo evil >.git/hooks/pre-commit
		mkdir -p sub/.git/hooks; echo evil >sub/.git/hooks/pre-commit; cat secret/*; true'
	hasnt $'\nsecret'
	chmod 755 .git sub secret
	! grep -r evil .git sub
	# What could not be looked at is still known, and goes when it can be.
	runs fence delete --force "$(fence list --quiet)"
	assert_nothing_left
}

# bats test_tags=root
@test "a FIFO that a command left where git has a file does not hold the next one up" {
	become root
	policy '{ "filesystem": { "allowWrite": ["."] } }'
	runs fenced sh -c 'mkdir sub git; echo "gitdir: $PWD/git" >sub/.git; mkfifo git/commondir'
	AS=(timeout 20)
	runs fenced true
}

@test "patterns: ** anywhere, names that look like patterns, everything below a directory" {
	mkdir -p app/pages deep/x/y/z tree/inner
	echo secret | tee app/pages/one.key deep/x/y/z/two.key tree/inner/three 'app/[id].tsx' app/i.tsx >/dev/null
	policy "{ \"filesystem\": { \"denyRead\": [\"**/one.key\", \"$WORK/deep/**/*.key\", \"tree/**\", \"app/[id].tsx\"] } }"
	capture fenced sh -c 'cat app/pages/one.key deep/x/y/z/two.key tree/inner/three "app/[id].tsx"'
	hasnt secret
	runs fenced cat app/i.tsx
	is secret
}

@test "files that hold secrets in a project read as empty, until the policy names them" {
	mkdir -p sub/deep
	echo secret | tee .env .env.production sub/.env.local >.env.example
	policy '{ "filesystem": { "allowWrite": ["."] } }'
	runs fenced cat .env .env.production sub/.env.local
	is ''
	fails fenced sh -c 'echo x >>.env'
	runs fenced cat .env.example
	is secret
	policy '{ "filesystem": { "allowWrite": ["."], "allowRead": [".env"] } }'
	runs fenced cat .env
	is secret
}

@test "what is denied for writing and does not exist cannot be made, and leaves nothing" {
	for who in $EVERYONE; do
		become "$who"
		policy '{ "filesystem": { "allowWrite": ["."], "denyWrite": ["plan.md", "new/dir/file", "folder/"] } }'
		capture fenced sh -c 'echo >plan.md; mkdir -p new/dir; touch new/x folder/x; mv new n; rm -rf new plan.md folder; mkdir folder2'
		absent plan.md new folder n
		[ -d folder2 ]
		assert_nothing_left
	done
}

@test "root's files of the system that hold secrets are masked" {
	become root
	capture fence -- sh -c 'cat /etc/shadow /etc/gshadow; cat /etc/passwd'
	has root:
	hasnt 'root:*'
	hasnt 'root:$'
	hasnt 'root:!'
}

@test "strictDenyRead shows not even the system; allowRead brings what is needed" {
	policy '{ "filesystem": { "strictDenyRead": true } }'
	exits 127 fenced true
	policy '{ "filesystem": { "strictDenyRead": true, "allowRead": ["/bin", "/lib", "/lib64", "/usr/bin", "/usr/lib"] } }'
	runs fenced sh -c 'ls /usr; ls /etc 2>&1 || true'
	hasnt share
}

@test "the bundle, where the proxy's password is, cannot be read from inside" {
	policy '{ "filesystem": { "allowWrite": ["."] }, "network": { "proxyUrl": "socks5://user:password@127.0.0.1:1" } }'
	BUNDLE=$WORK/bundle
	rm -rf "$BUNDLE"
	runs fence spec --policy "$POLICY" --bundle "$BUNDLE" -- cat bundle/network.json
	has_mask=$(config --arg b "$BUNDLE" '[.mounts[] | select(.destination == $b)] | length')
	[ "$has_mask" = 1 ]
}

# --- system calls, sockets, privileges ---

try_python() {
	fenced /usr/bin/python3 -c "$@"
}

@test "unix sockets: refused, opened for named ones, opened for all" {
	for who in $EVERYONE; do
		become "$who"
		start unix as_who /usr/bin/python3 -c "import socket; s = socket.socket(socket.AF_UNIX); s.bind('$WORK/s'); s.listen(); s.accept(); s.accept()"
		wait_until test -S "$WORK/s"
		local connect="import socket; socket.socket(socket.AF_UNIX).connect('$WORK/s'); print('connected')"
		policy '{ "filesystem": { "allowWrite": ["."] } }'
		fails try_python "$connect"
		runs try_python 'import socket; a, b = socket.socketpair(); a.send(b"x"); print(b.recv(1))'
		fails try_python 'import socket; socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)'
		fails try_python 'import socket; socket.socketpair(socket.AF_UNIX, socket.SOCK_RAW)' # a datagram socket, too
		policy "{ \"network\": { \"allowUnixSockets\": [\"$WORK/s\"] } }"
		runs try_python "$connect"
		policy '{ "network": { "allowAllUnixSockets": true } }'
		runs try_python "$connect"
		stop unix
		rm -f s
	done
}

@test "socket families: only those that can be fenced, also with garbage in the upper half of an argument" {
	policy '{}'
	for family in socket.AF_PACKET 40 38 31; do
		fails try_python "import socket; socket.socket($family, socket.SOCK_RAW)"
		has 'Address family not supported'
	done
	runs try_python 'import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)'
	fails try_python 'import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)'
	runs try_python 'import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.syscall(41, ctypes.c_long(0x100000001), 1, 0), ctypes.get_errno())'
	[ "$(uname -m)" != x86_64 ] || is '-1 97'
}

@test "syscalls: allowed, denied, and killed for" {
	local ptrace='import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.ptrace(0, 0, 0, 0), ctypes.get_errno())'
	policy '{}'
	runs try_python "$ptrace"
	is '-1 1'
	policy '{ "syscalls": { "allow": ["ptrace"] } }'
	runs try_python "$ptrace"
	is '0 0'
	policy '{ "syscalls": { "deny": ["mkfifo", "mknod", "mknodat"] }, "filesystem": { "allowWrite": ["."] } }'
	fails fenced mkfifo pipe
	policy '{ "syscalls": { "action": "kill" } }'
	exits 159 try_python "$ptrace"
}

@test "syscalls: a name that cannot be refused is an error, not a hole" {
	policy '{ "syscalls": { "deny": ["mkdir", "mkdirr"] } }'
	exits 125 fenced true
	has 'mkdirr'
}

@test "namespaces can be allowed, and still nothing comes to light" {
	# Landlock forbids all mounts, so it must go for this.
	for who in $EVERYONE; do
		become "$who"
		echo secret >hidden
		give .
		policy '{ "syscalls": { "allow": ["unshare", "mount", "umount2", "setns", "chroot"] }, "command": { "useDefaults": false }, "landlock": "never", "filesystem": { "allowWrite": ["."], "denyRead": ["hidden"] } }'
		capture fenced unshare --user --map-root-user --mount sh -c 'umount hidden; umount -l .; cat hidden; mkdir m; mount --bind . m; cat m/hidden; id -u'
		hasnt secret
		# Root's uid cannot be mapped without a capability that it does not have.
		[ "$who" = root ] || grep -qx 0 <<<"$output"
		capture fenced unshare --user --map-root-user --mount sh -c 'echo >>.bashrc; rm .bashrc; true'
		absent .bashrc
	done
}

@test "capabilities: those that are named, and no others" {
	become root
	policy '{ "capabilities": ["CAP_NET_BIND_SERVICE"] }'
	runs fenced grep CapEff /proc/self/status
	is $'CapEff:\t0000000000000400'
}

# --- commands ---

# commands TABLE: "+ LINE" must be permitted and "- LINE" denied; %N% is a newline. Nothing is run.
commands() {
	local mark line failed=0
	while IFS=' ' read -r mark line; do
		[[ $mark == [+-] ]] || continue
		rm -rf "$BUNDLE"
		capture fence spec --policy "$POLICY" --bundle "$BUNDLE" -c "${line//%N%/$'\n'}"
		case $mark$status in
		+0 | -125) [[ $status = 0 || $output = *'is denied'* ]] && continue ;;
		esac
		printf '%s\n' "$mark $line: status $status: $output" >&2
		failed=1
	done <"$BATS_TEST_DIRNAME/golden/$1.table"
	return "$failed"
}

@test "commands are found wherever a shell's line hides them" {
	policy '{ "command": { "deny": ["git push", "npm publish", "rm -rf"], "allow": ["git push origin docs"] } }'
	commands commands
}

@test "ssh: hosts, what is run there, and the options that lead elsewhere" {
	policy '{ "ssh": { "allowedHosts": ["*.example.com", "build"], "deniedHosts": ["prod.example.com"],
		"allowedCommands": ["ls", "git status", "rsync"], "deniedCommands": ["ls /secret"], "inheritDeny": true } }'
	commands ssh
}

@test "commands without a shell, without the defaults, and with the node's denials" {
	policy '{ "command": { "deny": ["git push"] } }'
	exits 125 fenced git -C . push
	exits 125 fenced sudo shutdown
	policy '{ "command": { "useDefaults": false } }'
	spec --policy "$POLICY" # a policy without denials
	runs fence spec --policy "$POLICY" --bundle "$BUNDLE.2" -- shutdown
	host_namespace
	private_etc
	host_file /etc/fence/fence.json <<<'{ "command": { "deny": ["git push"] } }'
	policy '{ "command": { "allow": ["git push"] } }'
	exits 125 fenced git push
}

@test "runtimeExecPolicy path: what a command starts cannot execute denied programs, either" {
	mkdir tools
	printf '#!/bin/sh\necho ran "$0"\n' | tee tools/banned tools/needed tools/free >/dev/null
	chmod 755 tools/*
	ln -s free tools/other
	policy '{ "command": { "deny": ["banned", "needed", "other"], "allow": ["needed -v"], "runtimeExecPolicy": "path" },
		"filesystem": { "allowRead": ["."] } }'
	give .
	printf 'banned; chroot / true; needed; other; free; ! cat tools/banned; exit 0\n' >script
	PATH=$PWD/tools:$PATH runs fenced sh script
	hasnt "ran $PWD/tools/banned"
	has 'banned: Permission denied'
	has 'chroot: Permission denied'
	has 'tools/needed'
	has 'tools/other'
	has 'tools/free'
	PATH=$PWD/tools:$PATH runs fence --debug --policy "$POLICY" -- true
	has "tools/free by another name"
	policy '{ "command": { "deny": ["banned"] }, "filesystem": { "allowRead": ["."] } }'
	PATH=$PWD/tools:$PATH runs fenced sh -c 'exec sh script'
	has 'tools/banned'
}

# --- environment and limits ---

@test "the environment: credentials stay out, a list lets pass what it names" {
	export SOME_TOKEN=t0ken AWS_PROFILE=prod PLAIN=plain LD_PRELOAD_X=1 HTTP_PROXY=http://user:password@192.0.2.1 LC_TIME=C OTHER=other
	policy '{}'
	SECRET_KEY_BASE=t0ken SMTP_PASS=t0ken STRIPE_KEY=t0ken GITLAB_PAT=t0ken CI_JOB_JWT=t0ken SSHPASS=t0ken SENTRY_DSN=t0ken \
		REDIS_URL=redis://:t0ken@192.0.2.1:6379/0 PAGE=https://example.com/a:b@c runs fenced env
	has PLAIN=plain
	has PAGE=https
	hasnt t0ken
	hasnt password
	hasnt AWS_PROFILE
	policy '{ "env": { "pass": ["SOME_TOKEN", "PL*"], "deny": ["PLUS"], "set": { "NEW": "a value" } } }'
	PLUS=1 runs fenced env
	has SOME_TOKEN=t0ken
	has PLAIN=plain
	has 'NEW=a value'
	has LC_TIME=C
	hasnt OTHER
	hasnt PLUS
	policy '{ "network": { "allowedDomains": ["example.com"] } }'
	runs fence spec --policy "$POLICY" --bundle "$BUNDLE" -- true
	! grep -q -e password -e t0ken "$BUNDLE/config.json"
}

@test "resources become limits" {
	policy '{ "resources": { "memory": "64M", "cpus": 1.5, "pids": 50 } }'
	spec --policy "$POLICY"
	[ "$(config -c '.linux.resources')" = '{"memory":{"limit":67108864},"cpu":{"quota":150000,"period":100000},"pids":{"limit":50}}' ]
}
