# The file systems of a container: mounts with every option, propagation, id-mapped mounts, devices, masked and read-only
# paths, sysctl. What tries to get out of them is in escapes.bats.
load helpers

# add_mount JSON…: appends to the bundle's mounts.
add_mount() {
	local entry
	for entry in "$@"; do
		edit_config --argjson entry "$entry" '.mounts += [$entry]'
	done
}

# inside SHELL-LINES: whatever the last of them returns.
inside() {
	bundle_args sh -c "$1
		true"
	runs run_bundle
}

refuses() {
	fails run_bundle
	has "$1"
}

# options_of PATH: as mountinfo has them, with "|" and the optional fields: "ro,nosuid,relatime|master:1".
options_of() {
	sed -n "s,^[^ ]* [^ ]* [^ ]* [^ ]* $1 \([^ ]*\) \(.*\)- .*,\1|\2,p" /proc/self/mountinfo
}

# The same from inside: the function's text is its program.
inside_options_of() {
	inside "$(declare -f options_of); for path in $*; do options_of \$path; done"
}

# on_shared_host CMD…: in a mount namespace of its own, where everything is shared, as systemd makes it on a real host.
on_shared_host() {
	unshare --mount --propagation shared -- "$@"
}

# --- bind mounts ---

# A source directory, and the words for a bind mount of it: bind DESTINATION OPTION….
make_source() {
	mkdir -p "$WORK/source/sub"
	echo content >"$WORK/source/file"
	give "$WORK"
}

bind() {
	local options=''
	[ $# -eq 1 ] || options=$(printf ', "%s"' "${@:2}")
	add_mount "{\"destination\": \"$1\", \"source\": \"$WORK/source\", \"options\": [\"rbind\"$options]}"
}

@test "directories and files are bound, and what they are bound on is made" {
	for who in $EVERYONE; do
		become "$who"
		make_source
		make_bundle
		bind /a/b/dir
		add_mount "{\"destination\": \"/c/d/file\", \"source\": \"$WORK/source/file\", \"options\": [\"bind\", \"ro\"]}" \
			"{\"destination\": \"/typed\", \"type\": \"bind\", \"source\": \"$WORK/source\"}" \
			"{\"destination\": \"relative\", \"type\": \"none\", \"source\": \"$WORK/source\", \"options\": [\"bind\"]}"
		inside 'cat /a/b/dir/file /c/d/file /typed/file /relative/file; echo more >/a/b/dir/new; echo no >/c/d/file; cat /typed/new'
		[ "$(grep -c content <<<"$output")" = 4 ]
		has 'Read-only file system'
		has more
		assert_nothing_left
	done
}

@test "a relative source is in the bundle" {
	make_bundle '.mounts += [{"destination": "/x", "source": "data", "options": ["bind"]}]'
	mkdir "$BUNDLE/data"
	echo here >"$BUNDLE/data/file"
	inside 'cat /x/file'
	is here
}

@test "a source that is missing is named, with its place in config.json" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle '.mounts += [{"destination": "/x", "source": "/nowhere/at/all", "options": ["bind"]}]'
		refuses 'mounts[6].source'
		has '/nowhere/at/all'
		assert_nothing_left
	done
}

@test "attributes of a bind mount" {
	for who in $EVERYONE; do
		become "$who"
		make_source
		make_bundle
		bind /all ro nosuid nodev noexec nosymfollow
		bind /last ro rw noexec exec
		inside_options_of /all /last
		[[ ${lines[0]} == 'ro,nosuid,nodev,noexec,relatime,nosymfollow|'* ]]
		[[ ${lines[1]} == 'rw,relatime|'* ]]
	done
}

# bats test_tags=root
@test "when the time of access is written" {
	make_source
	make_bundle
	bind /none noatime nodiratime
	bind /strict strictatime
	bind /default noatime atime
	inside_options_of /none /strict /default
	[[ ${lines[0]} == 'rw,noatime,nodiratime|'* ]]
	[[ ${lines[1]} == 'rw|'* ]]
	[[ ${lines[2]} == 'rw,relatime|'* ]]
	become user
	make_source
	make_bundle
	bind /x noatime
	refuses 'mounts[6].options'
	has atime
}

@test "recursive attributes reach what is mounted below, the others do not" {
	mkdir -p "$WORK/source/sub"
	make_bundle
	bind /top ro
	bind /tree rro rnosuid rnoexec
	bind /both rro rw
	bundle_args sh -c "$(declare -f options_of); for path in /top /top/sub /tree /tree/sub; do options_of \$path; done"
	runs on_shared_host bash -c 'mount -t tmpfs -o nodev tmpfs "$1/source/sub" && exec "${@:2}"' bash "$WORK" \
		"$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	[[ ${lines[0]} == 'ro,relatime|'* ]]
	[[ ${lines[1]} == 'rw,nodev,relatime|'* ]]
	[[ ${lines[2]} == 'ro,nosuid,noexec,relatime|'* ]]
	[[ ${lines[3]} == 'ro,nosuid,nodev,noexec,relatime|'* ]]
}

