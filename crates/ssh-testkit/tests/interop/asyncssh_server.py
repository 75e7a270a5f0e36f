"""asyncssh as a server that gives back what it reads.

Arguments: port authorized-keys-file lists host-key-file...

The lists are the names to allow, of key exchange methods, signatures, ciphers, MACs and compression methods, comma-separated
and with a colon between lists; those it lacks are left out. A host key is shown with its certificate, if there is one.
"""

import asyncio
import sys

import asyncssh
from asyncssh.compression import get_compression_algs
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs
from asyncssh.public_key import get_public_key_algs

port, authorized, lists, *host_keys = sys.argv[1:]
kinds = {
    "kex_algs": get_kex_algs,
    "signature_algs": get_public_key_algs,
    "encryption_algs": get_encryption_algs,
    "mac_algs": get_mac_algs,
    "compression_algs": get_compression_algs,
}
allowed = {
    kind: [name for name in names.split(",") if name.encode() in known()]
    for (kind, known), names in zip(kinds.items(), lists.split(":"))
}


async def echo(process):
    process.stdout.write(await process.stdin.read())
    process.exit(0)


async def main():
    await asyncssh.listen("127.0.0.1", int(port), server_host_keys=host_keys, authorized_client_keys=authorized,
                          process_factory=echo, encoding=None, config=None, **allowed)
    await asyncio.Event().wait()


asyncio.run(main())
