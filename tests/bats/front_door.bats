# The front door, `fence -- COMMAND`: what a command can't read, write or do, tried from inside, as root and as an ordinary user.
# Networks are in front_network.bats, what is left behind in cleanup.bats.
load helpers

# Every name and every file's content below the home and the working directory.
snapshot() {
	find "$HOME" "$WORK" -printf '%y %m %p %l\n' | sort
	find "$HOME" "$WORK" -type f -print0 | sort -z | xargs -0r md5sum
}

# repository DIRECTORY [OPTION…]: of whoever runs fence.
repository() {
	as_who git init -q "${@:2}" "$1"
	as_who git -C "$1" config user.email a@example.com
	as_who git -C "$1" config user.name a
}

protected_files='.gitconfig .gitmodules .bashrc .bash_profile .zshrc .zprofile .profile .ripgreprc .mcp.json
	.git/hooks/pre-commit .git/config .vscode/settings.json .idea/workspace.xml .claude/commands/x.md .claude/agents/x.md'

# bats test_tags=root
@test "keys and passwords of the system that root could read are not there" {
	host_namespace
	private_etc
	local file
	for file in letsencrypt/archive/x/privkey.pem pki/tls/private/x.key apt/auth.conf ipsec.secrets security/opasswd wpa_supplicant/x.conf; do
		host_file "/etc/$file" <<<hush
	done
	runs fence -- sh -c 'cat /etc/letsencrypt/*/*/* /etc/pki/tls/private/* /etc/apt/auth.conf /etc/ipsec.secrets /etc/security/opasswd /etc/wpa_supplicant/*; true'
	hasnt hush
	policy '{ "filesystem": { "allowRead": ["/etc/letsencrypt"] } }'
	runs fenced sh -c 'cat /etc/letsencrypt/*/*/*'
	is hush
}

@test "a private key in the home directory is not there" {
	for who in $EVERYONE; do
		become "$who"
		mkdir -m 700 "$HOME/.ssh"
		echo 'a secret' >"$HOME/.ssh/id_ed25519"
		give "$HOME/.ssh"
		fails fence -- sh -c 'cat ~/.ssh/id_ed25519'
		hasnt 'a secret'
		fails fence -- cat "$HOME/.ssh/id_ed25519"
		hasnt 'a secret'
		fails fence -- sh -c 'cd / && cat proc/1/root"$1" || cat /proc/self/root"$1"' sh "$HOME/.ssh/id_ed25519"
		hasnt 'a secret'
	done
}

@test "nothing can be written outside, and no file appears" {
	for who in $EVERYONE; do
		become "$who"
		mkdir "$WORK/../outside"
		give "$WORK/../outside"
		snapshot >"$TEST_DIR/before"
		for file in "/etc/$ID" "$HOME/x" "/usr/$ID" "/var/tmp/$ID" "/run/$ID" "/dev/$ID" "$WORK/../outside/x" "/$ID"; do
			capture fence -- touch "$file"
			absent "$file"
		done
		fails fence -- touch "/etc/$ID" "$HOME/x"
		snapshot | diff "$TEST_DIR/before" -
		absent "$WORK/../outside/x"
	done
}

@test "the working directory is written where the policy says so, and only there" {
	for who in $EVERYONE; do
		become "$who"
		echo 'as it was' >file
		give file
		runs fence -- cat file
		is 'as it was'
		policy
		runs fenced sh -c 'echo changed >file && echo new >other && mkdir -p a/b && echo deep >a/b/c'
		[ "$(cat file other a/b/c)" = $'changed\nnew\ndeep' ]
		[ "$(stat -c %U other)" = "$(as_who id -un)" ]
		fails fenced touch "$HOME/x" "/etc/$ID"
		absent "$HOME/x" "/etc/$ID"
	done
}

@test "the working directory is not written without a rule" {
	for who in $EVERYONE; do
		become "$who"
		policy '{ "filesystem": { "allowWrite": [] } }'
		fails fenced touch new
		absent new
	done
}

@test "protected files that exist can't be changed, removed or replaced" {
	for who in $EVERYONE; do
		become "$who"
		policy
		for file in $protected_files; do
			mkdir -p "$(dirname "$file")"
			echo original >"$file"
		done
		give .
		snapshot >"$TEST_DIR/before"
		for file in $protected_files; do
			fails fenced sh -c 'echo evil >>"$1"' sh "$file"
			fails fenced rm -f "$file"
			fails fenced sh -c 'echo evil >new; mv -f new "$1"; status=$?; rm -f new; exit $status' sh "$file"
			fails fenced ln -sf /dev/null "$file"
		done
		snapshot | diff "$TEST_DIR/before" -
	done
}

@test "protected files that do not exist can't be made, and leave no litter" {
	for who in $EVERYONE; do
		become "$who"
		policy
		mkdir .git
		give .git
		snapshot >"$TEST_DIR/before"
		for file in $protected_files; do
			fails fenced sh -c 'mkdir -p "${1%/*}" 2>/dev/null; echo evil >"$1"' sh "$file"
		done
		fails fenced sh -c 'echo x >new; mv new .mcp.json || { rm new; exit 1; }'
		fails fenced ln -s /tmp/x .bashrc
		absent $protected_files
		# An empty .claude is nobody's setting: only what is in it counts.
		diff "$TEST_DIR/before" <(snapshot | grep -v "work/\.claude $")
	done
}

