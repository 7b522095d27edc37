# Bad input: every fault is told in one line, which says where it is and what to do, and nothing is left behind.
#
# The cases are in bad/*.table: INPUT => a fragment of the one line.
load helpers

there='' # what may be in the state directory

# each_case TABLE FUNCTION: FUNCTION INPUT FRAGMENT for every line; one run shows all that is wrong.
each_case() {
	local line failed=0
	while IFS= read -r line; do
		[[ $line == *' => '* && $line != '# '* ]] || continue
		"$2" "${line%% => *}" "${line#* => }" || { echo "input: ${line%% => *}" >&2 && failed=1; }
	done <"$BATS_TEST_DIRNAME/bad/$1.table"
	return "$failed"
}

# each_edit TABLE FUNCTION: the same, where INPUT is a jq filter; what it makes of good.json is ${edited[$number]}. One jq makes all of
# them, since it takes long to start.
each_edit() {
	local filters
	filters=$(sed -n '/^# /d; / => /{s/ => .*//; s/.*/(&),/p}' "$BATS_TEST_DIRNAME/bad/$1.table")
	mapfile -t edited < <(jq --compact-output "${filters%,}" "$TEST_DIR/good.json")
	number=-1
	each_case "$@"
	[ "$((number + 1))" = "${#edited[@]}" ]
}

# refused FRAGMENT CMD…: fails, with one line on standard error that has FRAGMENT in it, and nothing on standard output.
refused() {
	local fragment=$1
	shift
	ran=("$@") status=0
	# To files: a container that was made after all would keep a pipe open.
	"$@" </dev/null >"$TEST_DIR/stdout" 2>"$TEST_DIR/stderr" 3>&- || status=$?
	output=$(<"$TEST_DIR/stderr")
	if [ "$status" -eq 0 ]; then
		fence --root "$STATE" delete --force "$ID" >/dev/null 2>&1 || true
		complain 'this should have been refused'
	elif [[ $output != *"$fragment"* ]]; then
		complain "the output lacks: $fragment"
	elif [[ $output == *$'\n'* ]]; then
		complain 'the fault is to be told in one line'
	elif [ -s "$TEST_DIR/stdout" ]; then
		complain 'standard output is not for faults'
	elif [ "$(ls "$STATE")" != "$there" ]; then
		complain "in the state directory: $(ls "$STATE")"
	fi
}

# file_refused FILE FRAGMENT CMD…: the same, and the line says where in the file.
file_refused() {
	refused "${@:2}" && [[ $output =~ $1:[0-9]+:[0-9]+:\  ]] || complain "the output lacks the position in $1"
}

bundle_refused() {
	refused "$1" fence --root "$STATE" create --bundle "$BUNDLE" "$ID" &&
		refused "$1" fence --root "$STATE" run --bundle "$BUNDLE" "$ID"
}

config_refused() {
	file_refused config.json "$1" fence --root "$STATE" create --bundle "$BUNDLE" "$ID" &&
		file_refused config.json "$1" fence --root "$STATE" run --bundle "$BUNDLE" "$ID"
}

json_case() {
	printf '%s\n' "$1" >"$BUNDLE/config.json"
	config_refused "$2"
}

config_case() {
	printf '%s\n' "${edited[++number]}" >"$BUNDLE/config.json"
	config_refused "$2"
}

runtime_case() {
	printf '%s\n' "${edited[++number]}" >"$BUNDLE/config.json"
	bundle_refused "$2"
}

bytes_case() {
	printf '%b' "$1" >"$BUNDLE/config.json"
	bundle_refused "config.json:$2"
}

make_good() {
	make_bundle
	cp "$BUNDLE/config.json" "$TEST_DIR/good.json"
}

@test "config.json that is not JSON" {
	make_good
	each_case json json_case
	assert_nothing_left
}

