"""Every rule of the format; each quotes the standard or names the WPT file."""

import unittest
from typing import List, Optional

from leat import Comment, End, Event, Gap, LeatError, Parser, Retry
from leat.sse import Item


def parse(data: bytes, cut: Optional[int] = None, last_event_id: str = "") -> List[Item]:
    """Parses data in two pieces, in single bytes if cut is 0, or whole."""
    parser = Parser(last_event_id)
    if cut is None:
        parts = [data]
    elif cut == 0:
        parts = [data[i : i + 1] for i in range(len(data))]
    else:
        parts = [data[:cut], data[cut:]]
    return [item for part in parts for item in parser.feed(part)]


def message(data: str, type: str = "message", id: str = "") -> Event:
    return Event(type, data, id)


CASES = [
    ("format-newlines", b"data:test\r\ndata\ndata:test\r\n\r\n", [message("test\n\ntest")]),
    ("CR alone ends lines", b"data: a\rdata: b\r\rdata: c\r\r", [message("a\nb"), message("c")]),
    ("CRLF is one line end", b"data: a\r\n\r\ndata: b\r\n\r\n", [message("a"), message("b")]),
    ("LF CR are two", b"data: a\n\rdata: b\n\r", [message("a"), message("b")]),
    ("format-bom", b"\xef\xbb\xbfdata:1\n\n\xef\xbb\xbfdata:2\n\ndata:3\n\n", [message("1"), message("3")]),
    ("format-bom-2", b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\ndata:3\n\n", [message("2"), message("3")]),
    ("a start like a BOM", b"\xef\xbbdata:1\n\ndata:2\n\n", [message("2")]),
    ("format-comments", b"data:1\r:\0\n:\r\ndata:2\n:xx\rdata:3\n:data:fail\r:xx\ndata:4\n\n",
     [Comment("\0"), Comment(""), Comment("xx"), Comment("data:fail"), Comment("xx"), message("1\n2\n3\n4")]),
    ("format-field-data", b"data:\n\ndata\ndata\n\ndata:test\n\n", [message(""), message("\n"), message("test")]),
    ("format-field-event", b"event:test\ndata:x\n\ndata:y\n\n", [message("x", "test"), message("y")]),
    ("format-field-event-empty", b"event: \ndata:data\n\n", [message("data")]),
    ("format-field-parsing",
     b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
     [message("\0\n 2\n1\n3\n\n4")]),
    ("format-field-unknown", b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
     [Comment("thisisacommentyay"), message("test\n\ntest")]),
    ("format-leading-space", b"data:\ttest\rdata: \ndata:test\n\n", [message("\ttest\n\ntest")]),
    ("format-null-character", b"data:\0\n\n\n\n", [message("\0")]),
    ("format-utf-8", "data:ok…\n\n".encode(), [message("ok…")]),
    ("format-data-before-final-empty-line", b"retry:1000\ndata:test1\n\nid:test\ndata:test2", [Retry(1.0), message("test1")]),
    ("format-field-retry", b"retry:03000\n\ndata:x\n\n", [Retry(3.0), message("x")]),
    ("format-field-retry-bogus", b"retry:3000\nretry:1000x\nretry:-1\nretry:1_0\nretry: 2.5\nretry:\xd9\xa1\n", [Retry(3.0)]),
    ("format-field-retry-empty", b"retry\nretry:\ndata:test\n\n", [message("test")]),
    ("an endless retry", b"retry:" + b"9" * 5000 + b"\n", [Retry(1e12)]),
    ("format-field-id", b"id: 1\ndata:a\n\ndata:b\n\nid:2\ndata:c\n\nid\ndata:d\n\n",
     [message("a", id="1"), message("b", id="1"), message("c", id="2"), message("d")]),
    ("format-field-id-null", b"id:a\ndata:1\n\nid:\0b\nid:b\0\nid:b\0c\ndata:2\n\n", [message("1", id="a"), message("2", id="a")]),
    ("a block with only an id fires nothing", b"id: 7\n\ndata:x\n\n", [message("x", id="7")]),
    ("a type without data fires nothing and is forgotten", b"event:a\n\ndata:x\n\n", [message("x")]),
    ("a line of spaces is not blank", b"data:x\n \ndata:y\n\n", [message("x\ny")]),
    # Python's own idea of a line would cut in each of these.
    ("no other line ends", "data:a\u2028b\u2029c\x85d\u0085e\x0bf\x0cg\x1ch\x1di\x1ej\n\n".encode(),
     [message("a\u2028b\u2029c\x85d\u0085e\x0bf\x0cg\x1ch\x1di\x1ej")]),
    ("bad UTF-8 becomes U+FFFD", b"data:\xff|\xe2\x82|\xc0\xaf\n\n", [message("\ufffd|\ufffd|\ufffd\ufffd")]),
    ("characters of all lengths", "data:aä€🙂\n\n".encode(), [message("aä€🙂")]),
    ("a gap", b'id: 9\nevent: leat.gap\ndata: {"reason":"trimmed","asked":"1","next":"2","topics":[{"topic":"a","through":"3"}],"more":4}\n\n',
     [Event("leat.gap",
            '{"reason":"trimmed","asked":"1","next":"2","topics":[{"topic":"a","through":"3"}],"more":4}',
            "9", Gap("trimmed", "1", "2", (("a", "3"),), 4))]),
    ("an end", b'event: leat.end\ndata: {"topic":"a","state":"error","reason":"disk"}\n\n',
     [Event("leat.end", '{"topic":"a","state":"error","reason":"disk"}', "", None, End("a", "error", "disk"))]),
    ("what merely has that type", b"event: leat.end\ndata: [1]\n\nevent: leat.gap\ndata: x\n\n",
     [message("[1]", "leat.end"), message("x", "leat.gap")]),
]


class TestParser(unittest.TestCase):
    def test_cases_at_every_cut(self) -> None:
        for name, data, want in CASES:
            with self.subTest(name):
                cuts = range(len(data) + 1) if len(data) < 1000 else [0, 6, 7, 2500, len(data) - 1]
                for cut in (None, *cuts):
                    self.assertEqual(parse(data, cut), want, f"cut at {cut}")

    def test_line_ended_by_cr_is_complete_at_once(self) -> None:
        parser = Parser()
        self.assertEqual(list(parser.feed(b"data: a\r\r")), [message("a")])
        self.assertEqual(list(parser.feed(b"\ndata: b\n\n")), [message("b")])

    def test_id_is_committed_with_the_event(self) -> None:
        parser = Parser("6")
        self.assertEqual(list(parser.feed(b"id: 7\ndata: x\n")), [])
        self.assertEqual((parser.last_event_id, parser.pending), ("6", True))
        self.assertEqual(list(parser.feed(b"\n")), [message("x", id="7")])
        self.assertEqual((parser.last_event_id, parser.pending), ("7", False))
        # "id: 8" and a blank line move it and fire nothing.
        self.assertEqual(list(parser.feed(b"id: 8\n\n")), [])
        self.assertEqual(parser.last_event_id, "8")

    def test_first_id_is_kept(self) -> None:
        # Read literally, the first blank line would erase it: see the reference.
        self.assertEqual(parse(b"\ndata:x\n\n", last_event_id="7"), [message("x", id="7")])

    def test_limit_at_its_edge(self) -> None:
        block = b"data: aaaa\ndata: bbbb\n\n"
        self.assertEqual(len(list(Parser(max_bytes=20).feed(block))), 1)
        with self.assertRaises(LeatError) as caught:
            list(Parser(max_bytes=19).feed(block))
        self.assertEqual(caught.exception.code, "too_large")
        # Events that were dispatched do not count, and lines that never end do.
        parser = Parser(max_bytes=20)
        for _ in range(10):
            self.assertEqual(len(list(parser.feed(block))), 1)
        for start in (b":", b"x", b"id:"):
            parser = Parser(max_bytes=20)
            list(parser.feed(start + b"y" * (20 - len(start))))
            with self.assertRaises(LeatError):
                list(parser.feed(b"y"))
        self.assertEqual(len(list(Parser(max_bytes=None).feed(block))), 1)

    def test_large_line_in_small_pieces_is_linear(self) -> None:
        # A quadratic parser takes minutes for this one.
        parser = Parser()
        list(parser.feed(b"data:"))
        for _ in range(1 << 14):
            list(parser.feed(b"x" * 512))
        self.assertEqual([len(item.data) for item in parser.feed(b"\n\n") if isinstance(item, Event)], [8 << 20])
