"""How readers connect, with a server that follows a script."""

import threading
import unittest
from typing import Any, Dict, List

from kit import Notices, failure, no_floor, quick
from leat import Client, LeatError, Notice
from leat.backoff import MAX_RETRY, delay
from leat.wire import retry_after
from scripted import PATIENCE, Connection, Server, empty, reply, stop


def data(stream: Any) -> List[str]:
    return [event.data for event in stream]


class TestReconnect(unittest.TestCase):
    def setUp(self) -> None:
        patch = no_floor()
        patch.start()
        self.addCleanup(patch.stop)

    def test_goes_on_after_every_kind_of_end(self) -> None:
        # WPT: eventsource-reconnect, format-data-before-final-empty-line.
        with Server(
            reply([b"id: 1\ndata: a\n\n"]),
            reply([b"id: 2\ndata: b\n\n"], cut=True),
            reply([b"id: 3\ndata: c\n\nid: x\ndata: lost\n"], framing="close"),
            reply([b"id: 4\ndata: d\n\nid: x\ndata: lost"], framing="length", length=1000),
            reply([b"id: 5\n\n"], reset=True),
            empty("503 Busy"),
            empty("429 Slow"),
            lambda connection: connection.reset(),
            reply([b"data: e\n\n"]),
            stop,
        ) as server:
            stream = quick(server.url).events("/s")
            self.assertEqual(data(stream), ["a", "b", "c", "d", "e"])
            ids = [seen.headers.get("last-event-id") for seen in server.seen]
            self.assertEqual(ids, [None, "1", "2", "3", "4", "5", "5", "5", "5", "5"])
            self.assertEqual(stream.last_event_id, "5")
            self.assertEqual(list(stream), [])  # 204 stops it for good
            self.assertEqual(len(server.seen), 10)

    def test_request(self) -> None:
        # WPT: request-accept, request-cache-control.
        with Server() as server:
            stream = quick(server.url, headers={"A": "1", "B": "1"}).events(
                "/s?ä=1 2#x", headers={"b": "2", "accept": "x/y"}, last_event_id="…7")
            self.assertEqual(list(stream), [])
            seen = server.seen[0]
            self.assertEqual((seen.method, seen.target), ("GET", "/s?%C3%A4=1%202"))
            want = {"host": f"127.0.0.1:{server.port}", "a": "1", "b": "2", "accept": "x/y", "cache-control": "no-cache",
                    "last-event-id": "…7", "accept-encoding": "identity"}
            self.assertEqual(seen.headers, want)

    def test_final_answers(self) -> None:
        # WPT: request-status-error, format-mime-bogus, format-mime-valid-bogus.
        answers = [
            (empty("404 Not Found", body=b"no such thing\nat all"), 404, "not_found", "no such thing"),
            (empty("410 Gone", type="application/problem+json",
                   body=b'{"code":"gap","detail":"too late","advice":"Begin.","start":7}'), 410, "gap", "too late. Begin."),
            (reply([b"data: x\n\n"], status="205 Reset"), 205, "unexpected_answer", "205"),
            (reply([b"data: x\n\n"], type="text/x-bogus"), 200, "unexpected_answer", "text/x-bogus"),
            (reply([b"data: x\n\n"], type=""), 200, "unexpected_answer", "content type ''"),
            (reply([b"x"], headers="Content-Encoding: gzip\r\n"), 200, "unexpected_answer", "compressed"),
        ]
        for script, status, code, text in answers:
            with self.subTest(text), Server(script) as server:
                e = failure(lambda: list(quick(server.url).events("/")))
                self.assertEqual((e.status, e.code, e.temporary), (status, code, False))
                self.assertIn(text, str(e))
                self.assertEqual(len(server.seen), 1)
        self.assertEqual(answers[1][1], 410)

    def test_failure_has_what_the_server_sent(self) -> None:
        problem = b'{"code":"gap","detail":"too late","start":7}'
        with Server(empty("410 Gone", "X-A: b\r\n", problem, "application/problem+json")) as server:
            e = failure(lambda: next(quick(server.url).events("/")))
            self.assertEqual((e.body, e.fields, e.headers["x-a"]), (problem, {"start": 7}, "b"))

    def test_mime_type_with_trailing_semicolon(self) -> None:
        # WPT: format-mime-trailing-semicolon, format-utf-8.
        for type in ("text/event-stream;", "Text/Event-Stream;charset=windows-1252"):
            with Server(reply(["data: ok…\n\n".encode()], type=type)) as server:
                self.assertEqual(data(quick(server.url).events("/")), ["ok…"])

    def test_redirects(self) -> None:
        # WPT: request-redirect, eventsource-cross-origin.
        with Server(reply([b"data: x\n\n"])) as other, Server(
            *(empty(f"{status} Moved", "Location: /to\r\n") for status in (301, 302, 303, 307)),
            empty("308 Moved", f"Location: {other.url}/there\r\n"),
        ) as server:
            secret = {"Authorization": "mine", "Cookie": "too", "X-A": "b"}
            self.assertEqual(data(quick(server.url, headers=secret).events("/from")), ["x"])
            self.assertEqual([s.target for s in server.seen], ["/from", "/to", "/to", "/to", "/to", "/from"])
            self.assertEqual(server.seen[1].headers["authorization"], "mine")
            self.assertEqual(set(other.seen[0].headers) & {"authorization", "cookie", "x-a"}, {"x-a"})

    def test_redirects_that_lead_nowhere(self) -> None:
        loop = [empty("301 Moved", "Location: /\r\n")] * 11
        for scripts in ([empty("301 Moved")], [empty("307 Moved", "Location: \r\n")], loop):
            with Server(*scripts) as server:
                e = failure(lambda: next(quick(server.url).events("/")))
                self.assertEqual(e.code, "unexpected_answer")
                self.assertEqual(len(server.seen), len(scripts))

    def test_post_is_repeated_only_when_asked(self) -> None:
        body = "ä".encode()
        with Server(reply([b"data: a\n\n"])) as server:
            stream = quick(server.url).events("/", method="POST", body=body)
            self.assertEqual(data(stream), ["a"])  # the end of the body is the end
            self.assertEqual(len(server.seen), 1)
        for script in (reply([b"data: a\n\n"], cut=True), reply([b"data: a\n\n", b"data: b\n"]), reply([b"data: a\n\n"], reset=True)):
            with Server(script) as server:
                stream = quick(server.url).events("/", method="POST", body=body)
                self.assertEqual(next(stream).data, "a")
                self.assertEqual(failure(lambda: next(stream)).code, "truncated")
                self.assertEqual(len(server.seen), 1)
        with Server(empty("503 Busy", "Retry-After: 7\r\n")) as server:
            e = failure(lambda: next(quick(server.url).events("/", method="POST")))
            self.assertEqual((e.status, e.temporary, e.retry_after), (503, True, 7.0))
        with Server(reply([b"id: 1\ndata: a\n\n"]), reply([b"data: b\n\n"])) as server:
            stream = quick(server.url).events("/", method="REPORT", body=body, repeat=True)
            self.assertEqual(data(stream), ["a", "b"])
            self.assertEqual([(s.method, s.body, s.headers.get("last-event-id")) for s in server.seen],
                             [("REPORT", body, None), ("REPORT", body, "1"), ("REPORT", body, "1")])

    def test_get_can_be_asked_for_once(self) -> None:
        with Server(reply([b"data: a\n\n"])) as server:
            self.assertEqual(data(quick(server.url).events("/", repeat=False)), ["a"])
            self.assertEqual(len(server.seen), 1)

    def test_post_that_never_left_is_repeated(self) -> None:
        with Server() as gone:
            url = gone.url
        notices = Notices()
        e = failure(lambda: next(quick(url, attempts=3, notify=notices).events("/", method="POST")))
        self.assertIn("connection refused", str(e))
        self.assertEqual([n.failures for n in notices.kinds("waiting")], [1, 2])

    def test_headers_are_fresh_for_each_attempt(self) -> None:
        count = iter(range(9))

        def token() -> Dict[str, str]:
            return {"Authorization": str(next(count))}

        with Server(reply(), empty("500 Oops")) as server:
            self.assertEqual(list(quick(server.url, headers=token).events("/")), [])
            self.assertEqual([s.headers["authorization"] for s in server.seen], ["0", "1", "2"])

    def test_attempts_end_it(self) -> None:
        # What has done its work does not count, and counts what failed anew.
        fails = [empty("500 Oops")] * 2
        event = reply([b"data: a\n\n"])
        with Server(*fails, event, event, *fails, event, *fails, fails[0]) as server:
            stream = quick(server.url, attempts=3).events("/")
            self.assertEqual([next(stream).data for _ in range(3)], ["a"] * 3)
            self.assertEqual(failure(lambda: next(stream)).status, 500)
            self.assertEqual(len(server.seen), 10)
            self.assertEqual(list(stream), [])

    def test_end_of_a_topic_is_asked_for_at_once(self) -> None:
        end = b'id: 9\nevent: leat.end\ndata: {"topic":"a","state":"complete"}\n\n'
        notices = Notices()
        with Server(reply([b"retry: 86400000\n\n", end])) as server:
            events = list(Client(server.url, notify=notices).events("/"))
            self.assertEqual([e.end.state for e in events if e.end], ["complete"])
            self.assertEqual(server.seen[1].headers["last-event-id"], "9")
            self.assertEqual(notices.kinds("waiting"), [])

    def test_notices_and_cursor(self) -> None:
        cursor = b"event: leat.cursor\nid: 5\ndata: \n\n"
        notices = Notices()
        with Server(reply([b": hi\nretry: 1\n\n", cursor, b"data: a\n\n"])) as server:
            stream = quick(server.url, notify=notices).events("/")
            self.assertEqual(data(stream), ["a"])
        self.assertEqual([(n.kind, n.comment, n.last_event_id) for n in notices.all],
                         [("connected", "", ""), ("comment", " hi", ""), ("retry", "", ""), ("moved", "", "5"),
                          ("waiting", "", "5")])

    def test_id_that_cannot_be_sent(self) -> None:
        with Server(reply([b"id: a\x01b\ndata: a\n\nid: a\x7fb\ndata: a\n\n"])) as server:
            stream = quick(server.url).events("/")
            self.assertEqual((next(stream).id, next(stream).id), ("a\x01b", "a\x7fb"))
            self.assertEqual(failure(lambda: next(stream)).code, "invalid_offset")
            self.assertEqual(len(server.seen), 1)

    def test_addresses_that_are_none(self) -> None:
        for url in ("ftp://a/", "http://", "http://a:b/", "http://a:99999/", "http://u:p@a/"):
            e = failure(lambda: next(Client(url).events(url)))
            self.assertEqual((e.code, e.temporary), ("invalid_parameter", False), url)
        for name in ("stall", "retry", "attempts", "max_bytes"):
            for bad in (0, -1):
                options: Dict[str, Any] = {name: bad}
                e = failure(lambda: Client(**options))
                self.assertEqual(e.code, "invalid_parameter")

    def test_silence(self) -> None:
        # On a busy machine there may be more of it than the test makes.
        notices = Notices()
        with Server(*[reply([b"data: a\n\n"], hold=True)] * 99) as server:
            with quick(server.url, stall=0.1, attempts=None, notify=notices).events("/") as stream:
                self.assertEqual(next(stream).data, "a")
                before = len(notices.kinds("waiting"))
                self.assertEqual(next(stream).data, "a")
                errors = [n.error for n in notices.kinds("waiting")[before:]]
                self.assertIn("stalled", [e.code for e in errors if isinstance(e, LeatError)])

    def test_any_byte_resets_the_stall_timer(self) -> None:
        # In all it takes longer than the timer, and is never silent so long.
        def drip(connection: Connection) -> None:
            pause = threading.Event()
            reply([b": x\n"], cut=True)(connection)
            for _ in range(6):
                pause.wait(0.5)
                connection.send(b"1\r\n\n\r\n")
            connection.send(b"9\r\ndata: a\n\n\r\n0\r\n\r\n")

        with Server(drip) as server:
            self.assertEqual(data(quick(server.url, stall=2.5).events("/")), ["a"])
            self.assertEqual(len(server.seen), 2)

    def test_time_of_the_caller_is_no_silence(self) -> None:
        with Server(*[reply([b"data: a\n\n", b"data: b\n\n"], hold=True)] * 99) as server:
            with quick(server.url, stall=0.2, attempts=None).events("/") as stream:
                self.assertEqual(next(stream).data, "a")
                before = len(server.seen)
                threading.Event().wait(0.4)
                self.assertEqual(next(stream).data, "b")
                self.assertEqual(len(server.seen), before)


