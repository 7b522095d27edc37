#!/usr/bin/python3
"""A stand-in for `criu swrk FD`, for what fence says to CRIU and does with its answers (checkpoint.bats).

$FAKE_CRIU/mode says how it behaves, $FAKE_CRIU/log gets what it was asked, one line each. It saves and restores nothing: in the
mode "unsafe" it "restores" a process that is held by nothing.
"""
import ctypes
import os
import signal
import socket
import sys
import time

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
DUMP, RESTORE, PRE_DUMP, NOTIFY, VERSION = 1, 2, 4, 6, 10
OPTIONS = {
    1: "images_dir_fd", 2: "pid", 3: "leave_running", 4: "ext_unix_sk", 5: "tcp_established", 6: "evasive_devices",
    7: "shell_job", 8: "file_locks", 9: "log_level", 10: "log_file", 11: "ps", 12: "notify_scripts", 13: "root",
    14: "parent_img", 15: "track_mem", 16: "auto_dedup", 17: "work_dir_fd", 18: "link_remap", 23: "ext_mnt", 25: "cg_root",
    26: "rst_sibling", 27: "inherit_fd", 34: "manage_cgroups_mode", 37: "external", 38: "empty_ns", 39: "join_ns",
    44: "freeze_cgroup", 46: "tcp_skip_in_flight", 48: "lazy_pages", 50: "orphan_pts_master", 51: "config_file", 52: "tcp_close",
    53: "lsm_profile", 63: "lsm_mount_context", 64: "network_lock",
}
MESSAGES = {"ps", "ext_mnt", "cg_root", "inherit_fd", "join_ns"}
CLONE_PARENT = 0x8000

directory = os.environ["FAKE_CRIU"]
mode = open(os.path.join(directory, "mode")).read().strip()
rpc = socket.socket(fileno=int(sys.argv[2]))


def log(line):
    with open(os.path.join(directory, "log"), "a") as file:
        print(line, file=file)


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def read_varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
        shift += 7


def fields(data):
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == VARINT:
            value, at = read_varint(data, at)
        else:
            assert key & 7 == BYTES
            length, at = read_varint(data, at)
            value = data[at:at + length]
            at += length
        yield key >> 3, value


def plain(value):
    return value if isinstance(value, int) else value.decode()


def receive():
    data = rpc.recv(1 << 20)
    if not data:
        sys.exit(1)
    return dict(fields(data))


def stage(name, pid=0):
    rpc.send(field(1, NOTIFY) + field(2, 1) + field(5, field(1, name.encode()) + field(2, pid)))
    answer = receive()
    log(f"{name} {'accepted' if answer[3] else 'refused'}")
    return answer[3]


def answer(kind, success, extra=b""):
    try:
        rpc.send(field(1, kind) + field(2, success) + extra)
    except BrokenPipeError:
        sys.exit(1)  # refused, and not waited for


def describe(options):
    found = {}
    for number, value in fields(options):
        name = OPTIONS[number]
        parts = [plain(part) for _, part in fields(value)] if name in MESSAGES else [plain(value)]
        log(f"{name} {'='.join(map(str, parts))}")
        found[name] = parts[0]
    for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
        try:
            log(f"fd {fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except FileNotFoundError:
            pass  # that of the list itself
    return found


def complain(options):
    work = f"/proc/{os.getppid()}/fd/{options['work_dir_fd']}"
    with open(os.path.join(work, options["log_file"]), "w") as file:
        print("(00.000001) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self: not permitted", file=file)
        print("(00.000002)      1: Error (criu/mount.c:2): mnt: the first reason", file=file)
        print("(00.000003) Error (criu/cr-dump.c:3): Dumping FAILED.", file=file)


def spoil(kind, options):
    """What every request can meet with."""
    if mode == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "garbage":
        rpc.send(b"\xff\xff\xff")
    if mode == "wrong":
        answer(VERSION, 1)
    if mode == "fails":
        complain(options)
        answer(kind, 0)
    if mode in ("garbage", "wrong", "fails"):
        sys.exit(0)


def dump(kind, options):
    stage("pre-dump")
    spoil(kind, options)
    accepted = kind == PRE_DUMP or stage("post-dump", options["pid"])
    if options.get("lazy_pages"):
        stage("status-ready")
    if accepted and kind == DUMP and not options.get("leave_running"):
        os.kill(options["pid"], signal.SIGKILL)
    answer(kind, int(accepted))


def clone_for_parent():
    """As CRIU does it for rst_sibling: the process is a child of fence's."""
    pid = ctypes.CDLL(None).syscall(56, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os.execvp("sleep", ["sleep", "3600"])
    return pid


def restore(options):
    if mode == "nameless":
        answer(RESTORE, 1, field(4, field(1, 1)))
        return
    pid = clone_for_parent()
    log(f"restored {pid}")
    stage("setup-namespaces", pid)
    if mode == "waits":
        time.sleep(3600)
    spoil(RESTORE, options)
    stage("post-restore", pid)
    stage("pre-resume", pid)
    answer(RESTORE, 1, field(4, field(1, pid)))


request = receive()
assert request[1] == VERSION and request[4] == 1
major, minor = {"old": (3, 16), "before 3.19": (3, 18)}.get(mode, (4, 2))
answer(VERSION, 1, field(10, field(1, major) + field(2, minor)))
request = receive()
log(f"request {request[1]}")
if request[1] == RESTORE:
    restore(describe(request[2]))
else:
    dump(request[1], describe(request[2]))