@test "in a user namespace, attributes that the source has cannot be cleared" {
	as_locked_host() {
		unshare --mount -- bash -c 'mount -t tmpfs -o nosuid,nodev,ro tmpfs "$0" && exec "$@"' "$WORK/source" \
			"${AS_USER[@]}" "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	}
	become user
	make_source
	make_bundle
	bind /x noexec
	bundle_args sh -c "$(declare -f options_of); options_of /x"
	runs as_locked_host
	[[ $output == 'ro,nosuid,nodev,noexec,relatime|'* ]]
	bind /y rw
	fails as_locked_host
	has 'mounts[7].options'
	has 'cannot be cleared'
}

# restricted_source CMD…: with the source on a mount that has every flag.
restricted_source() {
	unshare --mount -- bash -c 'mount -t tmpfs tmpfs "$0" && mount -o remount,bind,ro,nosuid,nodev,noexec,nosymfollow,noatime "$0" &&
		exec "$@"' "$WORK/source" "$@"
}

# bats test_tags=root
@test "a bind mount with any flag among its options has those, one without has its source's" {
	bundle_with_flags() {
		make_source
		make_bundle "$@"
		bind /plain
		bind /propagation rprivate
		bind /recursive rro
		bind /dev-only dev
		bind /ro ro
		bundle_args sh -c "$(declare -f options_of); for path in /plain /propagation /recursive /dev-only /ro; do options_of \$path; done"
	}
	bundle_with_flags
	runs restricted_source "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	for i in 0 1 2; do
		[[ ${lines[i]} == 'ro,nosuid,nodev,noexec,noatime,nosymfollow|'* ]]
	done
	[[ ${lines[3]} == 'rw,noatime|'* ]]
	[[ ${lines[4]} == 'ro,noatime|'* ]]

	bundle_with_flags '.linux.namespaces += [{"type": "user"}] |
		.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
	chown 100000:100000 "$BUNDLE/rootfs"
	runs restricted_source "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	[[ ${lines[0]} == 'ro,nosuid,nodev,noexec,noatime,nosymfollow|'* ]]
	[[ ${lines[3]} == 'ro,nosuid,noexec,noatime|'* ]]
	[[ ${lines[4]} == 'ro,nosuid,nodev,noexec,noatime|'* ]]

	# Locked, and the container has no user namespace of its own to tell: as under rootless podman.
	become user
	who=root bundle_with_flags
	edit_config 'del(.mounts[] | select(.destination == "/dev-only"))'
	give "$WORK" "$BUNDLE"
	runs restricted_source "${AS_USER[@]}" unshare --user --map-root-user "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	[[ ${lines[0]} == 'ro,nosuid,nodev,noexec,noatime,nosymfollow|'* ]]
	[[ ${lines[3]} == 'ro,nosuid,nodev,noexec,noatime,nosymfollow|'* ]]
}

@test "a symbolic link as a source: followed, bound, copied" {
	for who in $EVERYONE; do
		become "$who"
		make_source
		ln -s source "$WORK/link"
		ln -s missing "$WORK/dangling"
		make_bundle
		add_mount "{\"destination\": \"/followed\", \"source\": \"$WORK/link\", \"options\": [\"rbind\"]}" \
			"{\"destination\": \"/d/copied\", \"source\": \"$WORK/dangling\", \"options\": [\"rbind\", \"copy-symlink\"]}" \
			"{\"destination\": \"/real\", \"source\": \"$WORK/source\", \"options\": [\"rbind\", \"copy-symlink\"]}"
		inside 'cat /followed/file /real/file; readlink /d/copied'
		is $'content\ncontent\nmissing'
	done
}

@test "an option of no bind mount is not ignored" {
	make_source
	make_bundle
	bind /x noexce
	refuses 'mounts[6].options: "noexce"'
	make_bundle
	bind /x ro mode=755
	inside 'cat /x/file'
	has content
	has 'mounts[6].options: "mode=755" means nothing to a bind mount'
}

@test "neither a type nor a source where one is needed" {
	make_bundle '.mounts += [{"destination": "/x", "options": ["ro"]}]'
	refuses 'mounts[6].type'
	make_bundle '.mounts += [{"destination": "/x", "options": ["rbind"]}]'
	refuses 'mounts[6].source'
}

# --- where mounts go ---

@test "destinations are resolved in the rootfs, dangling links included" {
	for who in $EVERYONE; do
		become "$who"
		make_source
		make_bundle
		ln -s /run/made/target "$BUNDLE/rootfs/absolute"
		ln -s ../../../../../run/other "$BUNDLE/rootfs/upwards"
		ln -s . "$BUNDLE/rootfs/here"
		give "$BUNDLE"
		bind /absolute
		bind /upwards/below
		bind /here/here/../dir
		inside 'cat /run/made/target/file /run/other/below/file /dir/file'
		is $'content\ncontent\ncontent'
		absent /run/made /run/other
	done
}

@test "a symbolic link that leads round in circles" {
	make_source
	make_bundle
	ln -s loop "$BUNDLE/rootfs/loop"
	bind /loop/x
	refuses 'mounts[6].destination'
}

@test "later mounts lie on earlier ones" {
	make_source
	make_bundle '.mounts += [{"destination": "/t", "type": "tmpfs", "source": "tmpfs"}]'
	bind /t/dir
	add_mount '{"destination": "/t/dir/sub", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]}'
	inside 'cat /t/dir/file; echo x >/t/dir/sub/x; echo y >/t/y && cat /t/y'
	has content
	has 'Read-only file system'
	has y
}

@test "proc and sysfs are mounted on ordinary directories only" {
	make_bundle
	rmdir "$BUNDLE/rootfs/proc"
	ln -s /tmp "$BUNDLE/rootfs/proc"
	refuses 'must be mounted on ordinary directory'
	become root
	make_bundle
	mkdir "$BUNDLE/rootfs/other"
	rmdir "$BUNDLE/rootfs/sys"
	ln -s other "$BUNDLE/rootfs/sys"
	refuses 'must be mounted on ordinary directory'
}

# --- new file systems ---

@test "tmpfs: size, mode, and read-only once everything is in it" {
	for who in $EVERYONE; do
		become "$who"
		make_source
		make_bundle '.mounts += [
			{"destination": "/plain", "type": "tmpfs", "source": "scratch", "options": ["size=64k", "mode=0751", "noexec"]},
			{"destination": "/rro", "type": "tmpfs", "source": "tmpfs", "options": ["rro"]},
			{"destination": "/ro", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "nosuid"]}]'
		bind /ro/made
		inside "$(declare -f options_of)"'; options_of /plain; options_of /ro; options_of /rro; stat -c %a /plain; cat /ro/made/file
			grep /plain /proc/mounts; cat /dev/zero >/plain/x; echo no >/ro/x'
		has 'rw,noexec,relatime|'
		has 'ro,nosuid,relatime|'
		has $'\nro,relatime|'
		has $'751\ncontent'
		has 'scratch /plain tmpfs'
		has 'size=64k'
		has 'No space left'
		has 'Read-only file system'
	done
}

