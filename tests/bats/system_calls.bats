# What `fence run` and `fence exec` cost, call by call: each system call that they make, how often at most, and what for. One that is
# not listed, or comes more often, fails the test: it needs a reason here, or goes.
# bats file_tags=root
load helpers

setup_file() {
	common_setup_file
}

setup() {
	common_setup
	host_namespace
}

teardown() {
	common_teardown
}

# NAME RUN EXEC REASON. H: the cgroup hierarchies of the host, M: kibibytes of its mount table, which is read through stdio, P: how many of the
# paths to be masked or read-only it has.
# The calls of the C library's start, and of bringing fence to a mount that nobody can write to, are counted once for all.
table='
access 1 0 is there a policy of the host (/etc/fence/fence.json)?
bpf 4 0 cgroup v2: the rules for devices, loaded and attached
arch_prctl 1 1 C library: thread pointer
brk 8 8 C library: memory, and the arena of config.json
capget 1 1 what the process has, before it is cut down
capset 1 1 the capabilities that the config names
chdir 2 1 into the new root, and process.cwd
clone 1 0 the child that cleans up if fence run is killed
clone3 1 1 the container, in all its new namespaces at once; or the process, born in its cgroup
close 56+2*P+2*H 20+H what is opened is closed where it was opened: no fd may reach the container
close_range 2 1 CVE-2024-21626: nothing above standard error stays open over exec; and for the child that cleans up
dup2 2 0 standard streams of the child that cleans up
execve 2 2 fence, and the program
execveat 1 1 CVE-2019-5736: fence again, from a read-only mount that is in no namespace
exit_group 2 1 -
faccessat2 2 2 may the program be executed; was the container started?
fchdir 1 0 pivot_root needs the working directory
fcntl 6 4 are the standard streams open (C library); opendir; /etc/passwd, where there is no HOME
fsconfig 25 0 options of the mounts: one call each
fsmount 7 0 one for each new filesystem of the config
fsopen 7 0 as above
fstatfs 2 1 is it really procfs? (CVE-2019-16884, CVE-2019-19921); is the program on a filesystem that can change under it?
getcwd 1 1 relative bundle; CVE-2024-21626: is process.cwd inside the root?
getdents64 2 0 what is in the state directory, when it is removed
geteuid 4 2 -
getrandom 1 1 C library: malloc
getuid 1 1 whose HOME?
ioctl 1 0 lo up, as crun and runc leave it
keyctl 1 0 a session keyring of its own
lseek 1 0 C library: /etc/localtime, for the time in the state
mkdir 4+H 1 the state directory; a cgroup in each hierarchy
mkdirat 3 0 mount points that the image lacks
mknodat 6 0 the six devices of the specification
mount 1 0 MS_SLAVE for the whole tree: mount_setattr would be another call for the same
mount_setattr P 1 read-only paths and masks; fence itself
move_mount 7+P 0 one for each mount, read-only path and mask
mprotect 1 1 C library: relocated data
newfstatat 12+P 13 is it a file or a directory (masks); are standard streams sockets or terminals; fstat of what is read
open_tree 1+P 1 read-only paths, and the root itself
openat 48+3*H 13+2*H state, config.json, cgroup files; those of the new cgroup must not be there
openat2 13+P 0 each path inside the root, with RESOLVE_IN_ROOT
pidfd_open 0 3 whom exec joins
pivot_root 1 0 -
poll 1 1 the end of the container, or a signal to pass on
prctl 50 46 41 bounding capabilities are dropped one at a time; ambient ones at once; name, dumpable, parent-death signal, keepcaps, no_new_privs
prlimit64 1 1 C library: size of the stack
read 22+M 14+M config.json, state, cgroup files; the mount table
readlink 6 1 the path of the bundle, component by component; C library
recvmsg 2 2 fence and the container tell each other what is done
renameat 2 0 the state appears whole or not at all
rmdir 1 0 the state directory
rseq 1 1 C library
rt_sigaction 63 63 each signal as it was at first: what the caller ignores must not be ignored inside
rt_sigprocmask 2 2 signals are for signalfd; none blocked inside
sched_setaffinity 1 1 the affinity of the caller must not hold inside (cpuset does)
sendmsg 1 1 as recvmsg
sendto 3 0 the child that cleans up is told how far things are
set_robust_list 2 1 C library
set_tid_address 1 1 C library
setgroups 1 1 process.user
sethostname 1 0 hostname
setns 0 2 the pid namespace, then all others at once
setresgid 1 1 process.user
setresuid 1 1 process.user
setsid 2 1 no controlling terminal of the caller
signalfd4 1 1 signals are passed on
socket 1 0 for the ioctl
socketpair 2 1 to the container; to the child that cleans up
statfs 3 3 which cgroup layout; is fence on a filesystem that allows open_tree?
symlinkat 5 0 /dev/fd, stdin, stdout, stderr, ptmx
umask 2 0 modes of devices and mount points are exact
umount2 1 0 the old root
unlinkat 4+H 0 the cgroups; files of the state directory
wait4 2 1 the status of the program; the child that cleans up
write 17+H 1+H state, config, devices, cpuset; into each cgroup'

# calls_of FILE: of strace -f, without what a process calls once it has executed the container's program.
calls_of() {
	awk '{ pid = $1; sub(/^[0-9]+ +/, "") }
		/^[a-z]/ && !gone[pid] { name = $0; sub(/\(.*/, "", name); count[name]++ }
		/^execve\("\/bin\/true"/ { gone[pid] = 1 }
		END { for (name in count) print name, count[name] }' "$1"
}

# within COLUMN: all that was called is in the table, and no more often.
within() {
	local name count bounds H M P sum=0
	H=$(in_host cat /proc/self/cgroup | wc -l)
	M=$(($(in_host cat /proc/self/mountinfo | wc -c) / 1024 + 1))
	P=$(in_host sh -c 'ls -d $(jq -r ".linux.maskedPaths[], .linux.readonlyPaths[]" "$1") 2>/dev/null | wc -l' sh "$BUNDLE/config.json")
	while read -r name count; do
		bounds=($(grep "^$name " <<<"$table")) || complain "$name is not in the table"
		[ "$count" -le "$((${bounds[$1]}))" ] || complain "$name: $count times, and the table says ${bounds[$1]}"
		sum=$((sum + count))
	done < <(calls_of "$TEST_DIR/trace")
	[ "$sum" -gt 100 ]
	echo "# $sum system calls" >&3
}

@test "each system call of run and exec has its reason" {
	make_bundle
	bundle_args true
	F=("$FENCE" --root "$STATE")
	trace=(strace -f -qq -o "$TEST_DIR/trace")
	runs in_host "${F[@]}" run --bundle "$BUNDLE" "$ID" # caches are warm
	runs in_host "${trace[@]}" "${F[@]}" run --bundle "$BUNDLE" "$ID"
	within 1
	bundle_args sleep 1000
	runs in_host "${F[@]}" run --detach --bundle "$BUNDLE" "$ID"
	runs in_host "${trace[@]}" "${F[@]}" exec "$ID" true
	within 2
}