@test "moving the directory above a protected file does not step round the rule" {
	for who in $EVERYONE; do
		become "$who"
		policy
		mkdir -p .git/hooks .claude/commands
		echo original >.git/hooks/pre-commit
		give .
		capture fenced sh -c 'mv .git aside && mkdir -p .git/hooks && echo evil >.git/hooks/pre-commit'
		[ "$(cat .git/hooks/pre-commit)" = original ]
		capture fenced sh -c 'mv .claude aside2 && mkdir -p .claude/commands && echo evil >.claude/commands/x.md'
		absent .claude/commands/x.md
		# The working directory itself, from its parent.
		capture fenced sh -c 'cd .. && mv work elsewhere && mkdir work && echo evil >work/.bashrc'
		absent "$WORK/.bashrc"
	done
}

@test "protected files deeper in the working directory, too" {
	for who in $EVERYONE; do
		become "$who"
		policy
		mkdir -p sub/module/.git/hooks sub/.vscode
		echo original | tee sub/module/.mcp.json sub/module/.git/hooks/post-merge sub/.vscode/tasks.json >/dev/null
		give .
		for file in sub/module/.mcp.json sub/module/.git/hooks/post-merge sub/.vscode/tasks.json; do
			fails fenced sh -c 'echo evil >>"$1"' sh "$file"
			[ "$(cat "$file")" = original ]
		done
	done
}

@test "git works: objects, refs and index are written; config only where the policy says so; hooks never" {
	for who in $EVERYONE; do
		become "$who"
		policy
		repository .
		echo text >file
		give .
		runs fenced sh -ec 'git status >/dev/null && git add file && git commit -qm first && git log --format=%s'
		is first
		fails fenced git config user.name evil
		fails fenced sh -c 'echo >.git/hooks/pre-push'
		policy '{ "filesystem": { "allowWrite": ["."], "allowGitConfig": true } }'
		runs fenced git config user.name b
		[ "$(as_who git config user.name)" = b ]
		fails fenced sh -c 'echo >.git/hooks/pre-push'
		absent .git/hooks/pre-push
	done
}

@test "a git directory can't be pointed at another configuration, and git works meanwhile, inside and on the host" {
	for who in $EVERYONE; do
		become "$who"
		policy
		as_who git init -q .
		before=$(find .git | sort)
		runs fenced git status --short
		for name in commondir config.worktree; do
			fails fenced sh -c "echo ../evil >.git/$name"
			fails fenced mv ".git/$name" .git/aside
			fails fenced sh -c "echo ../evil >.git/new && mv .git/new .git/$name"
			absent ".git/$name"
		done
		rm -f .git/new
		start up "${AS[@]}" "$FENCE" --policy "$POLICY" -- sh -c 'echo up; sleep 60'
		wait_until grep -q up "$TEST_DIR/up.log"
		runs as_who git status --short
		runs fenced git status --short # while the other holds the same placeholders
		stop "$STARTED"
		wait_until sh -c '! test -e .git/commondir'
		[ "$(find .git | grep -v index | sort)" = "$before" ]
	done
}

@test "git sees none of fence's placeholders: nothing but the user's files is added" {
	for who in $EVERYONE; do
		become "$who"
		# Placeholders in all kinds of places, and with all kinds of names.
		policy '{ "filesystem": { "allowWrite": [".", "a [b]?*\\"], "denyWrite": ["sub/#! \\\n\r "] } }'
		repository .
		as_who git commit -q --allow-empty -m first
		printf '# mine\nignored' >.git/info/exclude # without a newline at its end
		mkdir sub .claude 'a [b]?*\'
		echo text | tee file sub/file ignored .claude/mine >/dev/null
		give .
		snapshot | grep -v index >"$TEST_DIR/before"
		runs fenced git status --porcelain -uall
		is $'?? .claude/mine\n?? file\n?? sub/file'
		runs fenced cat .git/info/exclude
		has '# mine'
		fails fenced sh -c 'echo x >>.git/info/exclude'
		policy
		start up "${AS[@]}" "$FENCE" --policy "$POLICY" -- sh -c 'echo up; sleep 60'
		wait_until grep -q up "$TEST_DIR/up.log"
		runs fenced git status --porcelain -uall # while the other holds the same placeholders
		is $'?? .claude/mine\n?? file\n?? sub/file'
		stop "$STARTED"
		wait_until sh -c '! test -e .mcp.json'
		snapshot | grep -v index | diff "$TEST_DIR/before" -
		runs fenced sh -c 'git add -A && git commit -qm second && git ls-files && git status --porcelain'
		is $'.claude/mine\nfile\nsub/file'
		[ -z "$(as_who git status --porcelain)" ]
	done
}