@test "a tmpfs has the mode of the directory that it covers" {
	make_bundle '.mounts += [{"destination": "/dir", "type": "tmpfs", "source": "tmpfs"}, {"destination": "/new", "type": "tmpfs", "source": "tmpfs"}]'
	mkdir -m 2711 "$BUNDLE/rootfs/dir"
	inside 'stat -c %a /dir /new'
	is $'2711\n1777'
}

@test "the file system's own words about a bad option" {
	make_bundle '.mounts += [{"destination": "/x", "type": "tmpfs", "source": "tmpfs", "options": ["size=many"]}]'
	refuses 'mounts[6]'
	has size
	make_bundle '.mounts += [{"destination": "/x", "type": "tmpfs", "source": "tmpfs", "options": ["nonsense"]}]'
	refuses nonsense
	make_bundle '.mounts += [{"destination": "/x", "type": "nosuchfs", "source": "x"}]'
	refuses nosuchfs
}

@test "tmpcopyup" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle '.mounts += [{"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro", "size=1m"]}]'
		mkdir -p "$BUNDLE/rootfs/data/dir/deep"
		chmod 750 "$BUNDLE/rootfs/data/dir"
		echo secret >"$BUNDLE/rootfs/data/dir/deep/file"
		touch -d '2020-02-02 02:02:02 UTC' "$BUNDLE/rootfs/data/dir/deep/file" "$BUNDLE/rootfs/data/dir"
		ln -s dir/deep "$BUNDLE/rootfs/data/link"
		mkfifo "$BUNDLE/rootfs/data/fifo"
		give "$BUNDLE"
		chmod 4640 "$BUNDLE/rootfs/data/dir/deep/file"
		inside 'cd /data; cat link/file; stat -c "%a %Y %s" dir/deep/file; stat -c "%a %Y" dir; stat -c %F fifo; echo x >x'
		has secret
		has '4640 1580608922 7'
		has '750 1580608922'
		has fifo
		has 'Read-only file system'
	done
}

@test "several options in one word, and an empty one" {
	make_bundle
	add_mount '{"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["noexec", "size=64k,mode=0751", ""]}' \
		'{"destination": "/b", "type": "bind", "source": "/etc", "options": ["bind", "", "ro"]}'
	inside 'grep " /t " /proc/self/mountinfo; stat -c %a /t; touch /b/x'
	[[ ${lines[0]} == *' rw,noexec,relatime - tmpfs '*size=64k,mode=751* ]]
	[ "${lines[1]}" = 751 ]
	has 'Read-only file system'
}

# bats test_tags=root
@test "options too long for fsconfig go the other way" {
	make_bundle
	layers=$BUNDLE/layers
	mkdir -p "$layers"/{upper,work}
	lower=''
	for i in $(seq 8); do
		mkdir -p "$layers/a-rather-long-name-for-a-layer-$i"
		echo "$i" >"$layers/a-rather-long-name-for-a-layer-$i/file$i"
		lower=$lower:$layers/a-rather-long-name-for-a-layer-$i
	done
	add_mount "{\"destination\": \"/o\", \"type\": \"overlay\", \"source\": \"overlay\",
		\"options\": [\"nosuid\", \"rprivate\", \"lowerdir=${lower#:}\", \"upperdir=$layers/upper\", \"workdir=$layers/work\"]}"
	inside "$(declare -f options_of)"'; cat /o/file1 /o/file8; echo new >/o/x; options_of /o'
	[[ $output == $'1\n8\nrw,nosuid,relatime|'* ]]
	[ -e "$layers/upper/x" ]
}

@test "remount changes what is there" {
	for who in $EVERYONE; do
		become "$who"
		make_source
		make_bundle '.mounts += [{"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]}]'
		bind /b
		add_mount '{"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["remount", "size=2m", "noexec"]}' \
			'{"destination": "/b", "options": ["bind", "remount", "ro"]}'
		inside 'grep -E " /[tb] " /proc/mounts'
		[[ ${lines[0]} == *'rw,noexec,relatime,size=2048k'* ]]
		[[ ${lines[1]} == *' /b '*' ro,relatime'* ]]
	done
}

# bats test_tags=user
@test "devpts whose group is not mapped" {
	become user
	make_bundle '(.mounts[] | select(.type == "devpts") | .options) += ["gid=5"]' '.linux.gidMappings |= .[:1]'
	refuses 'mounts[2]: /dev/pts'
	! since 6.15 || has gid # before, devpts did not say what it disliked
}

# bats test_tags=user
@test "proc without a pid namespace, sysfs without a network namespace: an error with the mend" {
	become user
	make_bundle 'del(.linux.namespaces[] | select(.type == "network"))'
	refuses 'mounts[5]: /sys'
	has 'network namespace'
}

# --- propagation ---

@test "propagation of single mounts" {
	mkdir -p "$WORK/source"
	make_bundle '.mounts += [{"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["shared"]}]'
	for kind in private rprivate slave rslave shared rshared unbindable runbindable; do
		bind /$kind "$kind"
	done
	bind /none
	bundle_args sh -c "$(declare -f options_of)
		for path in /t /private /rprivate /slave /rslave /shared /rshared /unbindable /runbindable /none; do echo \$path \$(options_of \$path); done"
	runs on_shared_host "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	[[ ${lines[0]} == '/t '*'|shared:'* ]]
	[[ ${lines[1]} == */private*'|' ]]
	[[ ${lines[2]} == */rprivate*'|' ]]
	[[ ${lines[3]} == */slave*'|master:'* ]]
	[[ ${lines[4]} == */rslave*'|master:'* ]]
	[[ ${lines[5]} == */shared*'|shared:'* ]]
	[[ ${lines[6]} == */rshared*'|shared:'* ]]
	[[ ${lines[7]} == */unbindable*'|unbindable'* ]]
	[[ ${lines[8]} == */runbindable*'|unbindable'* ]]
	[[ ${lines[9]} == */none*'|master:'* ]]
}

