# The escapes of the last ten years from container runtimes, each tried: by a hostile image, a hostile volume, or from inside.
load helpers

# swap A B: exchanges the two names, again and again, until the test ends. What is resolved twice will differ.
swap() {
	start swapper /usr/bin/python3 -c '
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
first, second = (name.encode() for name in sys.argv[1:])
while libc.renameat2(-100, first, -100, second, 2) == 0:
    pass
sys.exit("the names are gone")' "$1" "$2"
}

add_mount() {
	local entry
	for entry in "$@"; do
		edit_config --argjson entry "$entry" '.mounts += [$entry]'
	done
}

host_mounts() {
	sed 's/^[^ ]* [^ ]* //' /proc/self/mountinfo | sort
}

# --- mount destinations ---

@test "CVE-2019-16884: a volume over /proc" {
	make_bundle
	mkdir -p "$WORK/fake/self/attr" "$WORK/fake/sys"
	add_mount "{\"destination\": \"/proc\", \"source\": \"$WORK/fake\", \"options\": [\"rbind\"]}"
	fails run_bundle
	has 'mounted over /proc'
	make_bundle
	ln -s proc "$BUNDLE/rootfs/alias"
	add_mount "{\"destination\": \"/alias\", \"source\": \"$WORK/fake\", \"options\": [\"rbind\"]}"
	fails run_bundle
	has 'mounted over /proc'
}

@test "CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: /proc or /sys is a symbolic link in the image" {
	for name in proc sys; do
		become root
		make_bundle
		rmdir "$BUNDLE/rootfs/$name"
		mkdir -p "$BUNDLE/rootfs/evil/1/sys"
		ln -s evil/1 "$BUNDLE/rootfs/$name"
		fails run_bundle
		has 'must be mounted on ordinary directory'
	done
}

@test "CVE-2021-30465: a mount's destination on a shared volume turns into a link to the host's root" {
	make_bundle
	mkdir -p "$WORK/volume/target" "$WORK/source" "$WORK/canary"
	ln -s "/../../../../../../../..$WORK/canary" "$WORK/volume/link"
	add_mount "{\"destination\": \"/volume\", \"source\": \"$WORK/volume\", \"options\": [\"rbind\"]}" \
		"{\"destination\": \"/volume/target\", \"source\": \"$WORK/source\", \"options\": [\"rbind\"]}" \
		'{"destination": "/volume/target", "type": "tmpfs", "source": "tmpfs"}'
	bundle_args sh -c 'cat /proc/self/mountinfo; ls /root/../etc'
	host_mounts >"$TEST_DIR/mounts.before"
	swap "$WORK/volume/target" "$WORK/volume/link"
	for _ in $(seq 40); do
		capture run_bundle
		hasnt canary/
		hasnt shadow
		[ -z "$(ls -A "$WORK/canary")" ]
	done
	host_mounts | diff "$TEST_DIR/mounts.before" -
	assert_nothing_left
}

@test "CVE-2024-45310: mount points are made on the host, by way of a shared volume" {
	make_bundle
	mkdir -p "$WORK/volume/target" "$WORK/source" "$WORK/canary"
	touch "$WORK/file"
	ln -s "/../../../../../../../..$WORK/canary" "$WORK/volume/link"
	add_mount "{\"destination\": \"/volume\", \"source\": \"$WORK/volume\", \"options\": [\"rbind\"]}" \
		"{\"destination\": \"/volume/target/directory\", \"source\": \"$WORK/source\", \"options\": [\"rbind\"]}" \
		"{\"destination\": \"/volume/target/file\", \"source\": \"$WORK/file\", \"options\": [\"bind\"]}"
	bundle_args true
	swap "$WORK/volume/target" "$WORK/volume/link"
	for _ in $(seq 40); do
		capture run_bundle
		[ -z "$(ls -A "$WORK/canary")" ]
	done
	assert_nothing_left
}

# --- what is masked, and by what ---

