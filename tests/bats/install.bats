# `make install`, from a clean copy of the tree, into DESTDIR and PREFIX.
load helpers

# bats test_tags=root
@test "make install puts the program, its network hook and the manuals where they belong" {
	mkdir "$TEST_DIR/tree"
	(cd "$ROOT" && tar --exclude=./build* --exclude=./.git -cf - .) | tar -xf - -C "$TEST_DIR/tree"
	runs make -s -C "$TEST_DIR/tree" -j2 WERROR=1 CFLAGS=-O0 install DESTDIR="$TEST_DIR/dest" PREFIX=/opt/fence
	[ -x "$TEST_DIR/dest/opt/fence/bin/fence" ]
	[ -x "$TEST_DIR/dest/opt/fence/libexec/fence/fence-network" ]
	[ -x "$TEST_DIR/dest/opt/fence/libexec/fence/fence-exec" ]
	[ -s "$TEST_DIR/dest/opt/fence/share/man/man1/fence.1" ]
	[ -s "$TEST_DIR/dest/opt/fence/share/man/man5/fence-policy.5" ]
	runs "$TEST_DIR/dest/opt/fence/bin/fence" --version
	runs sh -c '! ldd "$1" 2>/dev/null | grep "=>"' sh "$TEST_DIR/dest/opt/fence/bin/fence"
}

@test "the manual of policies says what the schema says, of every key" {
	local key
	diff <(jq -r -f "$ROOT/contrib/man/policy.jq" "$ROOT/contrib/policy.schema.json") "$ROOT/contrib/man/fence-policy.5" >&2
	jq -e '[.properties, (.properties[] | .properties? // {}) | to_entries[] | select(.value | (.description // .["$ref"]) == null) | .key] == []' \
		"$ROOT/contrib/policy.schema.json"
	for key in $(jq -r '.properties | keys[] | select(startswith("$") | not)' "$ROOT/contrib/policy.schema.json"); do
		grep -qi -e "$key" "$ROOT/contrib/man/fence-policy.5"
	done
}

@test "an installed fence finds its hook in libexec, also when moved as a tree" {
	mkdir -p "$TEST_DIR/opt/bin" "$TEST_DIR/opt/libexec/fence"
	cp "$FENCE" "$TEST_DIR/opt/bin/fence"
	cp "$FILE_DIR/fence-network" "$TEST_DIR/opt/libexec/fence/"
	host_namespace
	start_web 203.0.113.7 80
	runs as_who "$TEST_DIR/opt/bin/fence" --allow 203.0.113.7 -- curl -sS --max-time 20 http://203.0.113.7/
	is 'the page'
}