# bats test_tags=root
@test "linux.rootfsPropagation" {
	mkdir -p "$WORK/source"
	for kind in private slave shared unbindable rprivate rslave rshared; do
		make_bundle ".linux.rootfsPropagation = \"$kind\""
		bind /x
		bundle_args sh -c "$(declare -f options_of); echo \$(options_of /) \$(options_of /x)"
		runs on_shared_host "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
		case $kind in
		rprivate | private) [[ $output == *'| '*'|' ]] ;;
		rslave | slave) [[ $output == *'|master:'*'|master:'* ]] ;;
		rshared) [[ $output == *'|shared:'*'|shared:'* ]] ;;
		shared) [[ $output == *'|shared:'*'|'* ]] ;;
		unbindable) [[ $output == *'|unbindable '* ]] ;;
		esac
	done
}

# A container that waits on a fifo while its host mounts something, and then looks.
look_after_mount() {
	make_bundle "$@"
	rm -f "$BUNDLE/rootfs/go" "$BUNDLE/rootfs/up"
	mkfifo "$BUNDLE/rootfs/go" "$BUNDLE/rootfs/up"
	bind /x
	bundle_args sh -c 'echo up >/up; read -r go </go; ls /x/sub; mkdir /x/sub/m 2>/dev/null; mount -t tmpfs inner /x/sub/m && echo done; echo >/up; read -r go </go'
	edit_config '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	capture on_shared_host bash -c '
		"${@:3}" &
		exec 3<>"$2/up" 4<>"$2/go"
		read -rt 10 -u 3 up
		mount -t tmpfs host "$1/sub" && touch "$1/sub/from-the-host"
		echo go >&4
		read -rt 10 -u 3 up
		grep -c inner /proc/self/mountinfo
		echo go >&4
		wait' bash "$WORK/source" "$BUNDLE/rootfs" "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
}

# bats test_tags=root
@test "the host's later mounts come in, and the container's go out, only where that is asked for" {
	mkdir -p "$WORK/source/sub"
	look_after_mount
	is $'from-the-host\ndone\n0'
	look_after_mount '.linux.rootfsPropagation = "rprivate"'
	is $'done\n0'
	look_after_mount '.linux.rootfsPropagation = "rshared"'
	is $'from-the-host\ndone\n1'
}

# --- id-mapped mounts ---

idmapped_source() {
	mkdir -p "$WORK/source"
	touch "$WORK/source/mine" "$WORK/source/theirs"
	chown 1000:1000 "$WORK/source/mine"
	chown 1001:1001 "$WORK/source/theirs"
}

# bats test_tags=root
@test "id-mapped mounts with mappings of their own" {
	idmapped_source
	make_bundle
	maps='"uidMappings": [{"containerID": 1000, "hostID": 5000, "size": 2}], "gidMappings": [{"containerID": 1000, "hostID": 6000, "size": 2}]'
	add_mount "{\"destination\": \"/x\", \"source\": \"$WORK/source\", \"options\": [\"bind\"], $maps}" \
		"{\"destination\": \"/y\", \"source\": \"$WORK/source\", \"options\": [\"rbind\", \"ridmap\"], $maps}"
	inside 'stat -c "%u %g" /x/mine /y/theirs'
	is $'5000 6000\n5001 6001'
}

# bats test_tags=root
@test "id-mapped mounts with the container's mappings" {
	idmapped_source
	make_bundle '.linux.namespaces += [{"type": "user"}] |
		.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
	chown 100000:100000 "$BUNDLE/rootfs"
	bind /x idmap
	bind /y
	inside 'stat -c "%u %g" /x/mine /y/mine; touch /x/new'
	is $'1000 1000\n65534 65534'
	[ "$(stat -c '%u %g' "$WORK/source/new")" = '0 0' ]
}

# bats test_tags=root
@test "id-mapped mounts with mappings in an option, absolute and relative to the container's" {
	idmapped_source
	make_bundle
	bind /x 'idmap=uids=1000-5000-1#1001-7000-1;gids=1000-6000-2'
	inside 'stat -c "%u %g" /x/mine /x/theirs'
	is $'5000 6000\n7000 6001'
	make_bundle '.linux.namespaces += [{"type": "user"}] |
		.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
	chown 100000:100000 "$BUNDLE/rootfs"
	bind /x 'idmap=uids=@1000-33-1;gids=@1000-44-1'
	inside 'stat -c "%u %g" /x/mine'
	is '33 44'
	for words in 'idmap=uids=1' 'idmap=uids=0-1-2' 'idmap=uids=0-1-2;gids=0-1-x' 'idmap=users=0-1-2' 'ridmap=uids=@0-99999-1;gids=0-0-1'; do
		make_bundle '.linux.namespaces += [{"type": "user"}] |
			.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
		bind /x "$words"
		refuses 'idmap'
	done
}