# bats test_tags=root
@test "CVE-2025-31133: the image's /dev/null is something else" {
	make_bundle 'del(.mounts[] | select(.destination | startswith("/dev")))' '.linux.maskedPaths = ["/secret"]'
	echo secret >"$BUNDLE/rootfs/secret"
	ln -s ../proc/sys/kernel/core_pattern "$BUNDLE/rootfs/dev/null"
	bundle_args cat /secret
	fails run_bundle
	has /dev/null
	hasnt secret
}

@test "CVE-2025-31133: a volume on /dev exchanges /dev/null" {
	mkdir -p "$WORK/dev/pts"
	mknod "$WORK/dev/null" c 1 3
	ln -s /proc/sys/kernel/hostname "$WORK/dev/link"
	make_bundle 'del(.mounts[] | select(.destination | startswith("/dev")))' '.linux.maskedPaths = ["/secret", "/proc/keys"]'
	add_mount "{\"destination\": \"/dev\", \"source\": \"$WORK/dev\", \"options\": [\"rbind\"]}"
	echo secret >"$BUNDLE/rootfs/secret"
	bundle_args sh -c 'cat /secret; echo evil >/secret; cat /proc/sys/kernel/hostname; stat -c "%t:%T" /secret /proc/keys'
	swap "$WORK/dev/null" "$WORK/dev/link"
	for _ in $(seq 20); do
		runs run_bundle
		is $'fence-test\n1:3\n1:3'
	done
}

@test "a masked file cannot be used to change the host's null device" {
	before=$(stat -c '%a %u %g %Y' /dev/null)
	make_bundle '.linux.maskedPaths += ["/etc/passwd"]' \
		'.process.capabilities |= map_values(. + ["CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE"])'
	bundle_args sh -c 'chmod 600 /etc/passwd; chown 1:1 /etc/passwd; touch -d 2001-01-01 /etc/passwd; rm -f /etc/passwd; true'
	runs run_bundle
	[ "$(stat -c '%a %u %g %Y' /dev/null)" = "$before" ]
}

# --- the terminal ---

@test "CVE-2025-52565: /dev/console leads elsewhere" {
	mkdir -p "$WORK/dev/pts"
	mknod "$WORK/dev/null" c 1 3
	echo untouched >"$WORK/target"
	ln -s /proc/sys/kernel/hostname "$WORK/dev/console"
	ln -s "/../../../../../..$WORK/target" "$WORK/dev/other"
	make_bundle 'del(.mounts[] | select(.destination == "/dev" or .destination == "/dev/shm" or .destination == "/dev/mqueue"))' \
		'.process.terminal = true'
	edit_config --arg dev "$WORK/dev" '.mounts = [.mounts[0], {"destination": "/dev", "source": $dev, "options": ["rbind"]}] + .mounts[1:]'
	bundle_args sh -c 'cat /proc/sys/kernel/hostname; stat -c %t /proc/sys/kernel/hostname; grep -c "devpts.*/hostname" /proc/self/mountinfo'
	capture on_a_terminal fence --root "$STATE" run --bundle "$BUNDLE" "$ID"
	[ "$status" -ne 0 ] || is $'fence-test\r\n0\r\n0'
	rm "$WORK/dev/console"
	ln -s /dev/null "$WORK/dev/console"
	swap "$WORK/dev/console" "$WORK/dev/other"
	for _ in $(seq 10); do
		capture on_a_terminal fence --root "$STATE" run --bundle "$BUNDLE" "$ID"
		[ "$(cat "$WORK/target")" = untouched ]
	done
}

# --- what the runtime itself writes ---

@test "CVE-2025-52881: writes to /proc are led astray by mounts in it" {
	make_bundle '.linux.sysctl = {"net.ipv4.ip_forward": "1"}'
	mkdir -p "$WORK/ipv4" "$WORK/self/attr"
	echo untouched | tee "$WORK/ipv4/ip_forward" >"$WORK/self/attr/exec"
	add_mount "{\"destination\": \"/proc/sys/net/ipv4\", \"source\": \"$WORK/ipv4\", \"options\": [\"rbind\"]}"
	runs run_bundle
	[ "$(cat "$WORK/ipv4/ip_forward")" = untouched ]
	make_bundle '.linux.sysctl = {"net.ipv4.ip_forward": "1"}'
	bundle_args cat /proc/sys/net/ipv4/ip_forward
	runs run_bundle
	is 1
}

