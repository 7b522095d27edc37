# Helpers for tests with engines: podman on the host of helpers.bash, with fence as its runtime and an image store of the test's
# own, which holds `busybox`. setup() calls engine_setup, teardown() engine_teardown. For a user podman is rootless; for one who is
# logged in (WHO=user) systemd makes the cgroups. `engine` makes a store for who has just been become.

engine_setup() {
	common_setup
	host_namespace
	private_etc
	# Hard limits can't be raised without CAP_SYS_RESOURCE, which a root in a container or CI may lack: podman asks for a million.
	cat >"$TEST_DIR/containers.conf" <<-EOT
		[containers]
		default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
		[engine]
		runtime_supports_nocgroup = ["fence"]
		[engine.runtimes]
		fence = ["$FENCE"]
	EOT
	export CONTAINERS_CONF=$TEST_DIR/containers.conf PODMAN_IGNORE_CGROUPSV1_WARNING=1
	mkdir "$TEST_DIR/image"
	busybox_root "$TEST_DIR/image"
	engine
}

engine() {
	ENGINE=$TEST_DIR/podman-$who
	mkdir "$ENGINE"
	give "$ENGINE" "$TEST_DIR/image"
	STORE=(--root "$ENGINE/root" --runroot "$ENGINE/runroot")
	PODMAN=(podman "${STORE[@]}" --tmpdir "$ENGINE/tmp" --events-backend none --network-config-dir "$ENGINE/networks"
		--cgroup-manager "$([ -n "$LOGIN" ] && echo systemd || echo cgroupfs)" --runtime fence)
	tar -C "$TEST_DIR/image" --owner 0 --group 0 -c . | as_who "${PODMAN[@]}" import - busybox:latest >/dev/null 2>&1
}

engine_teardown() {
	podman pod rm --all --force --time 0 >/dev/null 2>&1 || true
	podman rm --all --force --time 0 >/dev/null 2>&1 || true
	engine_ended >/dev/null 2>&1 || true
	in_host sh -c 'for overlay in "$1"/podman-*/root/overlay; do ! mountpoint -q "$overlay" || umount "$overlay"; done' sh "$TEST_DIR" || true
	common_teardown
}

# The process that keeps a user's namespaces between podman's commands ends by this; what podman has in the user's runtime directory
# stays.
engine_ended() {
	[ "$who" = root ] || podman system migrate
	[ -n "$LOGIN" ] || rm -rf "$XDG_RUNTIME_DIR"/{containers,libpod,netns}
}

podman() {
	as_who timeout --foreground "$((60 * TIME_FACTOR))" "${PODMAN[@]}" "$@" </dev/null
}

podman_on_a_terminal() {
	on_a_terminal as_who "${PODMAN[@]}" "$@"
}

# once CMD…: in a container of its own, without a network; the options of `podman run` come first.
once() {
	podman run --rm --network none "$@"
}

# detached CMD…: as $ID.
detached() {
	runs podman run --detach --name "$ID" --network none "$@"
}

# podman 4.3 does not always unmount /dev/shm of a container with a user namespace before it removes what is under it, whatever the
# runtime (about once in twenty, also with crun): what it could not remove goes at the second time.
removed() {
	capture podman rm --force --time 0 "$ID"
	[[ $output != *'userdata/shm: device or resource busy'* ]] || capture podman rm --force --time 0 "$ID"
	[ "$status" -eq 0 ] || complain "podman rm should have succeeded"
}

# parent_removed NAME: podman does not wait for its monitor to leave the cgroup that it made above a container's. And for v1
# controllers that the host lacks it makes directories all the same, in the tmpfs beside the others, with a file in them.
parent_removed() {
	find /sys/fs/cgroup -fstype tmpfs -type d -name "$1" -prune -exec rm -rf {} + 2>/dev/null || true
	wait_until eval '! find /sys/fs/cgroup -depth -type d -path "*/'"$1"'*" -exec rmdir {} + 2>&1 | grep -q .'
}

# For `sh -c` in a container: prints a cgroup's file, V1 (on v1 and hybrid hosts) or V2.
limit() {
	printf 'cat /sys/fs/cgroup/%s 2>/dev/null || cat /sys/fs/cgroup/%s' "$1" "$2"
}