# bats test_tags=root
@test "id-mapped mounts of what an earlier entry has mounted in the rootfs" {
	idmapped_source
	maps='"uidMappings": [{"containerID": 1000, "hostID": 5000, "size": 2}], "gidMappings": [{"containerID": 1000, "hostID": 6000, "size": 2}]'
	for filter in . '.linux.namespaces += [{"type": "user"}] |
		.linux.uidMappings = [{"containerID": 0, "hostID": 0, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'; do
		make_bundle "$filter"
		ln -sfn /first "$BUNDLE/rootfs/link"
		add_mount "{\"destination\": \"/first\", \"source\": \"$WORK/source\", \"options\": [\"bind\"]}" \
			"{\"destination\": \"/x\", \"source\": \"$BUNDLE/rootfs/first\", \"options\": [\"bind\"], $maps}" \
			"{\"destination\": \"/y\", \"source\": \"rootfs/link\", \"options\": [\"rbind\", \"ridmap\"], $maps}"
		inside 'stat -c "%u %g" /first/mine /x/mine /y/theirs'
		is $'1000 1000\n5000 6000\n5001 6001'
	done
	make_bundle
	add_mount "{\"destination\": \"/x\", \"source\": \"rootfs/etc\", \"options\": [\"bind\", \"idmap\"]}"
	refuses 'mounts[6]: "idmap" has no mappings'
	assert_nothing_left
}

@test "a source in the rootfs is not led out of it by a link" {
	make_source
	make_bundle
	ln -s "$WORK/source" "$BUNDLE/rootfs/link"
	add_mount '{"destination": "/x", "source": "rootfs/link", "options": ["bind"]}'
	refuses 'mounts[6].source'
	mkdir -p "$BUNDLE/rootfs$WORK/source"
	echo inside >"$BUNDLE/rootfs$WORK/source/file"
	inside 'cat /x/file'
	is inside
	edit_config '.mounts[6].source = "rootfs/../beside"'
	mkdir "$BUNDLE/beside"
	echo beside >"$BUNDLE/beside/file"
	inside 'cat /x/file'
	is beside
}

# bats test_tags=root
@test "id-mapped mounts that cannot be: no mappings, not a bind mount, not privileged" {
	idmapped_source
	make_bundle
	bind /x idmap
	refuses 'mounts[6]: "idmap" has no mappings'
	make_bundle '.mounts += [{"destination": "/x", "type": "tmpfs", "source": "tmpfs", "options": ["idmap"]}]'
	refuses 'mounts[6]'
	become user
	idmapped_source
	make_bundle
	bind /x idmap
	refuses 'mounts[6].source'
}

# bats test_tags=root
@test "id-mapped mounts with the mappings of a user namespace that is joined" {
	idmapped_source
	make_bundle '.linux.namespaces += [{"type": "user"}] |
		.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
	chown 100000:100000 "$BUNDLE/rootfs"
	bundle_args tail -f /dev/null
	runs fence --root "$STATE" run --detach --pid-file "$TEST_DIR/pid" --bundle "$BUNDLE" "$ID-other"
	edit_config --arg path "/proc/$(cat "$TEST_DIR/pid")/ns/user" \
		'del(.linux.uidMappings, .linux.gidMappings) | (.linux.namespaces[] | select(.type == "user")).path = $path'
	bind /x idmap
	inside 'stat -c "%u %g" /x/mine'
	is '1000 1000'
	runs fence --root "$STATE" delete --force "$ID-other"
}

# --- mounts of a container that runs ---

# with_mounts add|remove JSON-ARRAY
with_mounts() {
	printf '%s' "$2" >"$TEST_DIR/mounts.json"
	fence --root "$STATE" mounts "$1" "$ID" "$TEST_DIR/mounts.json"
}

in_container() {
	fence --root "$STATE" exec "$ID" "$@"
}

# bats test_tags=root
@test "mounts add, mounts remove: while the container runs" {
	for filter in . '.linux.namespaces += [{"type": "user"}] |
		.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'; do
		become root
		make_source
		chmod -R go+rX "$WORK"
		make_bundle "$filter"
		[ "$filter" = . ] || chown -hR 100000:100000 "$BUNDLE/rootfs"
		ln -s /run "$BUNDLE/rootfs/var/run"
		bundle_args tail -f /dev/null
		runs fence --root "$STATE" run --detach --bundle "$BUNDLE" "$ID"
		runs with_mounts add "[
			{\"destination\": \"/var/run/new/dir\", \"source\": \"$WORK/source\", \"options\": [\"rbind\", \"ro\", \"nosuid\"]},
			{\"destination\": \"/file\", \"source\": \"$WORK/source/file\", \"options\": [\"bind\"]},
			{\"destination\": \"/again\", \"source\": \"$BUNDLE/rootfs/run/new\", \"options\": [\"rbind\"]},
			{\"destination\": \"/scratch\", \"type\": \"tmpfs\", \"source\": \"tmpfs\", \"options\": [\"size=64k\", \"mode=0700\", \"ro\"]},
			{\"destination\": \"/other-proc\", \"type\": \"proc\", \"source\": \"proc\"}]"
		runs in_container sh -c "$(declare -f options_of); cat /run/new/dir/file /file /again/dir/file; options_of /run/new/dir
			stat -c '%a %u' /scratch; options_of /scratch; readlink /other-proc/self; ls /other-proc | grep -c '^[0-9]'"
		[ "${lines[0]}${lines[1]}${lines[2]}" = contentcontentcontent ]
		[[ ${lines[3]} == 'ro,nosuid,relatime|'* ]]
		[ "${lines[4]}" = '700 0' ]
		[[ ${lines[5]} == 'ro,relatime|'* ]]
		[ "${lines[7]}" -lt 10 ] # its own processes
		fails with_mounts remove '[{"destination": "/var/run/new/dir"}]'
		has 'symbolic link'
		runs with_mounts remove '[{"destination": "/run/new/dir/"}, {"destination": "/file"}, {"destination": "/scratch"}]'
		runs in_container sh -c 'ls /run/new/dir; cat /file; grep -c scratch /proc/mounts || true; cat /again/dir/file'
		is $'0\ncontent'
		fails with_mounts remove '[{"destination": "/file"}]'
		has 'mounts[0].destination: nothing is mounted at /file'
		# All or none, also where it turns out late.
		runs with_mounts add "[
			{\"destination\": \"/first\", \"source\": \"$WORK/source\", \"options\": [\"bind\", \"ro\", \"noexec\"]},
			{\"destination\": \"/first/sub\", \"type\": \"tmpfs\", \"source\": \"tmpfs\", \"options\": [\"size=64k\"]}]"
		runs in_container sh -c 'echo kept >/first/sub/file; grep " /first" /proc/mounts | sort'
		local before=$output
		for list in /first,/first/sub,/file /first/sub,/first,/first/sub; do
			fails with_mounts remove "$(jq -c 'split(",") | map({destination: .})' <<<"\"$list\"")"
			has 'mounts[2].destination'
			runs in_container sh -c 'grep " /first" /proc/mounts | sort'
			is "$before"
			runs in_container cat /first/sub/file
			is kept
		done
		runs with_mounts remove '[{"destination": "/first/sub"}, {"destination": "/first"}]'
		fails in_container grep ' /first' /proc/mounts
		runs fence --root "$STATE" delete --force "$ID"
	done
	assert_nothing_left
}

# bats test_tags=root
@test "mounts add: what cannot be" {
	become root
	make_bundle
	bundle_args tail -f /dev/null
	runs fence --root "$STATE" run --detach --bundle "$BUNDLE" "$ID"
	for pair in '{}|mounts' '[{"source": "/x"}]|mounts[0].destination' \
		'[{"destination": "/", "type": "tmpfs", "source": "tmpfs"}]|the root cannot be replaced' \
		'[{"destination": "/x", "source": "/no/such/thing", "options": ["bind"]}]|/no/such/thing' \
		'[{"destination": "/x", "type": "cgroup", "source": "cgroup"}]|cannot be added' \
		'[{"destination": "/x", "source": "/etc", "options": ["bind", "copy-symlink"]}]|copy-symlink' \
		'[{"destination": "/x", "type": "tmpfs", "source": "tmpfs", "options": ["size=many"]}]|mounts[0]'; do
		fails with_mounts add "${pair%|*}"
		has "${pair##*|}"
	done
	fails with_mounts add '[{"destination": "/first", "type": "tmpfs", "source": "tmpfs"},
		{"destination": "/first/in", "type": "tmpfs", "source": "tmpfs"},
		{"destination": "/x", "type": "tmpfs", "source": "tmpfs", "options": ["size=many"]}]'
	has 'mounts[2]'
	capture in_container grep -c first /proc/mounts
	is 0
	fails fence --root "$STATE" mounts shuffle "$ID" "$TEST_DIR/mounts.json"
	has 'neither add nor remove'
	runs fence --root "$STATE" kill "$ID" KILL
	wait_until eval '[ "$(fence --root "$STATE" state "$ID" | jq -r .status)" = stopped ]'
	fails with_mounts add '[]'
	has 'container not running'
	runs fence --root "$STATE" delete "$ID"
	assert_nothing_left
}

# bats test_tags=user
@test "mounts add: what an ordinary user may" {
	become user
	make_bundle
	bundle_args tail -f /dev/null
	runs fence --root "$STATE" run --detach --bundle "$BUNDLE" "$ID"
	runs with_mounts add '[{"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"}]'
	runs in_container grep -c ' /scratch tmpfs ' /proc/mounts
	fails with_mounts add '[{"destination": "/x", "source": "/etc", "options": ["bind"]}]'
	has 'mounts[0].source: cannot bind /etc: Operation not permitted'
	runs with_mounts remove '[{"destination": "/scratch"}]'
	runs fence --root "$STATE" delete --force "$ID"
	assert_nothing_left
}

# --- user namespaces of root's ---

# bats test_tags=root
@test "root can bind what the container's user namespace could not reach" {
	mkdir -p "$WORK/closed/source"
	echo content >"$WORK/closed/source/file"
	chmod 700 "$WORK/closed"
	make_bundle '.linux.namespaces += [{"type": "user"}] |
		.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
	chown 100000:100000 "$BUNDLE/rootfs"
	add_mount "{\"destination\": \"/x\", \"source\": \"$WORK/closed/source\", \"options\": [\"rbind\", \"ro\"]}"
	inside 'cat /x/file; echo no >/x/y; id -u'
	has content
	has 'Read-only file system'
}

# bats test_tags=root
@test "a root that the container's user namespace could not reach" {
	local option
	make_bundle '.linux.namespaces += [{"type": "user"}] |
		.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
	chown 100000:100000 "$BUNDLE/rootfs"
	chmod 700 "$BUNDLE"
	inside 'id -u; ls -d /bin; grep -c " / / " /proc/self/mountinfo; mount -t tmpfs tmpfs /tmp'
	[ "${lines[*]:0:2}" = '0 /bin' ]
	[ "$(grep -c "$BUNDLE" /proc/self/mountinfo)" = 0 ]
	# What is mounted in the container does not reach the host.
	edit_config '.process.capabilities[] += ["CAP_SYS_ADMIN"]'
	runs on_shared_host sh -c '"$@"; grep "$0" /proc/self/mountinfo || true' "$BUNDLE" \
		"$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	hasnt "$BUNDLE"
}

# --- the root ---

@test "root.readonly" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle '.root.readonly = true'
		inside 'echo no >/x; echo yes >/dev/shm/x && cat /dev/shm/x'
		has 'Read-only file system'
		has yes
	done
}

@test "the host is not in the mount namespace any more" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle
		inside "sed 's/^[^ ]* [^ ]* [^ ]* [^ ]* \\([^ ]*\\) .*/\\1/' /proc/self/mountinfo | sort -u"
		while read -r path; do
			[[ $path == / || $path == /proc* || $path == /dev* || $path == /sys* ]] || complain "a mount: $path"
		done <<<"$output"
	done
}

@test "--no-pivot" {
	make_bundle
	bundle_args sh -c 'ls / | sort; cat /proc/self/mountinfo'
	runs run_bundle --no-pivot
	has bin
	[ "$(grep -c "$BUNDLE/rootfs / " <<<"$output")" = 1 ]
	[ "$(grep -c ' / /proc .* - proc ' <<<"$output")" = 1 ]
}

# bats test_tags=root
@test "without a mount namespace: chroot, and mounts that go with the container" {
	local shared='del(.linux.namespaces[] | select(.type == "mount"))'
	make_bundle "$shared | del(.mounts, .linux.maskedPaths, .linux.readonlyPaths)"
	inside 'ls / | sort | head -n 1; ls /proc'
	is bin
	make_bundle "$shared"
	make_source
	bind /x ro
	# What was mounted there before stays.
	runs on_shared_host sh -c '
		mount --bind "$2/rootfs" "$2/rootfs"
		jq ".process.args = [\"sh\", \"-c\", \"cat /x/file; readlink /proc/self/ns/mnt; echo no >/x/y; tail -f /dev/null\"]" \
			"$2/config.json" >"$2/new.json"
		mv "$2/new.json" "$2/config.json"
		"$1" --root "$3" create --bundle "$2" "$4" >"$2/log" 2>&1
		"$1" --root "$3" start "$4"
		grep -c "$2/rootfs/x " /proc/self/mountinfo
		until grep Read-only "$2/log"; do :; done
		sed 2q "$2/log"
		readlink /proc/self/ns/mnt
		"$1" --root "$3" delete --force "$4"
		grep -c "$2/rootfs" /proc/self/mountinfo
		ls "$5"' sh "$FENCE" "$BUNDLE" "$STATE" "$ID" "$WORK/source"
	[ "${lines[0]}" = 1 ]
	has 'Read-only file system'
	[ "${lines[2]}" = content ]
	[ "${lines[3]}" = "${lines[4]}" ]
	[ "${lines[5]} ${lines[6]}" = '1 file' ] || complain x
	# A foreground container leaves nothing on the host either, nor one that fails halfway.
	inside 'cat /x/file'
	is content
	make_bundle "$shared" '.mounts += [{"destination": "/y", "type": "nofs", "source": "y"}]'
	refuses 'mounts[6]'
	become user
	make_bundle "$shared"
	refuses root.path
	assert_nothing_left
}

@test "a root that is not there" {
	make_bundle '.root.path = "nowhere"'
	refuses 'root.path'
}

# --- devices ---

@test "the default devices and links" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle
		inside 'stat -c "%n %F %t:%T %a" /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; cd /dev; for link in fd stdin stdout stderr ptmx; do readlink $link; done
			echo x >null; head -c 3 zero | wc -c; echo x >full; head -c 8 urandom | wc -c'
		has '/dev/null character special file 1:3 666'
		has '/dev/zero character special file 1:5 666'
		has '/dev/full character special file 1:7 666'
		has '/dev/random character special file 1:8 666'
		has '/dev/urandom character special file 1:9 666'
		has '/dev/tty character special file 5:0 666'
		has $'/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx'
		has 'No space left'
		has $'3\n'
	done
}

# bats test_tags=root
@test "linux.devices" {
	make_bundle '.linux.devices = [
		{"path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 384, "uid": 7, "gid": 8},
		{"path": "/devices/deep/disk", "type": "b", "major": 7, "minor": 200},
		{"path": "/dev/null", "type": "c", "major": 1, "minor": 3},
		{"path": "/dev/pipe", "type": "p", "fileMode": 420}]'
	inside 'stat -c "%n %F %t:%T %a %u:%g" /dev/mine /devices/deep/disk /dev/pipe'
	is '/dev/mine character special file 1:3 600 7:8
/devices/deep/disk block special file 7:c8 666 0:0
/dev/pipe fifo 0:0 644 0:0'
}

# bats test_tags=user
@test "a device in a user namespace is the host's own, or nothing" {
	become user
	make_bundle '.linux.devices = [{"path": "/dev/zero", "type": "c", "major": 1, "minor": 5}, {"path": "/dev/pipe", "type": "p"}]'
	inside 'stat -c "%F %t:%T" /dev/zero /dev/pipe'
	has 'character special file 1:5'
	make_bundle '.linux.devices = [{"path": "/dev/null", "type": "c", "major": 1, "minor": 250}]'
	refuses 'linux.devices[0]'
	make_bundle '.linux.devices = [{"path": "/dev/no-such-device", "type": "c", "major": 1, "minor": 250}]'
	refuses '/dev/no-such-device'
}

# bats test_tags=user
@test "a device in a user namespace by another name" {
	become user
	make_bundle '.linux.devices = [{"path": "/dev/other-zero", "type": "c", "major": 1, "minor": 5}]'
	bundle_args stat -c %t:%T /dev/other-zero
	mkdir "$TEST_DIR/dev"
	runs unshare --mount sh -c '
		mount -t tmpfs tmpfs "$0" && mkdir "$0/char" && ln -s ../zero "$0/char/1:5"
		for name in null zero full random urandom tty; do touch "$0/$name" && mount --bind "/dev/$name" "$0/$name" || exit; done
		mount --rbind "$0" /dev && exec "$@"' "$TEST_DIR/dev" "${AS_USER[@]}" "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	is 1:5
}

# bats test_tags=root
@test "something else where a device should be" {
	make_bundle '.linux.devices = [{"path": "/file", "type": "c", "major": 1, "minor": 3}]'
	echo x >"$BUNDLE/rootfs/file"
	refuses 'linux.devices[0]'
	has /file
	make_bundle 'del(.mounts[] | select(.destination == "/dev"))'
	echo x >"$BUNDLE/rootfs/dev/null"
	refuses '/dev/null'
}

@test "without a tmpfs on /dev the devices are made in the rootfs" {
	make_bundle 'del(.mounts[] | select(.destination | startswith("/dev")))'
	inside 'echo x >/dev/null; stat -c %t:%T /dev/zero'
	is 1:5
}

@test "a terminal is on /dev/console" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle '.process.terminal = true'
		bundle_args sh -c 'tty; stat -c "%F %t" /dev/console; echo hello >/dev/console'
		runs on_a_terminal fence --root "$STATE" run --bundle "$BUNDLE" "$ID"
		has /dev/pts/0
		has 'character special file 88'
		has hello
	done
}

# --- masked and read-only paths, sysctl ---

@test "masked paths" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle '.linux.maskedPaths += ["/secret/file", "/secret/file", "/secret/dir", "/link", "/not/there", "/bin/busybox/x", "/a/b/..", "/secret/second"]'
		mkdir -p "$BUNDLE/rootfs/secret/dir" "$BUNDLE/rootfs/secret/second" "$BUNDLE/rootfs/linked"
		echo secret | tee "$BUNDLE/rootfs/secret/file" "$BUNDLE/rootfs/secret/dir/file" \
			"$BUNDLE/rootfs/secret/second/file" >"$BUNDLE/rootfs/linked/file"
		ln -s linked "$BUNDLE/rootfs/link"
		give "$BUNDLE"
		inside 'cat /secret/file; ls -A /secret/dir /link /linked /secret/second; cat /proc/keys; echo x >/secret/dir/x; chmod 777 /secret/file; chown 0 /secret/file; ls -d /proc/timer_list'
		hasnt 'secret
'
		has 'Read-only file system'
		hasnt 'Permission denied'
	done
}

@test "read-only paths" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle '.linux.readonlyPaths += ["/etc", "/etc/passwd", "/not/there"]'
		inside 'echo x >/etc/x; echo x >>/etc/passwd; echo 1 >/proc/sys/kernel/domainname; cat /etc/passwd; echo yes >/home/x && cat /home/x'
		[ "$(grep -c 'Read-only file system' <<<"$output")" = 3 ]
		has root:x:0
		has yes
	done
}

@test "sysctl" {
	for who in $EVERYONE; do
		become "$who"
		make_bundle '.linux.sysctl = {"net.ipv4.ip_forward": "1", "net/ipv4/conf/lo/forwarding": "0", "net.ipv4.ping_group_range": "0 0", "kernel.msgmax": "9999"}'
		inside 'cd /proc/sys; cat net/ipv4/ip_forward net/ipv4/conf/lo/forwarding net/ipv4/ping_group_range kernel/msgmax'
		is $'1\n0\n0\t0\n9999'
	done
	become root
	make_bundle '.linux.sysctl = {"net.ipv4.no_such_setting": "1"}'
	refuses 'net.ipv4.no_such_setting'
	make_bundle '.linux.sysctl = {"net.ipv4.../../kernel.hostname": "x"}'
	refuses 'linux.sysctl'
}

# bats test_tags=root
@test "sysctl where the runtime's own /proc/sys is read-only" {
	make_bundle '.linux.sysctl = {"net.ipv4.ip_forward": "1"}'
	bundle_args cat /proc/sys/net/ipv4/ip_forward
	runs unshare --mount sh -c 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"' sh \
		"$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	is 1
}

# --- cgroup ---

cgroup_mount='.mounts += [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}]'

# bats test_tags=root
@test "cgroup mounts show the container its own cgroup, read-only" {
	for namespace in '{"type": "cgroup"}' ''; do
		[ -n "$namespace" ] || [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ] || continue
		make_bundle "$cgroup_mount | .linux.namespaces += [$namespace] | .linux.resources.pids.limit = 77"
		inside 'cat $(find /sys/fs/cgroup -name pids.max -maxdepth 2); grep " - cgroup" /proc/self/mountinfo; find /sys/fs/cgroup -name cgroup.procs | head -n 1 | xargs cat
			mkdir /sys/fs/cgroup/x; for d in /sys/fs/cgroup/*/; do mkdir $d/x; done'
		[ "${lines[0]}" = 77 ]
		hasnt 'cgroup rw,relatime'
		hasnt "$$"
		has 'Read-only file system'
	done
}

# bats test_tags=root
@test "a mount of type cgroup2 is v2, also beside v1" {
	grep -q cgroup2 /proc/filesystems
	make_bundle '.mounts += [{"destination": "/v2", "type": "cgroup2", "source": "cgroup2", "options": ["ro"]}] | .linux.namespaces += [{"type": "cgroup"}]'
	inside 'ls /v2; mkdir /v2/x'
	has cgroup.controllers
	has 'Read-only file system'
}

# bats test_tags=root
@test "on v2 without a cgroup namespace a cgroup mount is as /proc/self/cgroup tells, read-only" {
	require_kernel 'cgroup v2 alone' test "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs
	make_bundle "$cgroup_mount | .linux.resources.pids.limit = 77"
	inside 'own=/sys/fs/cgroup$(cut -d : -f 3 /proc/self/cgroup); cat $own/pids.max; mkdir $own/x'
	[ "${lines[0]}" = 77 ]
	has 'Read-only file system'
}

# bats test_tags=root
@test "a cgroup mount on v2, of a container without a cgroup" {
	local namespace
	for namespace in '{"type": "cgroup"}' ''; do
		make_bundle "$cgroup_mount | .linux.namespaces += [$namespace]"
		bundle_args ls /sys/fs/cgroup
		runs in_host unshare --mount sh -ec '[ -e /sys/fs/cgroup/cgroup.procs ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$@"' sh \
			"$FENCE" --root "$STATE" --cgroup-manager disabled run --bundle "$BUNDLE" "$ID"
		has cgroup.procs
	done
}

# --- older kernels ---

# bats test_tags=root
@test "on a kernel that has mount_setattr and not nosymfollow, as 5.12" {
	require_kernel strace strace -f --inject=mount_setattr:error=EINVAL:when=1 true
	mkdir -p "$WORK/source"
	make_bundle '.mounts |= map(select(.destination == "/proc"))'
	bind /x ro
	edit_config '.mounts |= reverse'
	bundle_args grep ' /x ' /proc/self/mountinfo
	# The first call in the container is refused, as there one with that flag would be.
	runs in_host strace -f -o /dev/null --inject=mount_setattr:error=EINVAL:when=1 "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	has ' ro,'
}

@test "on a kernel without mount_setattr everything is as on this one" {
	require_kernel strace strace -f --inject=mount_setattr:error=ENOSYS true
	mkdir -p "$WORK/source"
	make_bundle '.root.readonly = true' '.linux.maskedPaths += ["/etc"]' "$cgroup_mount"
	bind /x ro nosuid rprivate
	bind /y noexec rslave
	bundle_args sh -c "sed 's/^[^ ]* [^ ]* [^ ]* //' /proc/self/mountinfo"
	runs on_shared_host "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	sed 's/[a-z]*:[0-9]*//' <<<"$output" >"$TEST_DIR/new"
	runs on_shared_host strace -f -o /dev/null --inject=mount_setattr:error=ENOSYS "$FENCE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	sed 's/[a-z]*:[0-9]*//' <<<"$output" | diff "$TEST_DIR/new" -
}
