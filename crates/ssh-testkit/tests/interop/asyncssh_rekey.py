"""asyncssh under changes of keys, on either side: many processes at once, files, signs of life, while keys last for next to
nothing.

Arguments of the client: client host port user key-file known-hosts-file folder bytes seconds channels
Arguments of the server: server host port authorized-keys-file host-key-file bytes seconds
"""

import asyncio
import os
import sys

import asyncssh

side, host, port, *rest = sys.argv[1:]

# Where keys grow old by time, our side alone asks for new ones: asyncssh 2.24.0 looks at the clock twice for each message, and
# where its second ends in between, it sends its KEXINIT and then the message, which RFC 4253 section 7.1 forbids. Seen in one run
# of forty, and refused by us as it must be.
BY_TIME_NEVER = 0


async def echo_one(conn, number):
    sent = os.urandom(2000 + number)
    result = await conn.run("cat", input=sent, encoding=None)
    assert result.stdout == sent, f"channel {number}: {len(result.stdout)} bytes came back"
    assert result.exit_status == 0


async def carry_files(conn, folder, size):
    local, remote, back = (os.path.join(folder, name) for name in ("local", "remote", "back"))
    sent = os.urandom(size)
    with open(local, "wb") as file:
        file.write(sent)
    async with conn.start_sftp_client() as sftp:
        await sftp.put(local, remote)
        await sftp.get(remote, back)
    with open(back, "rb") as file:
        assert file.read() == sent, "the file has changed"


async def client(user, key, known, folder, limit, seconds, channels):
    settings = dict(username=user, known_hosts=known, client_keys=[key], agent_path=None, config=None,
                    kex_algs=["curve25519-sha256"], rekey_bytes=int(limit), rekey_seconds=BY_TIME_NEVER,
                    keepalive_interval=0.05, keepalive_count_max=10_000)
    async with asyncssh.connect(host, int(port), **settings) as conn:
        begin, size, sent = asyncio.get_event_loop().time(), 6_000 * int(channels), 0
        # Where keys grow old by time, it has to pass; where they do by bytes, these have to.
        time = 3 * int(seconds) if int(seconds) < 60 else 0
        least = int(limit) * 1.2 if int(limit) < 1 << 30 else 0
        while sent <= least or asyncio.get_event_loop().time() - begin <= time:
            await asyncio.gather(carry_files(conn, folder, size),
                                 *(echo_one(conn, number) for number in range(int(channels))))
            sent += size + 2000 * int(channels)
    print("ok")


async def echo(process):
    process.stdout.write(await process.stdin.read())
    process.exit(0)


async def server(authorized, host_key, limit, _seconds):
    await asyncssh.listen(host, int(port), server_host_keys=[host_key], authorized_client_keys=authorized,
                          process_factory=echo, sftp_factory=True, encoding=None, config=None,
                          rekey_bytes=int(limit), rekey_seconds=BY_TIME_NEVER)
    await asyncio.Event().wait()


asyncio.run(client(*rest) if side == "client" else server(*rest))