@test "git sees none of fence's placeholders in a repository without .git/info, in a worktree, or where .git is a link" {
	for who in $EVERYONE; do
		become "$who"
		policy '{ "filesystem": { "allowWrite": ["."], "allowRead": [".."] } }'
		repository main --template=
		cd main
		as_who git commit -q --allow-empty -m first
		as_who git worktree add -q ../tree
		snapshot >"$TEST_DIR/before"
		runs fenced git status --porcelain
		is ''
		start up "${AS[@]}" "$FENCE" --policy "$POLICY" -- sh -c 'echo up; sleep 60'
		wait_until grep -q up "$TEST_DIR/up.log"
		runs fenced git status --porcelain
		is ''
		stop "$STARTED"
		wait_until sh -c '! test -e .git/info'
		snapshot | grep -v index | diff <(grep -v index "$TEST_DIR/before") -
		cd ../tree
		policy "{ \"filesystem\": { \"allowWrite\": [\".\", \"$WORK/main\"] } }"
		runs fenced sh -c 'git status --porcelain && cd ../main && git status --porcelain'
		is ''
		as_who mkdir ../third
		cd ../third
		as_who ln -s ../main/.git .git
		runs fenced git status --porcelain
		is ''
		absent ../main/.git/info
	done
}

@test "an exclude file that is a link, or not to be read or written, is left alone" {
	for who in $EVERYONE; do
		become "$who"
		policy
		repository .
		echo 'a secret' | tee "$HOME/exclude" >outside
		mkdir "$HOME/info"
		cp outside "$HOME/info/exclude"
		give "$HOME" outside
		as_who ln -sf "$HOME/exclude" .git/info/exclude
		runs fence -d --policy "$POLICY" -- sh -c 'cat .git/info/exclude; git status --porcelain'
		has '?? .mcp.json'
		has "$WORK/.git/info/exclude"
		hasnt 'a secret'
		rm -r .git/info
		as_who ln -s "$HOME/info" .git/info
		runs fenced sh -c 'cat .git/info/exclude; git status --porcelain'
		has '?? .mcp.json'
		hasnt 'a secret'
		rm .git/info
		policy '{ "filesystem": { "allowWrite": ["."], "denyRead": [".git"] } }'
		runs fenced ls .git
		is ''
		policy '{ "filesystem": { "allowWrite": ["."], "denyWrite": [".git"] } }'
		runs fenced git status --porcelain
		as_who mkdir .git/info
		echo text >.git/info/exclude
		runs fenced git status --porcelain
		is '?? outside'
		policy '{ "filesystem": { "allowWrite": ["."], "denyRead": [".git/info/exclude"] } }'
		fails fenced cat .git/info/exclude
		policy
		give .git
		chmod 0 .git/info/exclude # as another's would be
		[ "$who" = user ] || chown "$TEST_USER" .git/info/exclude
		fails fenced cat .git/info/exclude
		rm .git/info/exclude
		as_who chmod a-w .git/info
		runs fenced true
		as_who chmod u+w .git/info
		as_who mkfifo .git/info/exclude
		runs fenced true
		rm -r .git/info
		as_who chmod a-w .git
		runs fenced true
	done
}

@test "in a git worktree, where .git is a file, hooks and config of the repository are protected" {
	for who in $EVERYONE; do
		become "$who"
		as_who git init -q main
		as_who git -C main -c user.email=a@example.com -c user.name=a commit -q --allow-empty -m first
		as_who git -C main worktree add -q ../tree
		cd tree
		policy "{ \"filesystem\": { \"allowWrite\": [\".\", \"$WORK/main\"] } }"
		fails fenced sh -c 'echo evil >>../main/.git/hooks/pre-commit'
		absent ../main/.git/hooks/pre-commit
		fails fenced sh -c 'echo evil >>../main/.git/config'
		fails fenced sh -c 'echo "gitdir: /tmp/evil" >.git'
	done
}

@test "symbolic links are no way round a rule" {
	for who in $EVERYONE; do
		become "$who"
		policy
		mkdir "$HOME/.ssh"
		echo 'a secret' >"$HOME/.ssh/key"
		ln -s "$HOME/.ssh/key" link
		ln -s "$HOME" home
		ln -s ../../../../../../etc up
		give . "$HOME"
		fails fenced cat link
		fails fenced cat home/.ssh/key
		fails fenced sh -c 'echo x >home/new'
		fails fenced sh -c 'ln -s "$HOME/.ssh/key" made; cat made; echo x >made'
		fails fenced sh -c 'ln -s /etc made2; echo x >made2/fence-test-x'
		fails fenced sh -c 'echo x >up/fence-test-x'
		absent "$HOME/new" /etc/fence-test-x
		[ "$(cat "$HOME/.ssh/key")" = 'a secret' ]
		# A protected file that is a link: what it points to is protected, and the link stays.
		mkdir dotfiles
		echo original >dotfiles/bashrc
		ln -s dotfiles/bashrc .bashrc
		give .
		fails fenced sh -c 'echo evil >>.bashrc'
		fails fenced ln -sf /dev/null .bashrc
		[ "$(cat .bashrc)" = original ]
	done
}

@test "hard links, device nodes and setuid files gain nothing" {
	for who in $EVERYONE; do
		become "$who"
		policy
		echo 'a secret' >"$HOME/key"
		give "$HOME"
		fails fenced ln /etc/passwd passwd
		fails fenced ln "$HOME/key" key
		fails fenced mknod null c 1 3
		fails fenced cat /dev/mem
		fails fenced test -e /dev/kmsg
		runs fenced mkfifo pipe
		runs fenced sh -c 'cp /usr/bin/id setuid; chmod 4755 setuid; ./setuid -u'
		is "$(as_who id -u)"
	done
	become user
	policy
	cp "$(command -v busybox)" busybox
	chmod 4755 busybox # root's
	runs fenced sh -c './busybox id -u; grep NoNewPrivs /proc/self/status'
	hasnt 'uid=0'
	[ "${lines[0]}" = "$(as_user id -u)" ]
	has $'NoNewPrivs:\t1'
	fails fenced su -c true
}

