"""A real leat, that can be killed and started again."""

import os
import signal
import subprocess
import tempfile
import time
import unittest

from scripted import PATIENCE

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
LEAT = os.environ.get("LEAT", os.path.join(ROOT, "bin", "leat"))


class Leat:
    """A server with a store in a directory of its own."""

    def __init__(self) -> None:
        if not os.path.exists(LEAT):
            if os.environ.get("CI"):
                raise AssertionError(f"{LEAT} is missing: make build")
            raise unittest.SkipTest(f"{LEAT} is missing: make build")
        self._data = tempfile.TemporaryDirectory()
        self._listen = "127.0.0.1:0"
        self.start()

    def start(self) -> None:
        """Starts it, on the port that it had: another program may have that
        for a moment, as its end of a connection."""
        until = time.monotonic() + PATIENCE
        while True:
            self._process = subprocess.Popen(
                [LEAT, "serve", "--listen", self._listen, "--data", self._data.name],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            assert self._process.stdout is not None
            # Its first line is the URL, once it takes requests.
            self.url = self._process.stdout.readline().strip()
            if self.url:
                break
            self._end(signal.SIGKILL)
            assert time.monotonic() < until, "leat does not start"
        self._listen = self.url[len("http://"):].rstrip("/")

    def kill(self) -> None:
        """Ends it as a crash does (kill -9)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGKILL)
        self._data.cleanup()

    def _end(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
