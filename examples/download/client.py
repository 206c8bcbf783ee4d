"""python3 download/client.py [URL of the server]"""

import hashlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "clients/python/src"))  # not needed once leat is installed
import leat

server = (sys.argv[1:] or ["http://127.0.0.1:8080"])[0]

resumed = 0


def notify(notice: leat.Notice) -> None:
    global resumed
    resumed += notice.kind == "waiting"


# In place of a hash could be a file. Save download.offset and download.etag beside it
# to go on in another process.
digest = hashlib.sha256()
with leat.Client(server, retry=0.1, notify=notify).download("/streams/file.bin") as download:
    for part in download:
        digest.update(part)
        if sys.stderr.isatty():
            print(f"\r{100 * download.offset // download.total} % of {download.total} bytes", end="", file=sys.stderr)
print(digest.hexdigest())
print(f"{download.offset} bytes, resumed {resumed} times")