@test "allowExecute: nothing else is executed, neither a copy nor a file in memory" {
	cat >"$TEST_DIR/memory.py" <<-'PY'
		import os, subprocess
		for flags in 0, 1, 0x10: # MFD_CLOEXEC, MFD_EXEC
		    try:
		        fd = os.memfd_create("x", flags)
		        os.write(fd, open("/bin/busybox", "rb").read())
		        subprocess.run(["busybox", "echo", "executed"], executable=f"/proc/self/fd/{fd}", pass_fds=[fd])
		    except OSError as error: print(error.strerror)
	PY
	for who in $EVERYONE; do
		become "$who"
		cp "$TEST_DIR/memory.py" .
		policy '{ "filesystem": { "allowWrite": ["."], "allowExecute": ["/usr", "/bin", "/lib", "/lib64"] } }'
		runs fenced sh -c 'for to in . /tmp /dev/shm; do cp /bin/busybox $to/busybox; $to/busybox echo executed; done; /usr/bin/python3 memory.py'
		hasnt executed
		runs fence -- /usr/bin/python3 memory.py
		has executed
	done
}

@test "no capability, seccomp on, no new privileges, no descriptor beyond 0 to 2" {
	for who in $EVERYONE; do
		become "$who"
		runs fence -- cat /proc/self/status
		for set in Inh Prm Eff Bnd Amb; do
			has "Cap$set:"$'\t0000000000000000'
		done
		has $'Seccomp:\t2'
		has $'NoNewPrivs:\t1'
		exec 9</etc/passwd
		runs fence -- ls /proc/self/fd
		exec 9<&-
		is $'0\n1\n2\n3' # 3 is ls's own
	done
}

@test "dangerous system calls are refused with EPERM" {
	cat >"$TEST_DIR/calls.py" <<-'PY'
		import ctypes, os
		libc = ctypes.CDLL(None, use_errno=True)
		calls = dict(ptrace=101, process_vm_readv=310, process_vm_writev=311, keyctl=250, add_key=248, request_key=249,
		    userfaultfd=323, perf_event_open=298, bpf=321, kexec_load=246, kexec_file_load=320, reboot=169,
		    syslog=103, acct=163, mount=165, umount2=166, pivot_root=155, swapon=167, swapoff=168, sethostname=170,
		    setdomainname=171, init_module=175, finit_module=313, delete_module=176, ioperm=173, iopl=172,
		    unshare=272, setns=308, open_by_handle_at=304, io_uring_setup=425, open_tree=428, move_mount=429,
		    fsopen=430, fsconfig=431, fsmount=432, fspick=433, mount_setattr=442)
		arguments = dict(personality=[0x0040000], unshare=[0x10000000])
		for name, number in calls.items():
		    ctypes.set_errno(0)
		    result = libc.syscall(number, *arguments.get(name, [0x7fffffff, 0, 0, 0, 0, 0]))
		    error = ctypes.get_errno()
		    if result != -1 or error not in (1, 38):
		        print("allowed:", name, result, os.strerror(error))
		# clone with CLONE_NEWUSER (the old call; clone3 has its flags in memory and must not be there at all)
		pid = libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)
		if pid == 0: os._exit(0)
		if pid > 0: print("allowed: clone(CLONE_NEWUSER)")
		if libc.syscall(435, 0, 0) != -1 or ctypes.get_errno() != 38:
		    print("clone3 should be ENOSYS, for libc to fall back to clone")
		# 32-bit and x32 entries are no way round the filter: x32 numbers are refused or do not exist
		if libc.syscall(0x40000000 + 101, 0, 0, 0, 0) != -1: print("allowed: x32 ptrace")
	PY
	require_kernel 'x86-64 processor' test "$(uname -m)" = x86_64
	for who in $EVERYONE; do
		become "$who"
		cp "$TEST_DIR/calls.py" .
		runs fence -- /usr/bin/python3 calls.py
		is ''
	done
}

@test "unix sockets of the host can't be reached" {
	start listener /usr/bin/python3 -c '
import socket, sys, os
sockets = []
for path in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX)
    s.bind(path.replace("@", "\0", 1) if path[0] == "@" else path)
    if path[0] != "@": os.chmod(path, 0o777)
    s.listen()
    sockets.append(s)
while True: s.accept()
' "@$ID" "/run/$ID.sock" "$WORK/x.sock"
	local connect='
import socket, sys
for path in sys.argv[1:]:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            s = socket.socket(socket.AF_UNIX, kind)
            s.connect(path.replace("@", "\0", 1))
            print("connected to", path)
        except OSError as error:
            print(error, file=sys.stderr)
socket.socket(socket.AF_INET, socket.SOCK_STREAM)
socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
'
	wait_until test -S "$WORK/x.sock"
	local place=$WORK
	chmod 755 "$place"
	for who in $EVERYONE; do
		become "$who"
		runs as_who /usr/bin/python3 -c "$connect" "@$ID" "/run/$ID.sock" "$place/x.sock"
		has 'connected to @'
		has 'connected to /run'
		builtin cd "$place"
		runs fence -- /usr/bin/python3 -c "$connect" "@$ID" "/run/$ID.sock" "$place/x.sock"
		hasnt connected
	done
	rm -f "/run/$ID.sock"
}

