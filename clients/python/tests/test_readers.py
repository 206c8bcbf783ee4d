"""Lines, elements, records, polls and downloads, with a scripted server."""

import json
import unittest
from typing import Any, List, Tuple

from kit import Notices, failure, no_floor, quick
from leat import Download, End, Gap, Record
from scripted import Server, empty, reply

JSONL = "application/x-ndjson"


class ReaderTest(unittest.TestCase):
    def setUp(self) -> None:
        patch = no_floor()
        patch.start()
        self.addCleanup(patch.stop)


class TestLines(ReaderTest):
    def test_a_bad_line_is_told_and_the_next_one_comes(self) -> None:
        with Server(reply([b'{"a":1}\r\n\n{"b"\n"\xff"\nNaN\n"\xe2\x80', b'\xa8"\n3'], type=JSONL)) as server:
            lines = list(quick(server.url).lines("/"))
        self.assertEqual([(line.number, line.value) for line in lines],
                         [(1, {"a": 1}), (3, None), (4, None), (5, None), (6, "\u2028"), (7, 3)])
        self.assertEqual([(line.error.code if line.error else "", line.text) for line in lines[:4]],
                         [("", b'{"a":1}'), ("invalid_body", b'{"b"'), ("invalid_body", b'"\xff"'), ("invalid_body", b"NaN")])

    def test_truncation_is_an_error(self) -> None:
        for script in (
            reply([b"1\n2\n"], type=JSONL, cut=True),
            reply([b"1\n2\n"], type=JSONL, reset=True),
            reply([b"1\n2\n"], type=JSONL, framing="length", length=9),
            reply([b"1\n2\n3"], type=JSONL, framing="close"),
        ):
            with Server(script) as server:
                lines = quick(server.url).lines("/")
                self.assertEqual([next(lines).value, next(lines).value], [1, 2])
                self.assertEqual(failure(lambda: next(lines)).code, "truncated")
                self.assertEqual(len(server.seen), 1)

    def test_an_end_that_can_be_told(self) -> None:
        for framing in ("chunked", "length"):
            with Server(reply([b"1\n2"], type=JSONL, framing=framing)) as server:
                self.assertEqual([line.value for line in quick(server.url).lines("/")], [1, 2])
        with Server(reply([b"1\n2\n"], type=JSONL, framing="close")) as server:
            self.assertEqual([line.value for line in quick(server.url).lines("/")], [1, 2])

    def test_chunks_that_are_cut_anywhere(self) -> None:
        # A client that trusts the 0 of a head that was cut, or that does not
        # wait for the end of the trailer, takes some of these for whole.
        body = b"0002;x=y\r\n1\n\r\n02\r\n2\n\r\n00\r\nTrailer: x\r\n\r\n"
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for cut in range(1, len(body) + 1):
            def script(connection: Any, cut: int = cut) -> None:
                connection.send(head + body[:cut])

            with Server(script) as server, self.subTest(cut=cut):
                lines = quick(server.url, attempts=1).lines("/")
                if cut == len(body):
                    self.assertEqual([line.value for line in lines], [1, 2])
                else:
                    self.assertEqual(failure(lambda: list(lines)).code, "truncated")

    def test_chunk_that_is_longer_than_its_head_says(self) -> None:
        def script(connection: Any) -> None:
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n1\nxx0\r\n\r\n")

        with Server(script) as server:
            self.assertEqual(failure(lambda: list(quick(server.url).lines("/"))).code, "truncated")

    def test_nothing_yet_is_asked_for_again(self) -> None:
        with Server(empty("500 Oops"), reply([b"\n"], type=JSONL, cut=True), reply([b"1\n"], type=JSONL)) as server:
            self.assertEqual([line.value for line in quick(server.url).lines("/")], [1])

    def test_post(self) -> None:
        with Server(reply([b'{"done":true}\n'], type="application/json")) as server:
            lines = quick(server.url).lines("/", method="POST", body=b"{}", headers={"Content-Type": "application/json"})
            self.assertEqual([line.value for line in lines], [{"done": True}])
            self.assertEqual((server.seen[0].method, server.seen[0].body), ("POST", b"{}"))

    def test_limit(self) -> None:
        with Server(reply([b"123\n1234\n"], type=JSONL)) as server:
            lines = quick(server.url, max_bytes=3).lines("/")
            self.assertEqual(next(lines).value, 123)
            self.assertEqual(failure(lambda: next(lines)).code, "too_large")


