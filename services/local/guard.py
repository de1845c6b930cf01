"""Started between us and a child: ``python -I -S guard.py PARENT SIGNAL USER COMMAND…`` becomes COMMAND.

A parent that is killed outright can clean nothing up, so on Linux the kernel is asked to send the child SIGNAL when
its parent is gone (prctl(2), PR_SET_PDEATHSIG). It is a process of its own because ``preexec_fn`` runs Python between
fork and exec, which is not safe once the parent has threads. USER is ``-``, or who to become; that comes first because
a change of user clears the request.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def main() -> None:
    parent, signum, user, *command = sys.argv[1:]
    if user != "-":
        become(user)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signum))
        if os.getppid() != int(parent):
            raise SystemExit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