@test "exit status: the command's own, 128 plus its signal, 125, 126 and 127 for what fence says" {
	for who in $EVERYONE; do
		become "$who"
		exits 0 fence -- true
		exits 7 fence -- sh -c 'exit 7'
		exits 255 fence -- sh -c 'exit 255'
		exits 143 fence -- sh -c 'kill -TERM $$'
		exits 137 fence -- sh -c 'kill -KILL $$'
		exits 134 fence -- sh -c 'ulimit -c 0; kill -ABRT $$'
		exits 125 fence --policy /nonexistent -- true
		exits 125 fence --no-such-option -- true
		exits 125 fence --
		exits 125 fence --policy
		exits 127 fence -- no-such-command
		has no-such-command
		exits 127 fence -- ./no-such-command
		echo text >file
		give file
		exits 126 fence -- ./file
		exits 126 fence -- /etc
	done
}

@test "errors are one line on stderr, before anything runs" {
	become root
	for policy in '{' '{ "filesystem": { "allowRead": [""] } }' '{ "filesytem": {} }' '[]' '{ "network": { "proxyUrl": "ftp://x" } }'; do
		policy "$policy"
		exits 125 fenced touch ran
		absent ran
		[ "${#lines[@]}" -eq 1 ]
		[[ $output == fence:* ]] || complain 'the message should begin with "fence:"'
	done
	policy '{ "filesytem": {} }'
	exits 125 fenced true
	has filesystem # the nearest key
	policy $'{\n  "filesystem": { "allowRead": [ }\n}'
	exits 125 fenced true
	has 'policy.json:2:'
	runs bash -c '"$1" --policy /nonexistent -- true 2>/dev/null || true' bash "$FENCE"
	is ''
}

@test "no policy at all, and an empty one, are the default" {
	for who in $EVERYONE; do
		become "$who"
		mkdir "$HOME/.ssh"
		echo secret >"$HOME/.ssh/id"
		give "$HOME"
		fails fence -- cat "$HOME/.ssh/id"
		policy '{}'
		fails fenced cat "$HOME/.ssh/id"
		# Comments and trailing commas are welcome.
		policy $'// a comment\n{ "filesystem": { "allowWrite": [".", ], /* more */ }, }'
		runs fenced touch new
	done
}

@test "the user's own policy file is found; a broken one is an error" {
	for who in $EVERYONE; do
		become "$who"
		mkdir -p "$HOME/.config/fence"
		echo '{ "filesystem": { "denyRead": ["./hidden"], "allowWrite": ["."] } }' >"$HOME/.config/fence/fence.json"
		echo secret >hidden
		give . "$HOME"
		capture fence -- cat hidden
		hasnt secret
		runs fence -- touch new
		echo '{ broken' >"$HOME/.config/fence/fence.json"
		exits 125 fence -- true # never the default instead
	done
}

@test "--policy is merged over the user's own file, and loses none of its denials" {
	for who in $EVERYONE; do
		become "$who"
		mkdir -p "$HOME/.config/fence"
		echo '{ "filesystem": { "denyRead": ["./hidden"], "allowWrite": ["."] } }' >"$HOME/.config/fence/fence.json"
		echo secret >hidden
		give . "$HOME"
		policy '{ "filesystem": { "allowRead": ["."] } }'
		capture fenced cat hidden
		hasnt secret
	done
}

@test "denyRead: files masked, directories emptied, globs" {
	for who in $EVERYONE; do
		become "$who"
		mkdir -p dir deep/a/b
		echo secret | tee file dir/file one.key two.key deep/a/b/x.pem .env .env.local >/dev/null
		echo public >open
		give .
		policy '{ "filesystem": { "denyRead": ["./file", "./dir", "*.key", "deep/**/*.pem"], "allowWrite": ["."] } }'
		runs fenced sh -c 'cat file dir/file one.key two.key deep/a/b/x.pem .env .env.local; ls dir; cat open'
		hasnt secret
		has public
		capture fenced sh -c 'echo evil >file; echo evil >dir/new; rm -f one.key'
		[ "$(cat file one.key)" = $'secret\nsecret' ]
		absent dir/new
	done
}

@test "read-all mode: everything but what is denied" {
	for who in $EVERYONE; do
		become "$who"
		mkdir "$HOME/.ssh" "$HOME/open"
		echo secret >"$HOME/.ssh/id"
		echo public >"$HOME/open/file"
		give "$HOME"
		policy '{ "filesystem": { "defaultDenyRead": false, "denyRead": ["~/.ssh"] } }'
		runs fenced cat "$HOME/open/file"
		is public
		capture fenced cat "$HOME/.ssh/id"
		hasnt secret
		fails fenced touch "$HOME/open/new" "$HOME/x"
		absent "$HOME/open/new" "$HOME/x"
	done
}