class TestElements(ReaderTest):
    def test_elements_come_one_by_one(self) -> None:
        # The server holds the rest back until the first has been read.
        with Server(reply([b'[{"a":[1,"]"]},', b"\n \n"], type="application/json", hold=True)) as server:
            with quick(server.url).elements("/") as elements:
                self.assertEqual(next(elements), {"a": [1, "]"]})

    def test_whole(self) -> None:
        with Server(reply([b'[1,{"a":"', b'\xc3', b'\xa4"}', b"]"], type="application/json")) as server:
            self.assertEqual(list(quick(server.url).elements("/")), [1, {"a": "ä"}])

    def test_truncation_is_an_error(self) -> None:
        for script in (reply([b"[1,2"]), reply([b"[1,2,"], framing="close"), reply([b"[1,"], cut=True), reply([b"[1,"], reset=True)):
            with Server(script) as server:
                elements = quick(server.url).elements("/")
                self.assertEqual(next(elements), 1)
                self.assertEqual(failure(lambda: list(elements)).code, "truncated")
                self.assertEqual(len(server.seen), 1)

    def test_element_that_is_no_json(self) -> None:
        with Server(reply([b"[1,2 3]"])) as server:
            elements = quick(server.url).elements("/")
            self.assertEqual(next(elements), 1)
            e = failure(lambda: next(elements))
            self.assertEqual((e.code, e.fields), ("invalid_body", {"number": 2}))


def line(**members: Any) -> bytes:
    return json.dumps(members).encode() + b"\n"


class TestRecords(ReaderTest):
    def test_they_resume_and_tell_all(self) -> None:
        gap = {"reason": "trimmed", "asked": "1", "next": "2", "topics": [], "more": 0}
        with Server(
            reply([line(id="1"), b"\n\n", line(id="2", topic="a", type="t", key="k", time="T", data={"x": 1}, extra=1)],
                  type=JSONL, cut=True),
            reply([line(id="3"), b'{"id":"4","topic":"a","da'], type=JSONL),
            reply([line(id="5", gap=gap), line(id="6", topic="b", data="aGk=", encoding="base64")], type=JSONL),
            reply([line(id="7", end={"topic": "b", "state": "complete"})], type=JSONL),
        ) as server:
            records = list(quick(server.url).records("a", "b/*", from_="start", heartbeat=5))
            self.assertEqual(records, [
                Record("2", "a", "t", "k", "T", {"x": 1}),
                Record("5", gap=Gap("trimmed", "1", "2")),
                Record("6", "b", data=b"hi"),
                Record("7", "b", end=End("b", "complete")),
            ])
            self.assertEqual([s.headers.get("last-event-id") for s in server.seen], [None, "2", "3", "6", "7"])
            self.assertEqual(server.seen[0].target, "/events?topic=a&topic=b%2F%2A&as=ndjson&from=start&heartbeat=5s")

    def test_retry_is_in_force(self) -> None:
        notices = Notices()
        with Server(reply([line(retry=5)], type=JSONL)) as server:
            self.assertEqual(list(quick(server.url, notify=notices).records(stream="ä/b c")), [])
            self.assertEqual(server.seen[0].target, "/streams/%C3%A4/b%20c?as=ndjson")
        self.assertEqual([n.delay for n in notices.kinds("retry")], [0.005])
        self.assertGreaterEqual(notices.kinds("waiting")[0].delay, 0.005)

    def test_what_is_no_leat(self) -> None:
        for script in (reply([b"[1]\n"], type=JSONL), reply([b"x\n"], type=JSONL), reply([b"{}\n"], type="text/html")):
            with Server(script) as server:
                self.assertEqual(failure(lambda: list(quick(server.url).records("a"))).code, "unexpected_answer")

    def test_no_topic(self) -> None:
        client = quick("http://127.0.0.1:1")
        for run in (lambda: client.records(), lambda: client.subscribe(), lambda: client.poll(),
                    lambda: client.records("a", stream="b")):
            self.assertEqual(failure(run).code, "no_topic")


def answer(next: str, *events: Any) -> Any:
    return empty("200 OK", body=json.dumps({"events": events, "next": next}).encode(), type="application/json")


class TestPoll(ReaderTest):
    def test_polls_follow_each_other(self) -> None:
        notices = Notices()
        record = {"id": "2", "topic": "a", "data": 1}
        with Server(answer("3", record), answer("5", {"id": "4", "topic": "a", "data": 2}), answer("6"),
                    empty("503 Busy"), answer("7", {"id": "7", "end": {"topic": "a", "state": "complete"}})) as server:
            poll = quick(server.url, notify=notices).poll("a", wait=2)
            self.assertEqual([(r.id, r.data) for r in poll], [("2", 1), ("4", 2), ("7", None)])
            self.assertEqual([s.headers.get("last-event-id") for s in server.seen], [None, "3", "5", "6", "6", "7"])
            self.assertEqual(server.seen[0].target, "/events?topic=a&as=json&wait=2s")
        # An answer with nothing in it at once is that of a server that stops.
        self.assertEqual(len(notices.kinds("waiting")), 2)

    def test_an_answer_that_is_cut_is_asked_for_again(self) -> None:
        whole = b'{"events":[{"id":"1","topic":"a","data":1}],"next":"1"}'
        with Server(reply([whole], type="application/json", framing="length", length=99), answer("1", json.loads(whole)["events"][0])) as server:
            self.assertEqual([r.id for r in quick(server.url).poll("a")], ["1"])
            self.assertEqual(server.seen[1].headers.get("last-event-id"), None)

    def test_limit(self) -> None:
        with Server(answer("1")) as server:
            self.assertEqual(failure(lambda: list(quick(server.url, max_bytes=9).poll("a"))).code, "too_large")


