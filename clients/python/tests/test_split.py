"""Lines and elements, cut anywhere."""

import json
import unittest
from typing import Any, List, Union

from leat import LeatError
from leat.split import ArraySplitter, LineSplitter, load

Splitter = Union[LineSplitter, ArraySplitter]


def split(splitter: Splitter, data: bytes, cut: int) -> List[bytes]:
    parts = [data[:cut], data[cut:]] if cut else [data[i : i + 1] for i in range(len(data))]
    return [piece for part in parts for piece in splitter.feed(part)]


class TestLines(unittest.TestCase):
    def test_at_every_cut(self) -> None:
        data = '\ufeff1\r\n\n"\u2028\x85 ä€🙂"\n\r\n[2]'.encode()
        for cut in range(len(data) + 1):
            lines = LineSplitter(100)
            self.assertEqual(split(lines, data, cut), [b"1", b"", '"\u2028\x85 ä€🙂"'.encode(), b""])
            self.assertEqual((lines.rest(), lines.number), (b"[2]", 5))

    def test_limit_at_its_edge(self) -> None:
        self.assertEqual(list(LineSplitter(3).feed(b"123\n456\n")), [b"123", b"456"])
        for parts in ([b"1\n1234\n"], [b"1\n12", b"34"]):
            lines = LineSplitter(3)
            with self.assertRaises(LeatError) as caught:
                for part in parts:
                    list(lines.feed(part))
            self.assertEqual((caught.exception.code, caught.exception.fields["number"]), ("too_large", 2))


class TestArray(unittest.TestCase):
    VALUES: List[Any] = [
        1, -2.5e3, "", "]", "[", "a,b", '\\"', '\\', "\"]}", "ä€🙂\u2028", [], {}, [[1, [2]], "]"],
        {"a": {"b": [1, "}"]}, "]": ","}, True, None,
    ]

    def test_at_every_cut(self) -> None:
        for indent in (None, 2):
            data = json.dumps(self.VALUES, ensure_ascii=False, indent=indent).encode()
            for front in (b"", b" \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf "):
                for cut in range(len(front + data) + 1):
                    array = ArraySplitter(1000)
                    elements = split(array, front + data + b"\n", cut)
                    self.assertEqual([load(e) for e in elements], self.VALUES)
                    self.assertTrue(array.done)

    def test_element_comes_with_what_ends_it(self) -> None:
        array = ArraySplitter(None)
        self.assertEqual(list(array.feed(b'[{"a":1}')), [])
        self.assertEqual(list(array.feed(b",")), [b'{"a":1}'])
        self.assertEqual(list(array.feed(b"2")), [])
        self.assertEqual(list(array.feed(b"]")), [b"2"])

    def test_empty_arrays(self) -> None:
        for data in (b"[]", b" [ \n ] "):
            for cut in range(len(data) + 1):
                array = ArraySplitter(10)
                self.assertEqual(split(array, data, cut), [])
                self.assertTrue(array.done)

    def test_what_is_no_array(self) -> None:
        for data in (b'{"a":1}', b"1", b"\xef\xbb1", b"[1,]", b"[,1]", b"[1,,2]", b"[1}", b"[1]2", b"[1] ]"):
            for cut in range(len(data) + 1):
                with self.subTest(data=data, cut=cut), self.assertRaises(LeatError) as caught:
                    split(ArraySplitter(10), data, cut)
                self.assertEqual(caught.exception.code, "invalid_body")

    def test_limit_at_its_edge(self) -> None:
        self.assertEqual(list(ArraySplitter(3).feed(b"[123," + b" " * 50 + b"456]")), [b"123", b"456"])
        # White space that comes by itself keeps a connection alive.
        array = ArraySplitter(3)
        self.assertEqual(split(array, b"[1," + b" " * 50 + b"2]", 0), [b"1", b"2"])
        for parts in ([b"[1,2345]"], [b"[1,23", b"45"]):
            array = ArraySplitter(3)
            with self.assertRaises(LeatError) as caught:
                for part in parts:
                    list(array.feed(part))
            self.assertEqual((caught.exception.code, caught.exception.fields["number"]), ("too_large", 2))

    def test_large_element_in_small_pieces_is_linear(self) -> None:
        array = ArraySplitter(None)
        list(array.feed(b'["'))
        for _ in range(1 << 14):
            list(array.feed(b"[" * 512))
        self.assertEqual([len(e) for e in array.feed(b'"]')], [(8 << 20) + 2])


class TestLoad(unittest.TestCase):
    def test_what_is_no_json(self) -> None:
        for data in (b"NaN", b"-Infinity", b"", b"1 2", b"'a'", b"\xff", b'"\xff"', b"1\x00", b"[" * 100000):
            with self.subTest(data[:9]), self.assertRaises(ValueError):
                load(data)
