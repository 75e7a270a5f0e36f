"""asyncssh as a server that gives back what it reads.

Arguments: port host-key-file authorized-keys-file key-exchange-methods (comma-separated; those it lacks are left out)
"""

import asyncio
import sys

import asyncssh
from asyncssh.kex import get_kex_algs

port, host_key, authorized, methods = sys.argv[1:]
known = [name.decode() for name in get_kex_algs()]


async def echo(process):
    process.stdout.write(await process.stdin.read())
    process.exit(0)


async def main():
    await asyncssh.listen("127.0.0.1", int(port), server_host_keys=[host_key], authorized_client_keys=authorized,
                          process_factory=echo, encoding=None, config=None,
                          kex_algs=[name for name in methods.split(",") if name in known])
    await asyncio.Event().wait()


asyncio.run(main())
