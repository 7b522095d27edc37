# Landlock: the annotation dev.fence.landlock restricts the process by itself, behind whatever the mounts allow.
load helpers

setup() {
	common_setup
	require_kernel 'Landlock with scopes (Linux 6.12)' has_scopes
}

has_scopes() {
	"$FENCE" check | grep -q '^yes *Landlock scopes'
}

# landlocked ANNOTATION COMMAND
landlocked() {
	rm -rf "$BUNDLE"
	make_bundle
	edit_config --arg annotation "$1" '.annotations["dev.fence.landlock"] = $annotation'
	bundle_args sh -c "$2"
	mkdir -p "$BUNDLE/rootfs/data/in" "$BUNDLE/rootfs/secret"
	echo text >"$BUNDLE/rootfs/data/file"
	echo secret >"$BUNDLE/rootfs/secret/file"
	give "$BUNDLE"
	run_bundle
}

everything='"execute": ["/"], "read": ["/"]'

@test "fence-exec: 127 for a program that is not there, also when nobody can be told" {
	exits 127 "$FILE_DIR/fence-exec" '{"read": ["/"], "execute": ["/"]}' /no/such/program
	has 'cannot execute /no/such/program: No such file or directory'
	exits 127 sh -c 'exec "$0" "$@" 2>&-' "$FILE_DIR/fence-exec" '{"read": ["/"], "execute": ["/"]}' /no/such/program
}

@test "reading: only what is listed, also through links" {
	for who in $EVERYONE; do
		become "$who"
		runs landlocked '{"read": ["/bin", "/data", "/dev", "/no/such/path"]}' '
			cat /data/file
			ln -s /secret/file /data/link
			for path in /secret/file /data/link /data/../secret/file /proc/self/root/secret/file; do
				cat "$path" 2>/dev/null || echo "no $path"
			done
			ls / 2>/dev/null || echo "no /"'
		is $'text\nno /secret/file\nno /data/link\nno /data/../secret/file\nno /proc/self/root/secret/file\nno /'
	done
}

@test "writing: not creating, truncating, renaming, linking or removing elsewhere" {
	for who in $EVERYONE; do
		become "$who"
		runs landlocked '{"write": ["/data/in", "/dev/null"]}' '
			exec 2>/dev/null
			echo new >/data/in/new && mkdir /data/in/directory && mv /data/in/new /data/in/newer && echo inside
			echo x >/data/file || echo "no write"
			echo x >>/data/file || echo "no append"
			truncate -s 0 /data/file || echo "no truncate"
			touch /data/other || echo "no create"
			mkdir /data/other || echo "no mkdir"
			mkfifo /data/other || echo "no mkfifo"
			ln -s x /data/other || echo "no symlink"
			mv /data/in/newer /data/newer || echo "no rename out"
			mv /data/file /data/in/file || echo "no rename in"
			ln /data/file /data/in/file || echo "no link in"
			rm /data/file || echo "no remove"
			cat /data/file'
		is $'inside\nno write\nno append\nno truncate\nno create\nno mkdir\nno mkfifo\nno symlink\nno rename out\nno rename in\nno link in\nno remove\ntext'
	done
}

@test "executing: a program that was written cannot be run" {
	for who in $EVERYONE; do
		become "$who"
		runs landlocked '{"execute": ["/bin"]}' 'cp /bin/busybox /data/in/echo; /data/in/echo ran || echo refused; echo fine'
		has refused
		has fine
		hasnt ran
	done
}

@test "no device node is made, even with the capability" {
	runs landlocked '{"write": ["/data"]}' 'mknod /data/null c 1 3 || echo refused'
	has refused
}

# bats test_tags=root
@test "scopes: no signal to others, no abstract socket of others" {
	local server
	start abstract python3 -c 'import socket, time
s = socket.socket(socket.AF_UNIX); s.bind("\0fence-'"$ID"'"); s.listen(); s.accept()'
	server=$STARTED
	make_bundle
	edit_config '.linux.namespaces |= map(select(.type != "pid" and .type != "network")) |
		.process.capabilities = null | .annotations["dev.fence.landlock"] = "{\"scope\": [\"signal\", \"abstract-unix-socket\"]}"'
	bundle_args sh -c "kill -0 $server || echo refused; kill -0 \$\$ && echo self"
	runs run_bundle
	has refused
	has self
	kill -0 "$server"
}

@test "tcp: false binds and connects to nothing" {
	runs landlocked '{"tcp": false}' 'nc -l -p 4000 2>&1; nc 127.0.0.1 4000 2>&1; true'
	has 'bind: Permission denied'
	[ "$(grep -c 'Permission denied' <<<"$output")" -eq 2 ] || complain 'connect should be refused too'
}

@test "mistakes are told, and the container does not start" {
	local case
	while IFS='|' read -r case fragment; do
		fails landlocked "$case" 'echo started'
		has "$fragment"
		hasnt started
	done <<-'CASES'
		{"read": ["relative"]}|is not an absolute path
		{"raed": ["/"]}|did you mean "read"?
		{"scope": ["signals"]}|did you mean "signal"?
		{"read": "/"}|read
		{|landlock
	CASES
}

@test "without no_new_privs and CAP_SYS_ADMIN it is refused, not left out" {
	make_bundle
	edit_config --arg annotation "{$everything}" \
		'.annotations["dev.fence.landlock"] = $annotation | .process.noNewPrivileges = false'
	bundle_args echo started
	fails run_bundle
	has noNewPrivileges
	hasnt started
}
