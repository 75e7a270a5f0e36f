"""asyncssh's client, once with each key exchange method it shares with a Bowline server; prints the name of each.

Arguments: port user key-file known-hosts-file key-exchange-methods (comma-separated)
"""

import asyncio
import sys

import asyncssh
from asyncssh.kex import get_kex_algs

port, user, key, known_hosts, methods = sys.argv[1:]
known = [name.decode() for name in get_kex_algs()]


async def main():
    for name in methods.split(","):
        if name not in known:
            continue
        async with asyncssh.connect("127.0.0.1", int(port), username=user, known_hosts=known_hosts, client_keys=[key],
                                    agent_path=None, config=None, kex_algs=[name]) as conn:
            result = await conn.run("cat", input="x" * 100000)
            assert result.stdout == "x" * 100000, name
        print("ok", name, flush=True)


asyncio.run(main())
