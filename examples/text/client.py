"""python3 text/client.py [URL of the server]"""

import codecs
import sys
import urllib.request

server = (sys.argv[1:] or ["http://127.0.0.1:8080"])[0]

# A decoder that remembers the bytes of a character that is not whole yet.
decoder = codecs.getincrementaldecoder("utf-8")()
with urllib.request.urlopen(server + "/poem", timeout=60) as response:
    # read1 returns what has arrived; read would wait for the end, or for so many bytes.
    while piece := response.read1(65536):
        print(decoder.decode(piece), end="", flush=True)
print(decoder.decode(b"", final=True), end="")
