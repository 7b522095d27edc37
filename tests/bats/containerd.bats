# containerd's shim (io.containerd.runc.v2) with fence in the place of runc, asked by `ctr --runc-binary`, which sets what
# containerd's configuration calls BinaryName.
# bats file_tags=root
load helpers

setup() {
	common_setup
	host_namespace
	mkdir -p "$TEST_DIR/containerd" layout image
	cat >"$TEST_DIR/containerd/config.toml" <<-TOML
		version = 2
		root = "$TEST_DIR/containerd/root"
		state = "$TEST_DIR/containerd/state"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
		[grpc]
		address = "$TEST_DIR/containerd/socket"
	TOML
	start containerd containerd --config "$TEST_DIR/containerd/config.toml"
	CTR=(timeout --foreground "$((60 * TIME_FACTOR))" ctr --address "$TEST_DIR/containerd/socket")
	wait_until in_host "${CTR[@]}" version >/dev/null
	busybox_root image
	image_layout image layout localhost/busybox:latest
	tar -C layout -c . | in_host "${CTR[@]}" image import --no-unpack - >/dev/null
	RUN=(run --runc-binary "$FENCE" --snapshotter native)
}

teardown() {
	ctr task kill --signal KILL "$ID" >/dev/null 2>&1 || true
	ctr task delete --force "$ID" >/dev/null 2>&1 || true
	common_teardown
}

ctr() {
	in_host "${CTR[@]}" "$@" </dev/null
}

digest() {
	sha256sum "$1" | cut -d' ' -f1
}

# image_layout DIRECTORY LAYOUT NAME: an OCI image with DIRECTORY as its only layer.
image_layout() {
	local directory=$1 layout=$2 blobs=$2/blobs/sha256 layer config manifest machine
	mkdir -p "$blobs"
	machine=$(uname -m)
	[ "$machine" != x86_64 ] || machine=amd64
	[ "$machine" != aarch64 ] || machine=arm64
	add_blob() { # FILE: prints its digest
		local sum
		sum=$(digest "$1")
		mv "$1" "$blobs/$sum"
		echo "$sum"
	}
	tar -C "$directory" -cf "$layout/blob" .
	layer=$(add_blob "$layout/blob")
	jq -n --arg layer "sha256:$layer" --arg machine "$machine" '{architecture: $machine, os: "linux",
		config: {Env: ["PATH=/bin"]}, rootfs: {type: "layers", diff_ids: [$layer]}}' >"$layout/blob"
	config=$(add_blob "$layout/blob")
	jq -n --arg config "sha256:$config" --arg layer "sha256:$layer" --argjson config_size "$(stat -c %s "$blobs/$config")" \
		--argjson layer_size "$(stat -c %s "$blobs/$layer")" '{schemaVersion: 2,
		mediaType: "application/vnd.oci.image.manifest.v1+json",
		config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $config, size: $config_size},
		layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar", digest: $layer, size: $layer_size}]}' >"$layout/blob"
	manifest=$(add_blob "$layout/blob")
	jq -n --arg manifest "sha256:$manifest" --argjson size "$(stat -c %s "$blobs/$manifest")" --arg name "$3" \
		'{schemaVersion: 2, manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $manifest,
		size: $size, annotations: {"io.containerd.image.name": $name}}]}' >"$layout/index.json"
	echo '{"imageLayoutVersion": "1.0.0"}' >"$layout/oci-layout"
}

@test "ctr run: output, status, terminal, user, read-only, volumes" {
	runs ctr "${RUN[@]}" --rm localhost/busybox:latest "$ID" echo 'a b'
	is 'a b'
	exits 5 ctr "${RUN[@]}" --rm localhost/busybox:latest "$ID" sh -c 'exit 5'
	fails ctr "${RUN[@]}" --rm localhost/busybox:latest "$ID" no-such-command
	has 'no-such-command'
	mkdir volume
	echo content >volume/file
	runs ctr "${RUN[@]}" --rm --cap-drop CAP_CHOWN --env A=b --read-only --mount "type=bind,src=$PWD/volume,dst=/v,options=rbind:ro" \
		localhost/busybox:latest "$ID" sh -c 'id -u; echo $A; cat /v/file; touch /x || true'
	[ "$(grep -v Read-only <<<"$output")" = $'0\nb\ncontent' ] # standard error comes by a pipe of its own, at any place between
	has 'Read-only file system'
	runs on_a_terminal in_host "${CTR[@]}" "${RUN[@]}" --rm --tty localhost/busybox:latest "$ID" tty
	has /dev/pts/0
}

@test "ctr task: exec, metrics, pause, resume, ps, kill, delete" {
	runs ctr "${RUN[@]}" --detach --memory-limit 67108864 localhost/busybox:latest "$ID" sleep 1000
	runs ctr task exec --exec-id "$ID-1" "$ID" echo inside
	is inside
	exits 4 ctr task exec --exec-id "$ID-2" "$ID" sh -c 'exit 4'
	runs on_a_terminal in_host "${CTR[@]}" task exec --tty --exec-id "$ID-3" "$ID" tty
	has /dev/pts/
	runs ctr task metrics "$ID"
	has 67108864
	runs ctr task pause "$ID"
	runs ctr task ls
	has PAUSED
	runs ctr task resume "$ID"
	runs ctr task ps "$ID"
	runs ctr task kill --signal KILL "$ID"
	wait_until eval 'ctr task ls | grep -q STOPPED'
	capture ctr task delete "$ID" # warns of the exit status, by its own
	runs ctr container delete "$ID"
	wait_until no_traces_left
}

@test "containerd takes contrib's configuration" {
	runs in_host containerd --config "$ROOT/contrib/containerd/config.toml" config dump
	tr \' \" <<<"$output" | grep -q 'BinaryName = "/usr/local/bin/fence"' # quoted by the one or the other
}
