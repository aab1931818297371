#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Start a program as systemd would: its listening socket is descriptor 3.

  listen_fd.py NETNS|- IP PORT PROGRAM [ARG ...]

The socket is bound inside the named network namespace ("-": this one); the program itself runs
outside of it.
"""
import ctypes
import os
import socket
import sys

CLONE_NEWNET = 0x40000000


def enter(path):
    """Move this thread into a network namespace."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"setns to {path}")
    os.close(fd)


def main():
    netns, ip, port, program = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if netns != "-":
        enter(f"/run/netns/{netns}")
    s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((ip, port))
    s.listen(128)
    if netns != "-":
        enter(f"/proc/self/fd/{home}")
    fd = s.detach()
    if fd != 3:
        os.dup2(fd, 3)
        os.close(fd)
    os.set_inheritable(3, True)
    env = dict(os.environ, LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="rest")
    os.execve(program[0], program, env)


if __name__ == "__main__":
    main()
