"""Bytes of documentation for the language model: the Rust books that rustup installs with a toolchain.

    rustup component add rust-docs

`collect` strips the HTML. Their text is under MIT or Apache 2.0. What is needed to judge is kept in
`models/text_calib.npz` and `models/text_test.npz`, since another toolchain has other text.
"""

import html.parser
import pathlib
import subprocess

import numpy as np

BOOKS = ["book", "reference", "nomicon", "rust-by-example", "cargo", "rustc", "edition-guide"]
LENGTH = 96


class Text(html.parser.HTMLParser):
    """The text of a page's main part."""

    def __init__(self):
        super().__init__()
        self.depth, self.parts = 0, []

    def handle_starttag(self, tag, attrs):
        self.depth += tag == "main"

    def handle_endtag(self, tag):
        self.depth -= tag == "main"

    def handle_data(self, data):
        if self.depth:
            self.parts.append(data)


def collect():
    """Two byte strings: every tenth page is held out."""
    root = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True).stdout.strip()
    docs = pathlib.Path(root) / "share/doc/rust/html"
    pages = sorted(p for book in BOOKS for p in (docs / book).rglob("*.html") if p.name != "print.html")
    if not pages:
        raise SystemExit(f"no documentation in {docs}; install it with `rustup component add rust-docs`")
    texts = [plain(p) for p in pages]
    held = b"".join(texts[4::10])
    return b"".join(t for k, t in enumerate(texts) if k % 10 != 4), held


def plain(page):
    parser = Text()
    parser.feed(page.read_text(errors="replace"))
    lines = (line.rstrip() for line in "".join(parser.parts).splitlines())
    return ("\n".join(line for line in lines if line) + "\n").encode()


def sequences(text, count, rng):
    """`count` pieces of a text with the byte behind each: (count, LENGTH + 1)."""
    data = np.frombuffer(text, np.uint8)
    starts = rng.integers(0, len(data) - LENGTH, count)
    return data[starts[:, None] + np.arange(LENGTH + 1)]
