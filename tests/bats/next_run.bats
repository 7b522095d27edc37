# What a hostile command may prepare, where it may write, for the next run of fence or for the host's own programs: what one run denies
# is still denied in the next.
load helpers

# spoil FILE…: prints those that could be written, or made.
spoil() {
	fenced sh -c 'for file; do mkdir -p "${file%/*}"; echo evil >>"$file" && echo "$file" >&3; done 3>&1 >/dev/null 2>&1; true' sh "$@"
}

# spoils FILE LINE: a shell line, run first, does not make FILE readable to the next command.
spoils() {
	capture fenced sh -c "$2"
	capture fenced cat "$1"
	hasnt secret
}

@test "a link that leads to what is denied can't be pointed elsewhere" {
	for who in $EVERYONE; do
		become "$who"
		mkdir conf
		echo secret | tee conf/env conf/read conf/key >/dev/null
		ln -s read conf/middle
		ln -s conf/env .env
		ln -s conf/middle link
		ln -s conf/key x.pem
		give .
		policy '{ "filesystem": { "allowWrite": ["."], "denyRead": ["./link", "**/*.pem"] } }'
		spoils conf/env 'rm .env; ln -s /nowhere new && mv -f new .env'
		spoils conf/read 'ln -sfn /nowhere link'
		spoils conf/read 'ln -sfn /nowhere conf/middle'
		spoils conf/key 'rm -f x.pem'
		spoils elsewhere/key 'mv conf elsewhere'
		policy '{ "filesystem": { "allowWrite": ["."], "denyWrite": ["./link"] } }'
		capture fenced ln -sfn /nowhere link
		fails fenced sh -c 'echo evil >conf/read'
	done
}

@test "a protected file can't be exchanged by way of a link in the middle" {
	for who in $EVERYONE; do
		become "$who"
		mkdir dot real
		echo original >real/bashrc
		ln -s ../real/bashrc dot/bashrc
		ln -s dot/bashrc .bashrc
		as_who git init -q git
		ln -s git middle
		ln -s middle/.git .git
		give .
		policy
		capture fenced sh -c 'echo evil >evil; ln -sf ../evil dot/bashrc'
		[ "$(cat .bashrc)" = original ]
		capture fenced sh -c 'mkdir -p other/.git; ln -sfn other middle'
		[ -d .git/hooks ]
	done
}

@test "what is denied is found however many files are put before it" {
	become user
	mkdir sub
	echo secret | tee .env sub/.env >/dev/null
	give .
	policy
	# A directory that is listed before the others: of 40 names one is.
	runs fenced /usr/bin/python3 -c '
import os
for i in range(40): os.mkdir(f"d{i}")
first = next(name for name in os.listdir(".") if name[0] == "d")
for i in range(100100):
    name = f"{first}/{i}"
    if i % 50000 == 0: base = name; open(name, "w").close()
    else: os.link(base, name)
print(first)'
	capture fenced cat .env sub/.env
	hasnt secret
}

@test "what is denied is found, or not there, where its directory was made hard to search" {
	become user
	local mode
	for mode in 444 311 000; do
		mkdir "certs$mode" "sub$mode" "sub$mode/deep"
		echo secret | tee "certs$mode/x.pem" "sub$mode/.env" "sub$mode/deep/.env" >/dev/null
	done
	give .
	policy '{ "filesystem": { "allowWrite": ["."], "denyRead": ["**/*.pem"] } }'
	for mode in 444 311 000; do
		spoils "certs$mode/x.pem" "chmod $mode certs$mode sub$mode"
		runs fenced sh -c 'chmod 755 "$@" 2>/dev/null; cat */*.pem */.env */*/.env 2>/dev/null; true' sh "certs$mode" "sub$mode"
		hasnt secret
	done
}

@test "a pattern that names a link to a directory means what is there" {
	for who in $EVERYONE; do
		become "$who"
		mkdir -p real/deep
		echo secret | tee real/x.pem real/deep/y.pem >/dev/null
		ln -s real certs
		give .
		policy '{ "filesystem": { "allowWrite": ["."], "denyRead": ["certs/*.pem", "certs/**/y.pem"] } }'
		spoils real/x.pem 'ln -sfn /nowhere certs'
		capture fenced cat certs/x.pem certs/deep/y.pem real/deep/y.pem
		hasnt secret
	done
}

@test "a pattern's match whose path is too long to be looked at is an error, not left out" {
	become root
	mkdir certs
	echo secret >certs/x.pem
	policy '{ "filesystem": { "allowWrite": ["."], "denyRead": ["**/*.pem"] } }'
	# The directory can be listed: its own path is as long as a path can be, but for less than the name in it.
	runs fenced /usr/bin/python3 -c '
import os
left, top = 4092 - len(os.getcwd()) - len("/certs"), os.open(".", os.O_RDONLY)
while left:
    part = min(left - 1, 200); part -= left - 1 - part == 1
    name = "d" * part; os.mkdir(name); os.chdir(name); left -= part + 1
os.rename("certs", "certs", src_dir_fd=top)'
	exits 125 fenced sh -c 'while cd d*; do :; done 2>/dev/null; cat certs/x.pem'
	hasnt secret
}

@test "the repository's other worktrees can't be pointed at another configuration" {
	for who in $EVERYONE; do
		become "$who"
		as_who git init -q .
		as_who git -c user.email=a@example.com -c user.name=a commit -q --allow-empty -m first
		as_who git worktree add -q ../tree
		policy
		for change in 'echo ../../../evil >.git/worktrees/tree/commondir' 'mv .git/worktrees/tree/commondir x' \
			'echo evil >.git/worktrees/tree/config.worktree' 'mv .git/worktrees/tree x' 'mv .git/worktrees x'; do
			fails fenced sh -c "$change"
		done
		runs fenced git worktree list
		runs as_who git -C ../tree status --short
		is ''
	done
}