@test "read-all mode: of /run and /sys only what is named is there" {
	host_namespace
	in_host mount -t tmpfs -o mode=755 run /run
	in_host install -d -o "$TEST_UID" -m 700 "/run/user/$TEST_UID"
	in_host sh -c 'mkdir /run/seen /run/hidden; echo public >/run/seen/file; touch /run/hidden/file'
	for who in $EVERYONE; do
		become "$who"
		policy '{ "filesystem": { "defaultDenyRead": false, "allowRead": ["/run/seen"] } }'
		runs fenced sh -c 'ls /run; cat /run/seen/file; ls /sys; ls -d /sys/devices/*'
		is $'seen\npublic\ndevices\nkernel\n/sys/devices/system'
		fails fenced touch /run/new /run/seen/new /sys/new /new
		policy '{ "filesystem": { "defaultDenyRead": false, "allowWrite": ["."] } }'
		runs fenced sh -c 'ls /run /lost+found 2>/dev/null | grep -v : || true; test -r /etc/passwd && echo >new'
		is ''
		[ -e new ]
		policy '{ "filesystem": { "defaultDenyRead": false, "allowRead": ["/run"] } }'
		runs fenced cat /run/hidden/file /run/seen/file
		is public
	done
}

@test "allowRead and allowWrite open single paths, and denyWrite closes some again" {
	for who in $EVERYONE; do
		become "$who"
		mkdir -p "$HOME/data/fixed" "$HOME/other"
		echo public | tee "$HOME/data/file" "$HOME/data/fixed/file" "$HOME/other/file" >/dev/null
		give "$HOME"
		policy '{ "filesystem": { "allowRead": ["~/other"], "allowWrite": ["~/data"], "denyWrite": ["~/data/fixed"] } }'
		runs fenced sh -c 'cat ~/other/file ~/data/file && echo new >~/data/new'
		[ "$(cat "$HOME/data/new")" = new ]
		fails fenced sh -c 'echo x >~/data/fixed/file'
		fails fenced sh -c 'echo x >~/other/file'
		fails fenced touch "$HOME/data/fixed/new"
		fails fenced sh -c 'mv ~/data/fixed ~/data/away'
	done
}

@test "/tmp is private, /dev small, /proc shows only the sandbox" {
	touch "/tmp/$ID"
	for who in $EVERYONE; do
		become "$who"
		runs fence -- sh -c 'ls -A /tmp; echo x >/tmp/inside; ls /tmp'
		is inside
		absent /tmp/inside
		runs fence -- ls /dev
		hasnt vda
		hasnt kmsg
		for name in null zero full random urandom tty fd stdin stdout stderr ptmx pts shm; do
			has "$name"
		done
		runs fence -- sh -c 'set -- /proc/[0-9]*; echo $#'
		[ "$output" -le 3 ]
		runs fence -- sh -c 'echo $$ >/dev/shm/x && cat /dev/shm/x'
		fails fence -- sh -c 'echo 1 >/proc/sys/kernel/panic'
		fails fence -- sh -c 'echo h >/proc/sysrq-trigger'
		fails fence -- sh -c 'cat /proc/kcore | head -c 1 | grep -q .'
	done
	rm "/tmp/$ID"
}

@test "the environment: marked, stripped of the loader's variables, otherwise kept" {
	for who in $EVERYONE; do
		become "$who"
		LD_PRELOAD='' LD_LIBRARY_PATH=/evil LD_AUDIT='' DYLD_INSERT_LIBRARIES=x LDFLAGS=-s COLOUR=green runs fence -- env
		has FENCE_SANDBOX=1
		has LDFLAGS=-s
		has COLOUR=green
		has "HOME=$HOME"
		hasnt DYLD_
		! grep '^LD_' <<<"$output" || complain 'LD_ variables are there'
	done
}

@test "standard input and output pass unchanged; fence adds nothing of its own" {
	for who in $EVERYONE; do
		become "$who"
		head -c 3000000 /dev/urandom >"$TEST_DIR/data"
		fence -- cat <"$TEST_DIR/data" | cmp - "$TEST_DIR/data"
		fence -- sh -c 'echo out; echo err >&2' >"$TEST_DIR/out" 2>"$TEST_DIR/err"
		[ "$(cat "$TEST_DIR/out" "$TEST_DIR/err")" = $'out\nerr' ]
		fence -d -- sh -c 'echo out' >"$TEST_DIR/out" 2>"$TEST_DIR/err"
		[ "$(cat "$TEST_DIR/out")" = out ]
		[ -s "$TEST_DIR/err" ]
		yes | fence -- head -n 1 # SIGPIPE is the default again
		fence -- sh -c 'exec <&-; exec >&-; exit 0'
		fence -- true <&- >&- 2>&-
	done
}

@test "-c keeps quoting, pipes and substitutions" {
	for who in $EVERYONE; do
		become "$who"
		runs fence -c 'echo "a  b" | tr a-z A-Z; echo '\''$HOME "x"'\''; echo "$(echo sub)" `echo tick`; test -z "" && echo $((6*7))'
		is $'A  B\n$HOME "x"\nsub tick\n42'
		exits 3 fence -c 'false || exit 3'
		exits 125 fence -c ''
	done
}