class TestDownload(ReaderTest):
    ETAG = 'ETag: "v1"\r\n'

    def part(self, first: int, text: bytes, total: str = "*", **more: Any) -> Any:
        headers = self.ETAG + f"Content-Range: bytes {first}-{first + len(text) - 1}/{total}\r\n"
        return reply([text], status="206 Partial Content", headers=headers, type="text/plain", **more)

    def fetch(self, *scripts: Any, **options: Any) -> Tuple[bytes, Download, List[Any]]:
        with Server(*scripts) as server:
            download = quick(server.url).download("/file", **options)
            return b"".join(download), download, server.seen

    def test_goes_on_by_ranges(self) -> None:
        first = reply([b"ab", b"c"], headers=self.ETAG, type="", framing="length", length=8)
        whole, download, seen = self.fetch(
            first, self.part(3, b"de", cut=True), empty("500 Oops"), self.part(5, b"fgh", "8", framing="length"))
        self.assertEqual((whole, download.offset, download.total, download.etag), (b"abcdefgh", 8, 8, '"v1"'))
        self.assertEqual([(s.headers.get("range"), s.headers.get("if-range")) for s in seen],
                         [(None, None), ("bytes=3-", '"v1"'), ("bytes=5-", '"v1"'), ("bytes=5-", '"v1"')])

    def test_progress(self) -> None:
        with Server(reply([b"ab", b"cd"], headers=self.ETAG, framing="length")) as server:
            download = quick(server.url).download("/file")
            for data in download:
                self.assertEqual(download.total, 4)
            self.assertEqual(download.offset, 4)

    def test_goes_on_in_another_process(self) -> None:
        whole, download, seen = self.fetch(self.part(3, b"de", "5"), offset=3, etag='"v1"')
        self.assertEqual((whole, download.offset, seen[0].headers["range"]), (b"de", 5, "bytes=3-"))
        whole, _, _ = self.fetch(empty("416 No", "Content-Range: bytes */5\r\n"), offset=5, etag='"v1"')
        self.assertEqual(whole, b"")

    def test_server_without_ranges(self) -> None:
        whole, _, _ = self.fetch(reply([b"abc"], headers=self.ETAG, cut=True), reply([b"a", b"bcd", b"e"], headers=self.ETAG))
        self.assertEqual(whole, b"abcde")

    def test_cut_after_the_last_byte(self) -> None:
        whole, _, _ = self.fetch(reply([b"abc"], headers=self.ETAG, cut=True), empty("416 No", "Content-Range: bytes */3\r\n"))
        self.assertEqual(whole, b"abc")

    def test_another_content(self) -> None:
        for second, code in (
            (reply([b"xyz"], headers='ETag: "v2"\r\n'), "changed"),
            (reply([b"xyz"]), "changed"),
            (empty("416 No", "Content-Range: bytes */2\r\n"), "changed"),
            (self.part(2, b"cd"), "unexpected_answer"),
            (reply([b"de"], status="206 Partial Content"), "unexpected_answer"),
            (empty("410 Gone"), "unexpected_answer"),
        ):
            e = failure(lambda: self.fetch(reply([b"abc"], headers=self.ETAG, cut=True), second))
            self.assertEqual((e.code, e.temporary), (code, False))

    def test_no_tag_no_resume(self) -> None:
        for headers in ("", 'ETag: W/"v1"\r\n'):
            e = failure(lambda: self.fetch(reply([b"abc"], headers=headers, cut=True), self.part(3, b"d")))
            self.assertEqual(e.code, "truncated")
        # As long as nothing was received it is simply asked for again.
        whole, _, _ = self.fetch(reply([], cut=True), reply([b"abc"]))
        self.assertEqual(whole, b"abc")
        e = failure(lambda: self.fetch(reply([b"abc"]), offset=2))
        self.assertEqual(e.code, "unexpected_answer")

    def test_stream_that_broke_off(self) -> None:
        ended = self.ETAG + 'Stream-Closed: true\r\nLeat-End: error; reason="disk"\r\nContent-Range: bytes 3-3/*\r\n'
        last = reply([], status="206 Partial Content", headers=ended, cut=True)
        e = failure(lambda: self.fetch(reply([b"abc"], headers=self.ETAG, cut=True), last))
        self.assertEqual((e.code, e.temporary), ("truncated", False))
        self.assertIn('error; reason="disk"', str(e))
