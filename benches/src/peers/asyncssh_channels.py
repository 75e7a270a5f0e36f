# Opens channels, uses each for one echo and closes it, 256 at a time, on one connection; prints the seconds it took.
import asyncio, sys, time
import asyncssh

AT_ONCE = 256


class Server(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False


async def echo(process):
    data = await process.stdin.read(8)
    process.stdout.write(data)
    process.exit(0)


async def one(client, places, number):
    async with places:
        async with client.create_process("cat", encoding=None) as process:
            said = number.to_bytes(8, "big")
            process.stdin.write(said)
            assert await process.stdout.readexactly(8) == said


async def many(client, count):
    places = asyncio.Semaphore(AT_ONCE)
    begin = time.monotonic()
    await asyncio.gather(*(one(client, places, number) for number in range(count)))
    return time.monotonic() - begin


async def main(count):
    options = dict(kex_algs=["curve25519-sha256"], encryption_algs=["aes128-gcm@openssh.com"])
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Server, process_factory=echo, encoding=None,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")], **options,
    )
    async with asyncssh.connect(
        "127.0.0.1", server.get_port(), known_hosts=None, username="bench", client_keys=None, config=None, **options,
    ) as client:
        await many(client, count // 10)
        print(await many(client, count))


asyncio.run(main(int(sys.argv[1])))
