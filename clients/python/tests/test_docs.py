"""The examples are run as they stand, but for the addresses."""

import doctest
import os
import unittest

import leat.sse
from leatserver import Leat
from scripted import Server, reply

HERE = os.path.dirname(os.path.abspath(__file__))


class TestExamples(unittest.TestCase):
    def check(self, name: str, text: str) -> None:
        test = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
        self.assertGreater(len(test.examples), 0)
        output: "list[str]" = []
        failed, _ = doctest.DocTestRunner().run(test, out=output.append)
        self.assertEqual(failed, 0, "".join(output))

    def test_readme(self) -> None:
        with open(os.path.join(HERE, "..", "README.md"), encoding="utf-8") as file:
            text = file.read()
        server = Leat()
        self.addCleanup(server.stop)
        model = reply([b'data: {"token":"to"}\n\n', b'data: {"token":"day"}\n\n', b"data: [DONE]\n\n"])
        with Server(model) as other:
            self.check("README.md", text.replace("http://127.0.0.1:8080", server.url).replace("https://llm.example", other.url))
            self.assertEqual(other.seen[0].headers["authorization"], "Bearer 123")

    def test_docstrings(self) -> None:
        for module in (leat, leat.sse):
            self.check(module.__name__, module.__doc__ or "")