@test "hooks and configuration that git is told of elsewhere can't be written, either" {
	for who in $EVERYONE; do
		become "$who"
		as_who git init -q .
		mkdir .hooks conf sub
		echo original | tee .hooks/pre-commit >conf/more
		printf '[core]\n\thooksPath = "new hooks" # husky\n[include] path = missing\n' >conf/included
		printf '[Core]\n\tHooksPath=.hooks\n[includeIf "gitdir:x"]\n\tpath = ../conf/included ; x\n[include]\n\tpath=~/../work/conf/more\n[submodule "sub"]\n\tpath = sub\n' \
			>>.git/config
		give .
		policy
		runs spoil .hooks/pre-commit .hooks/post-commit conf/included conf/more conf/missing 'new hooks/pre-commit'
		is ''
		fails fenced mv conf elsewhere
		runs fenced touch conf/other sub/file
		[ "$(cat .hooks/* conf/more)" = $'original\noriginal' ]
		absent conf/missing 'new hooks'
	done
}

@test "a repository without a working directory, or another's .git, is protected like a .git" {
	for who in $EVERYONE; do
		become "$who"
		as_who git init -q --bare .
		as_who git init -q "$HOME/main"
		give .
		policy '{ "filesystem": { "allowWrite": [".", "~/main/.git"] } }'
		for place in . "$HOME/main/.git"; do
			runs spoil "$place"/{hooks/post-update,hooks/pre-commit,config,config.worktree,commondir}
			is ''
			fails fenced mv "$place/hooks" "$place/x"
			runs fenced sh -c 'echo text >"$1"' sh "$place/description"
		done
	done
}

@test "an agent's settings, which name commands, can't be written, and what is missing reads as none" {
	for who in $EVERYONE; do
		become "$who"
		mkdir .claude
		echo '{"model": "x"}' >.claude/settings.json
		give .
		policy
		for name in settings.json settings.local.json; do
			fails fenced sh -c "echo evil >.claude/$name"
			fails fenced sh -c "echo evil >.claude/new; mv -f .claude/new .claude/$name"
		done
		runs fenced sh -c 'cat .claude/*.json; echo note >.claude/notes'
		is $'{"model": "x"}\n{}'
		[ "$(ls .claude)" = $'new\nnotes\nsettings.json' ]
	done
}

@test "in a home directory that may be written: not what a shell, a login or ssh starts with" {
	local files=(.zshenv .zlogin .bash_login .bash_aliases .xprofile .ssh/authorized_keys .ssh/rc .config/fish/config.fish
		.config/git/config .config/systemd/user/x.service .config/autostart/x.desktop .config/environment.d/x.conf)
	for who in $EVERYONE; do
		for rule in '"~"' '"~/.config"'; do
			become "$who"
			mkdir -p "$HOME/.config/systemd" "$HOME/.ssh"
			echo original >"$HOME/.ssh/config"
			give "$HOME"
			policy "{ \"filesystem\": { \"allowWrite\": [$rule] } }"
			runs spoil "${files[@]/#/"$HOME/"}"
			is ''
			absent "${files[@]/#/"$HOME/"}"
			runs spoil "$HOME/.ssh/config"
			is ''
			fails fenced mv "$HOME/.config/systemd" "$HOME/.config/x"
			runs fenced sh -c 'echo text >~/.config/program'
			assert_nothing_left
		done
		policy '{ "filesystem": { "allowWrite": ["~", "~/.ssh"] } }'
		runs fenced touch "$HOME/.ssh/known_hosts"
	done
}

@test "the log of the network is neither the command's to change, nor a link of an earlier one's" {
	host_namespace
	start_web 203.0.113.7 80
	for who in $EVERYONE; do
		become "$who"
		echo original >"$HOME/.bashrc"
		ln -s "$HOME/.bashrc" linked.log
		give . "$HOME"
		policy
		exits 125 fence --policy "$POLICY" --allow 203.0.113.7 --net-log linked.log -- true
		has linked.log
		[ "$(cat "$HOME/.bashrc")" = original ]
		for turn in new old; do
			runs fence --policy "$POLICY" --allow 203.0.113.7 --net-log net.log -- sh -c '
				curl -sS --max-time 10 http://203.0.113.7/; for change in "echo evil >net.log" "rm -f net.log" "mv net.log x"; do
					sh -c "$change" && echo changed; done; true'
			has 'the page'
			hasnt changed
		done
		[ "$(grep -c '"tcp".*203.0.113.7' net.log)" -eq 2 ]
		! grep evil net.log || return 1
	done
	assert_nothing_left
}

@test "a file's name says nothing to the terminal by fence's messages" {
	become root
	policy '{ "filesystem": { "allowWrite": ["."], "allowRead": ["link*"], "denyRead": ["dir*/**/x"] } }'
	ln -s /etc $'link\e]0;title\a'
	runs fence --debug --policy "$POLICY" -- true
	has 'is not followed'
	! grep -q $'[\e\a]' <<<"$output" || complain 'control characters'
	mkdir $'dir\e]0;title\a'
	for name in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		cd -P dir* && mkdir "dir$(printf %0200d 0)"
	done
	cd "$WORK"
	exits 125 fenced true
	! grep -q $'[\e\a]' <<<"$output" || complain 'control characters'
}
