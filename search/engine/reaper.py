"""The process that ends the workers when the driver can no longer do it.

It reads lines from the driver's pipe: ``+7`` watches process group 7, ``-7`` lets it go. The pipe
ends when the driver does, however it died; then every group still watched is killed, whether its
processes compute, hang, are paused or have children. Run as a file and kept free of imports, so
that it starts in 20 ms.

With the word ``apart`` it leaves its parent first: Ray kills the direct children of a process that
it ends, and would kill the reaper before the workers' own children.
"""

import os
import signal
import sys


def main() -> None:
    """Follow the driver's lines to their end, then kill what is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watched: set[int] = set()
    for line in sys.stdin:
        if not line.endswith("\n"):
            break  # the driver died within it
        group = int(line[1:])
        if line[0] == "+":
            watched.add(group)
        else:
            watched.discard(group)
    for group in watched:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    if "apart" in sys.argv and os.fork():
        os._exit(0)
    main()