@test "signals reach the command, and its end is fence's" {
	for who in $EVERYONE; do
		become "$who"
		for signal in TERM INT HUP USR1; do
			on_host "${AS[@]}" "$FENCE" -- sh -c 'trap "echo got $1; exit 5" "$1"; echo up; while :; do sleep 0.05; done' sh "$signal"
			rm -f "$TEST_DIR/signal.log"
			# bash starts background jobs with SIGINT ignored, nohup all with SIGHUP: no shell could trap it.
			env --default-signal=INT,HUP "${command[@]}" >"$TEST_DIR/signal.log" 2>&1 3>&- &
			pid=$!
			wait_until grep -qs up "$TEST_DIR/signal.log"
			kill -s "$signal" "$pid"
			status=0
			wait "$pid" || status=$?
			[ "$status" -eq 5 ] || { cat "$TEST_DIR/signal.log" >&2; echo "$signal: status $status" >&2; false; }
			grep -q "got $signal" "$TEST_DIR/signal.log"
		done
	done
}

@test "a command that ignores SIGTERM is killed with fence; nothing survives" {
	for who in $EVERYONE; do
		become "$who"
		on_host "${AS[@]}" "$FENCE" -- sh -c 'trap "" TERM; echo up; sleep 600 & wait; while :; do wait; done'
		rm -f "$TEST_DIR/kill.log"
		"${command[@]}" >"$TEST_DIR/kill.log" 2>&1 3>&- &
		pid=$!
		wait_until grep -qs up "$TEST_DIR/kill.log"
		kill -KILL "$pid"
		wait "$pid" || true
		assert_nothing_left
	done
}

@test "a signal to the process group stays inside, also where Landlock does not see to that" {
	for who in $EVERYONE; do
		become "$who"
		policy '{ "landlock": "never" }'
		runs as_who setsid --wait sh -c '"$1" --policy "$2" -- sh -c "kill -KILL 0"; echo "the caller lives: $?"' sh "$FENCE" "$POLICY"
		is 'the caller lives: 137'
	done
}

@test "on a terminal: it is one inside, Ctrl-C reaches the command, and its size is known" {
	for who in $EVERYONE; do
		become "$who"
		runs on_a_terminal as_who sh -c 'stty rows 33 cols 77; exec "$0" -- sh -c "test -t 0 && test -t 1 && test -t 2 && stty size && tty"' "$FENCE"
		has '33 77'
		# The terminal driver sends SIGINT to the foreground group: the command sees it, and so does whoever waits.
		runs as_who /usr/bin/python3 - "$FENCE" <<-'PY'
			import os, pty, select, sys, signal
			pid, terminal = pty.fork()
			if pid == 0:
			    signal.signal(signal.SIGINT, signal.SIG_DFL) # where the tests run in the background it is ignored, and no shell can trap it
			    os.execv(sys.argv[1], ["fence", "--", "sh", "-c", "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done"])
			seen, sent = b"", False
			while select.select([terminal], [], [], 20)[0]:
			    try: data = os.read(terminal, 4096)
			    except OSError: break
			    if not data: break
			    seen += data
			    if b"ready" in seen and not sent:
			        os.write(terminal, b"\x03"); sent = True
			status = os.waitpid(pid, 0)[1]
			print(seen.decode(), status)
			sys.exit(0 if b"interrupted" in seen and os.waitstatus_to_exitcode(status) == 9 else 1)
		PY
	done
}

@test "on a terminal: nothing can be typed into the caller's shell from inside (TIOCSTI, TIOCLINUX)" {
	for who in $EVERYONE; do
		become "$who"
		runs on_a_terminal fence -- /usr/bin/python3 -c '
import fcntl, termios
for request, data in ((termios.TIOCSTI, b"x"), (0x541C, b"\x03")):
    try: fcntl.ioctl(0, request, data); print("typed")
    except OSError as error: print("refused", error.errno)
'
		has refused
		hasnt typed
	done
}

@test "job control: a shell inside stops and resumes; Ctrl-Z stops the whole" {
	for who in $EVERYONE; do
		become "$who"
		runs on_a_terminal fence -- bash -ic 'sleep 60 & kill -STOP %1; jobs; kill -KILL %1; echo done'
		has done
		hasnt 'no job control'
		runs as_who /usr/bin/python3 - "$FENCE" <<-'PY'
			import os, pty, sys, signal, select
			# A shell's part: fence in a group of its own, in the foreground of this terminal.
			pid, terminal = pty.fork()
			if pid == 0:
			    child = os.fork()
			    if child == 0:
			        os.setpgid(0, 0)
			        signal.signal(signal.SIGTTOU, signal.SIG_IGN); os.tcsetpgrp(0, os.getpgrp()); signal.signal(signal.SIGTTOU, signal.SIG_DFL)
			        os.execv(sys.argv[1], ["fence", "--", "sh", "-c", "echo ready; read x; echo got $x"])
			    try: os.setpgid(child, child)
			    except OSError: pass
			    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
			    _, status = os.waitpid(child, os.WUNTRACED)
			    print("stopped" if os.WIFSTOPPED(status) else "not stopped", flush=True)
			    os.tcsetpgrp(0, child); os.killpg(child, signal.SIGCONT)
			    print("resumed", flush=True)
			    _, status = os.waitpid(child, 0)
			    os._exit(os.waitstatus_to_exitcode(status))
			seen, steps = b"", [(b"ready", b"\x1a"), (b"resumed", b"word\n")]
			while select.select([terminal], [], [], 20)[0]:
			    try: data = os.read(terminal, 4096)
			    except OSError: break
			    if not data: break
			    seen += data
			    if steps and steps[0][0] in seen: os.write(terminal, steps.pop(0)[1])
			status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
			print(seen.decode())
			sys.exit(0 if b"stopped" in seen and b"not stopped" not in seen and b"got word" in seen and status == 0 else 1)
		PY
	done
}