class TestDelays(unittest.TestCase):
    def delays(self, script: Any) -> List[Notice]:
        """Returns what a reader would wait; it is closed instead."""
        notices = Notices()
        with Server(script) as server:
            def told(notice: Notice) -> None:
                notices(notice)
                if notice.kind == "waiting":
                    stream.close()

            stream = Client(server.url, notify=told).events("/")
            self.assertEqual(data(stream), [])
        return notices.kinds("retry", "waiting")

    def test_retry_and_retry_after(self) -> None:
        for script, least in (
            (empty("503 Busy", "Retry-After: 100\r\n"), 100.0),
            (empty("429 Slow", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n"), MAX_RETRY),
            (reply([b"retry: 70000\n\n"]), 70.0),
            (reply([b"retry: 0\n\n"]), 0.1),
            (reply([b"retry: 99999999999999999999\n\n"]), MAX_RETRY),
        ):
            told = self.delays(script)
            self.assertGreaterEqual(told[-1].delay, least)
            self.assertLessEqual(told[-1].delay, max(min(least * 1.5, MAX_RETRY), 0.2))

    def test_back_off(self) -> None:
        for failures, floor, base, low, high in (
            (0, 0.0, 2.0, 0.1, 2.0), (3, 0.0, 2.0, 0.1, 16.0), (99, 0.0, 2.0, 0.1, 30.0), (10**9, 0.0, 2.0, 0.1, 30.0),
            (0, 50.0, 2.0, 50.0, 75.0), (2, 5.0, 10.0, 5.0, 30.0), (0, 1e9, 1.0, MAX_RETRY, MAX_RETRY),
        ):
            waits = [delay(failures, floor, base) for _ in range(300)]
            self.assertGreaterEqual(min(waits), low)
            self.assertLessEqual(max(waits), high)
            # Full jitter: all of the range is used.
            self.assertGreaterEqual(max(waits) - min(waits), (high - low) * 0.7)

    def test_retry_after_that_makes_no_sense(self) -> None:
        for value in ("", "-1", "1.5", "soon", "1e9", "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 99 Dec 1999 23:59:59 GMT"):
            self.assertEqual(retry_after(value), 0.0, value)


class TestClose(unittest.TestCase):
    def close_while(self, script: Any, kind: str, **options: Any) -> None:
        """Closes a reader from here while another thread waits in it."""
        notices = Notices()
        with Server(script) as server:
            stream = quick(server.url, notify=notices, **options).events("/")
            got: List[str] = []
            thread = threading.Thread(target=lambda: got.extend(data(stream)))
            thread.start()
            notices.wait_for(kind)
            stream.close()
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive())
            self.assertEqual(list(stream), [])

    def test_while_it_reads(self) -> None:
        self.close_while(reply([b": x\n"], hold=True), "comment")

    def test_while_it_waits_to_reconnect(self) -> None:
        self.close_while(reply([b"retry: 99999999\n\n"]), "waiting")

    def test_while_it_waits_for_the_head(self) -> None:
        with Server(Connection.wait_gone) as server:
            stream = quick(server.url).events("/")
            thread = threading.Thread(target=lambda: list(stream))
            thread.start()
            while not server.seen:
                thread.join(0.01)
            stream.close()
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive())

    def test_with_closes_the_connection(self) -> None:
        # The script ends only when the client has gone.
        with Server(reply([b"data: a\n\n"] * 3, hold=True)) as server:
            with quick(server.url).events("/") as stream:
                for event in stream:
                    self.assertEqual(event.data, "a")
                    break
            self.assertEqual(list(stream), [])
            # Closed, and not only shut down until it is collected.
            self.assertIsNone(stream._wire._connection)

    def test_inside_the_loop(self) -> None:
        with Server(reply([b"data: a\n\n"] * 3, hold=True)) as server:
            stream = quick(server.url).events("/")
            for _ in stream:
                stream.close()

    def test_before_it_began(self) -> None:
        stream = Client("http://127.0.0.1:1").events("/")
        stream.close()
        self.assertEqual(list(stream), [])