@test "config.json with bytes that are not text" {
	make_good
	bytes_case '{"hostname": "\xff"}' '1:15: not valid UTF-8; save the file as UTF-8'
	bytes_case '{"hostname": "\xc0\xaf"}' '1:15: not valid UTF-8' # an overlong /
	bytes_case '{"hostname": "\xed\xa0\x80"}' '1:15: not valid UTF-8' # a surrogate
	bytes_case '{"hostname": \x00}' '1:14: hostname: this character has no meaning here'
	bytes_case '{"hostname":\n "a\nb"}' '2:4: hostname: a control character in a string'
	bytes_case '\xef\xbb\xbf{}' '1:1: this character has no meaning here'
	bytes_case '' '1:1: the text ends too early'
	printf '[%.0s' {1..101} >"$BUNDLE/config.json"
	bundle_refused 'nested deeper than 100 levels'
	truncate -s 17M "$BUNDLE/config.json"
	bundle_refused 'config.json: larger than 16 MiB'
	assert_nothing_left
}

# bats test_tags=root
@test "config.json that says what it must not" {
	make_good
	each_edit config config_case
	assert_nothing_left
}

@test "a bundle that is not there, or not whole" {
	make_good
	local bundle=$BUNDLE
	BUNDLE=$TEST_DIR/nowhere bundle_refused nowhere
	mv "$bundle/config.json" "$bundle/other.json"
	bundle_refused 'config.json: No such file or directory'
	mkdir "$bundle/config.json"
	bundle_refused 'config.json: Is a directory'
	rmdir "$bundle/config.json"
	truncate -s 1T "$bundle/config.json"
	bundle_refused 'larger than 16 MiB'
	rm "$bundle/config.json"
	jq 'del(.process)' "$bundle/other.json" >"$bundle/config.json"
	refused 'process.args: there is no program' fence --root "$STATE" run --bundle "$BUNDLE" "$ID"
	assert_nothing_left
}

# bats test_tags=root
@test "a config.json that asks for what is not there" {
	make_good
	each_edit runtime runtime_case
	jq '.process.terminal = true' "$TEST_DIR/good.json" >"$BUNDLE/config.json"
	refused --console-socket fence --root "$STATE" create --bundle "$BUNDLE" "$ID"
	assert_nothing_left
}

policy_case() {
	printf '%s\n' "$1" >policy.json
	file_refused policy.json "$2" fence --policy policy.json -- true && [ "$status" -eq 125 ] &&
		file_refused policy.json "$2" fence spec --policy policy.json --bundle bundle -- true && absent bundle
}

@test "policies that say what they must not" {
	for who in $EVERYONE; do
		become "$who"
		each_case policy policy_case
		assert_nothing_left
	done
}

@test "a policy file that is bad, wherever it comes from, stops the command: nothing falls back to a default" {
	for who in $EVERYONE; do
		become "$who"
		mkdir -p "$HOME/.config/fence"
		echo '{"filesystem": {"allowReed": []}}' >"$HOME/.config/fence/fence.json"
		give "$HOME"
		exits 125 fence -- true
		has '.config/fence/fence.json:1:30: filesystem.allowReed: there is no such key; did you mean "allowRead"?'
		rm "$HOME/.config/fence/fence.json"
		printf '{"extends": "b.json"}' >a.json
		printf '{"extends": "a.json"}' >b.json
		exits 125 fence --policy a.json -- true
		has 'b.json'
		echo '{"extends": "no-such-policy"}' >a.json
		exits 125 fence --policy a.json -- true
		has 'a.json: extends: there is no policy named "no-such-policy"'
		printf '{"extends": "c.json"}' >a.json
		printf '{\n"filesystem": {"allowRead": [""]}}' >c.json
		exits 125 fence --policy a.json -- true
		has 'c.json:2:30: filesystem.allowRead[0]: "" is an empty path'
		exits 125 fence --policy nowhere.json -- true
		has 'nowhere.json'
		exits 125 fence --policy no-such-policy -- true
		has 'no-such-policy'
		exits 125 fence --policy . -- true
		assert_nothing_left
	done
}

process_case() {
	printf '%s\n' "${edited[++number]}" >"$TEST_DIR/process.json"
	file_refused process.json "$2" fence --root "$STATE" exec --process "$TEST_DIR/process.json" "$ID"
}

@test "a process.json that says what it must not" {
	make_bundle
	bundle_args sleep 60
	run_bundle --detach </dev/null >/dev/null 2>&1 3>&-
	there=$(ls "$STATE")
	echo '{"cwd": "/", "args": ["true"], "env": ["PATH=/bin"]}' >"$TEST_DIR/good.json"
	each_edit process process_case
	runs fence --root "$STATE" delete --force "$ID"
	assert_nothing_left
}