# --- cgroups ---

@test "CVE-2023-25809: /sys/fs/cgroup is writable without privileges" {
	for who in $EVERYONE; do
		become "$who"
		for namespace in '' '{"type": "cgroup"}'; do
			make_bundle ".linux.namespaces += [$namespace] | .mounts += [{\"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\",
				\"source\": \"cgroup\", \"options\": [\"nosuid\", \"noexec\", \"nodev\", \"relatime\", \"ro\"]}]"
			bundle_args sh -c 'sed -n "s,^[^ ]* [^ ]* [^ ]* [^ ]* \(/sys/fs/cgroup[^ ]*\) \(r[ow]\).*,\2,p" /proc/self/mountinfo | sort -u
				for directory in /sys/fs/cgroup/* /sys/fs/cgroup; do mkdir $directory/x 2>/dev/null && echo made; done; true'
			runs run_bundle
			is ro
		done
	done
}

@test "an image's /etc/passwd that nobody writes to, or that has no end, holds nothing up" {
	AS=(timeout --signal KILL 30)
	make_bundle '.process.env = ["PATH=/bin"]'
	bundle_args sh -c 'echo "$HOME"'
	mkdir -p "$BUNDLE/rootfs/etc"
	rm -f "$BUNDLE/rootfs/etc/passwd"
	mkfifo "$BUNDLE/rootfs/etc/passwd"
	runs run_bundle
	is /
	rm "$BUNDLE/rootfs/etc/passwd"
	truncate --size 1T "$BUNDLE/rootfs/etc/passwd"
	runs run_bundle
	is /
}

@test "front door: a directory turns into a link to home while another command of the project starts" {
	mkdir -p "$HOME/.ssh" sub/.git/hooks
	echo secret >"$HOME/.ssh/key"
	echo '[core]' | tee sub/.git/config >sub/.git/HEAD
	ln -s "$HOME/.ssh" link
	swap sub/.git link
	for _ in $(seq 100); do
		capture fence -- sh -c 'cat sub/.git/key; echo x >sub/.git/new'
		hasnt secret
	done
	[ "$(ls -A "$HOME/.ssh")" = key ]
}

# --- exec ---

@test "CVE-2016-9962: a process of the container looks into what enters it" {
	make_bundle '.process.capabilities |= map_values(. + ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"])'
	bundle_args sh -c 'cd /proc; while true; do for pid in [0-9]*; do
		[ $pid = 1 ] || ls -l $pid/exe $pid/cwd $pid/root $pid/fd; done; done >>/tmp/seen 2>/dev/null'
	runs fence --root "$STATE" run --detach --bundle "$BUNDLE" "$ID"
	for _ in $(seq 40); do
		fence --root "$STATE" exec "$ID" sleep 0.02 </dev/null >/dev/null 2>&1
	done
	grep -q ' -> /bin/busybox' "$BUNDLE/rootfs/tmp/seen" # it has been looking
	! grep -E -- "-> .*($STATE|$FILE_DIR|fence|cgroup)" "$BUNDLE/rootfs/tmp/seen"
	runs fence --root "$STATE" delete --force "$ID"
}

@test "CVE-2022-29162, CVE-2022-27650: no inheritable capabilities that the config does not name, in run and in exec" {
	make_bundle
	bundle_args sleep 1000
	runs fence --root "$STATE" run --detach --bundle "$BUNDLE" "$ID"
	runs fence --root "$STATE" exec --cap CAP_NET_RAW "$ID" grep -h CapInh /proc/1/status /proc/self/status
	is $'CapInh:\t0000000000000000\nCapInh:\t0000000000000000'
	runs fence --root "$STATE" delete --force "$ID"
}

@test "CVE-2025-24965: nothing is written through a link of the image's for another handler" {
	make_bundle '.annotations = {"run.oci.handler": "krun"}'
	echo untouched >"$WORK/canary"
	ln -s "/../../../../../../..$WORK/canary" "$BUNDLE/rootfs/.krun_config.json"
	capture run_bundle
	[ "$(cat "$WORK/canary")" = untouched ]
	[ -L "$BUNDLE/rootfs/.krun_config.json" ]
}