@test "ordinary programs work: python with processes and locks, names of users, pipes, threads" {
	for who in $EVERYONE; do
		become "$who"
		runs fence -- /usr/bin/python3 -c '
import multiprocessing, os, pwd, tempfile, threading, subprocess
def square(x): return x * x
with multiprocessing.Pool(2) as pool: assert pool.map(square, range(3)) == [0, 1, 4]
assert pwd.getpwuid(os.getuid()).pw_name
assert os.readlink("/proc/self/exe").startswith("/usr")
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
with tempfile.TemporaryFile() as file: file.write(b"x")
print(subprocess.check_output(["sh", "-c", "echo sub"]).decode())
'
		has thread
		has sub
		runs fence -- id -un
		is "$(as_who id -un)"
		runs fence -- sh -c 'pwd; cd /proc/self && pwd -P >/dev/null; date >/dev/null; ls / >/dev/null'
		is "$WORK"
	done
}

@test "from a directory below the home, and from one whose name needs care" {
	for who in $EVERYONE; do
		become "$who"
		mkdir -p "$HOME/my projects/a, b [c] \$d"
		echo secret >"$HOME/secret"
		cd "$HOME/my projects/a, b [c] \$d"
		echo text >file
		give "$HOME"
		policy
		runs fenced sh -c 'cat file && touch new && ! cat ~/secret'
		has text
		hasnt 'a secret'
		[ -e new ]
		mkdir link-target
		ln -s link-target link
		give .
		cd link
		runs fenced sh -c 'touch through-link && pwd -P'
		[ -e through-link ]
	done
}

@test "from the home directory itself, from / and from a directory of somebody else's" {
	for who in $EVERYONE; do
		become "$who"
		mkdir "$HOME/.ssh" "$WORK/../theirs"
		echo secret >"$HOME/.ssh/id"
		give "$HOME"
		for place in "$HOME" / /usr "$WORK/../theirs"; do
			cd "$place"
			runs fence -- sh -c 'pwd; cat ~/.ssh/id || true'
			hasnt secret
			has "$PWD"
			fails fence -- touch "$HOME/.bashrc"
			absent "$HOME/.bashrc"
		done
	done
}

# bats test_tags=user
@test "as root of a user namespace that somebody else made, as in a rootless container" {
	become user
	policy
	runs as_who unshare --map-root-user --mount "$FENCE" --policy "$POLICY" -- sh -c 'id -u; touch new'
	is 0
	[ "$(stat -c %U new)" = "$TEST_USER" ]
	assert_nothing_left
}

@test "/etc/resolv.conf as a link across mounts (WSL) is readable" {
	host_namespace
	private_etc
	in_host sh -ec '
		mount -t tmpfs tmpfs /mnt
		mkdir /mnt/wsl
		echo "nameserver 192.0.2.53" >/mnt/wsl/resolv.conf
		ln -sf /mnt/wsl/resolv.conf /etc/resolv.conf'
	for who in $EVERYONE; do
		become "$who"
		runs fence -- cat /etc/resolv.conf
		has nameserver
	done
}

@test "a command line that is not UTF-8 runs, and can be joined by exec" {
	local id
	for who in $EVERYONE; do
		become "$who"
		rm -f "$TEST_DIR/up.log" # the one of before would be read
		start up "${AS[@]}" "$FENCE" -- sh -c 'echo "$1"; sleep 60' sh $'a\xff'
		wait_until grep -q a "$TEST_DIR/up.log"
		[ "$(cat "$TEST_DIR/up.log")" = $'a\xff' ]
		id=$(fence list --quiet | grep "^fence-$STARTED-")
		runs fence exec "$id" echo $'joined\xfe'
		is $'joined\xfe'
		stop "$STARTED"
	done
}

@test "fence spec shows what would run, fence check what the host can do" {
	for who in $EVERYONE; do
		become "$who"
		runs fence spec --bundle "$WORK/bundle" -- echo 'an argument'
		[ "$(jq -r '.process.args[-1]' "$WORK/bundle/config.json")" = 'an argument' ]
		# Any bytes can be run, but not written into JSON.
		fails fence spec --bundle "$WORK/other" -- echo $'\xff'
		has 'is not UTF-8'
		absent "$WORK/other/config.json"
		runs fence check
		for word in namespace seccomp Landlock /dev/net/tun; do
			has "$word"
		done
		runs fence --version
		runs fence --help
		has '--policy'
	done
}

@test "used again and again, at once and from within itself" {
	for who in $EVERYONE; do
		become "$who"
		for turn in 1 2 3 4 5 6 7 8; do
			fence -- sh -c 'exit 0' &
		done
		for turn in 1 2 3 4 5 6 7 8; do
			wait -n
		done
		for turn in 1 2 3 4 5; do
			fence -- true
		done
		# Inside, no further namespace can be made: it says so, and does not run the command unfenced.
		cp "$FENCE" fence
		give fence
		exits 125 fence -- ./fence -- echo unfenced
		hasnt $'\nunfenced'
		assert_nothing_left
	done
}
