#!/usr/bin/env python3
"""Writes zlib.txt beside it: payloads, and what zlib makes of them as one stream with a flush behind each.

RFC 4253 section 6.2 asks for a partial flush; OpenSSH makes one, AsyncSSH and Paramiko make a sync flush. Only the
standard library is needed.

    python3 generate_zlib.py
"""

import hashlib
import pathlib
import zlib

HERE = pathlib.Path(__file__).parent
FLUSHES = {"partial": zlib.Z_PARTIAL_FLUSH, "sync": zlib.Z_SYNC_FLUSH}
RANDOM = hashlib.shake_256(b"incompressible").digest(700)
DATA = b"\x5e\x00\x00\x00\x00\x00\x00\x00\x2c" + b"The quick brown fox jumps over the lazy dog."
PAYLOADS = [DATA, DATA, b"\x02", b"\x5e" + RANDOM, b"\x5e" + RANDOM, b"\x5d" + b"\x00" * 900, DATA]


def stream(name, flush, level):
    deflate = zlib.compressobj(level)
    lines = ["[stream]", f"source = generate_zlib.py with zlib {zlib.ZLIB_RUNTIME_VERSION}", f"flush = {name}"]
    lines += [f"level = {level}"]
    for payload in PAYLOADS:
        lines += [f"payload = {payload.hex()}"]
        lines += [f"compressed = {(deflate.compress(payload) + deflate.flush(flush)).hex()}"]
    return "\n".join(lines) + "\n"


def main():
    streams = [stream(name, flush, level) for name, flush in FLUSHES.items() for level in (6, 0)]
    (HERE / "zlib.txt").write_text("\n".join(streams))


if __name__ == "__main__":
    main()
