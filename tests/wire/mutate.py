"""Inputs that are almost right: what the two ends say, with something wrong in it.

Everything comes from one seed, so a failure can be had again.
"""

from __future__ import annotations

import json
import random
from typing import Any

# In place of a value of JSON, as text: much of it is no JSON.
ODD = [
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "-0.0",
    "NaN",
    "Infinity",
    "-Infinity",
    str(2**31),
    str(2**63),
    str(2**64),
    str(-(2**70)),
    "9" * 5000,
    '""',
    '"\\ud800"',
    '"\\udce4"',
    '"\\ud83d\\ude00"',
    '"\\u0000"',
    '"\\u001b[31m"',
    '"' + "x" * 70_000 + '"',
    "[]",
    "{}",
    "[[]]",
    '{"\\ud800": 1}',
    '{"a": 1, "a": []}',
    "[" * 3000 + "]" * 3000,
    "[" * 200 + "]" * 200,
    '{"a":' * 3000 + "1" + "}" * 3000,
    "[" * 100_000,
    "\x00",
    "'x'",
    "01",
]
BYTES = [b"\0", b"\xff", b"\x80", b"\n", b'"', b"{", b"[", b"\\", b"\xed\xa0\x80"]
WORDS = [0, 1, 2**16, 2**18, 2**31 - 1, 2**31, 2**32 - 1]


class Mutator:
    """Makes inputs of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def bent(self, data: bytes) -> bytes:
        """With some of its bytes changed, gone, doubled, or others between."""
        mutated = bytearray(data)
        for _ in range(self.random.choice((1, 1, 2, 5))):
            self._change(mutated)
        return bytes(mutated)

    def _change(self, data: bytearray) -> None:
        pick, at = self.random.random(), self.random.randrange(len(data) + 1)
        to = min(len(data), at + self.random.choice((1, 2, 4, 40)))
        if pick < 0.3 and at < len(data):
            data[at] ^= 1 << self.random.randrange(8)
        elif pick < 0.45:
            del data[at:to]
        elif pick < 0.6:
            data[at:at] = data[at:to]
        elif pick < 0.8:
            data[at:at] = self.random.choice(BYTES)
        elif pick < 0.95:
            word = self.random.choice(WORDS)
            data[at : at + 4] = word.to_bytes(4, "big")
        else:
            del data[at:]

    def json(self, body: dict[str, Any]) -> bytes:
        """With an odd value in place of one, or a key of that kind; or as it was."""
        mark = "\0mark"
        holder, key = self._place(body)
        kept, pick = holder[key], self.random.random()
        holder[key] = mark
        text = json.dumps(body)
        holder[key] = kept
        odd = self.random.choice(ODD)
        if pick < 0.1:
            odd = json.dumps(kept)
        elif pick < 0.2:
            odd = f'{json.dumps(kept)}, "more": {odd}'
        elif pick < 0.25:
            return odd.encode()
        made = text.replace(json.dumps(mark), odd).encode(errors="replace")
        return self.bent(made) if self.random.random() < 0.3 else made

    def _place(self, body: Any) -> tuple[Any, Any]:
        """Somewhere within: what holds the value, and by which key."""
        while True:
            key = self.random.choice([*body] if isinstance(body, dict) else range(1))
            inner = body[key]
            if not isinstance(inner, (dict, list)) or not inner:
                return body, key
            if self.random.random() < 0.3:
                return body, key
            body = inner

    def parts(self, parts: list[bytes], bodies: list[dict[str, Any]]) -> list[bytes]:
        """Frames of a message: the last ones are JSON, of which one is made odd."""
        made, pick = list(parts), self.random.random()
        at = len(made) - len(bodies) + (number := self.random.randrange(len(bodies)))
        if pick < 0.7:
            made[at] = self.json(bodies[number])
        elif pick < 0.8:
            made[at] = self.bent(made[at])
        elif pick < 0.9:
            del made[self.random.randrange(len(made))]
        else:
            made.insert(self.random.randrange(len(made) + 1), self.bent(b""))
        return made

    def pieces(self, data: bytes) -> list[bytes]:
        """As the network may cut it."""
        if self.random.random() < 0.7 or len(data) < 2:
            return [data]
        at = self.random.randrange(1, len(data))
        return [data[:at], data[at:]]
