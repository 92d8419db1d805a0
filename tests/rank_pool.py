"""Ranks that stay: processes that run one command line after the other, as torchrun starts them.

Most of the time of a small training is the start of its processes.
"""

import json
import os
import socket
import subprocess
import sys
import threading

# Every rank reads its command lines from its input, and prints their exit codes.
PROGRAM = """
import json, os, sys
from aiv_rba.cli import main
for line in sys.stdin:
    job = json.loads(line)
    os.environ["MASTER_PORT"] = job["port"]
    print("exit", main(job["command"]), flush=True)
"""
# Seconds after which a command line counts as stuck.
LIMIT = 300


def free_port():
    """Number of a port that no program listens at, as text."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


class RankPool:
    """So many real ranks on this machine.

    Parameters
    ----------
    size
        Ranks.
    folder
        Where their errors are written.
    """

    def __init__(self, size, folder):
        self.errors = [folder / f"errors_{size}_{rank}.txt" for rank in range(size)]
        common = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
        common |= {"WORLD_SIZE": str(size)}
        self.ranks = []
        for rank, path in enumerate(self.errors):
            with path.open("w") as file:
                process = subprocess.Popen(
                    [sys.executable, "-c", PROGRAM],
                    env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    text=True,
                )
            self.ranks.append(process)

    def run(self, command):
        """Let all ranks run a command line, and check that all of them come to its end."""
        job = json.dumps({"command": command, "port": free_port()}) + "\n"
        guard = threading.Timer(LIMIT, self.kill)
        guard.start()
        try:
            for rank in self.ranks:
                rank.stdin.write(job)
                rank.stdin.flush()
            ends = [self._end(rank) for rank in self.ranks]
        finally:
            guard.cancel()
        errors = "\n".join(path.read_text() for path in self.errors)
        assert ends == ["exit 0"] * len(self.ranks), errors

    def _end(self, rank):
        """The line with the exit code; empty if the process has ended."""
        for line in rank.stdout:
            if line.startswith("exit "):
                return line.strip()
        return ""

    def kill(self):
        """End all ranks at once."""
        for rank in self.ranks:
            rank.kill()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill()
        for rank in self.ranks:
            rank.communicate()
