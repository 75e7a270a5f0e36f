"""paramiko's client against a Bowline server. Each case prints its name when it holds; the first that does not ends the run.

Arguments: port user password key-file known-hosts-file wrong-known-hosts-file work-folder bulk-bytes
"""

import hashlib
import os
import sys
import time

import paramiko

port, user, password, key, known, wrong, folder, bulk = sys.argv[1:]
port, bulk = int(port), int(bulk)


def connect(hosts=known, **more):
    client = paramiko.SSHClient()
    client.load_host_keys(hosts)
    settings = dict(port=port, username=user, key_filename=key, allow_agent=False, look_for_keys=False)
    settings.update(more)
    client.connect("127.0.0.1", **settings)
    return client


def told(case):
    print("ok", case, flush=True)


def refused(case, error, **more):
    try:
        connect(**more).close()
    except error:
        told(case)
    else:
        raise AssertionError(case)


def sessions(client):
    _, out, err = client.exec_command("printf '%s|' one 'two three'; echo; echo oops >&2")
    assert (out.read(), err.read()) == (b"one|two three|\n", b"oops\n")
    assert out.channel.recv_exit_status() == 0
    told("exec with arguments, stdout and stderr apart, status 0")
    for status in (7, 255):
        _, out, _ = client.exec_command(f"exit {status}")
        assert out.channel.recv_exit_status() == status
    told("exit status 7 and 255")
    into, out, _ = client.exec_command("cat")
    into.write(b"ends on end of file\n")
    into.channel.shutdown_write()
    assert out.read() == b"ends on end of file\n"
    told("half-close")


def bulk_data(client, case, between=lambda left: None, bulk=bulk):
    """Moves the bulk both ways; `between` is called now and then with what is still to come."""
    block = os.urandom(1 << 20)
    digest = hashlib.sha256()
    channel = client.get_transport().open_session()
    channel.exec_command("sha256sum")
    for number in range(bulk >> 20):
        digest.update(block)
        channel.sendall(block)
        between(bulk - (number << 20))
    channel.shutdown_write()
    assert channel.makefile("rb").read().split()[0].decode() == digest.hexdigest(), case
    while not channel.closed:
        time.sleep(0.01)
    channel = client.get_transport().open_session()
    channel.exec_command(f"head -c {bulk} /dev/zero")
    seen, count = hashlib.sha256(), 0
    while data := channel.recv(1 << 18):
        seen.update(data)
        count += len(data)
        between(bulk - count)
    expected = hashlib.sha256()
    for _ in range(bulk >> 20):
        expected.update(bytes(1 << 20))
    assert seen.digest() == expected.digest(), (case, count)
    told(case)


def rekey_often(client, case, bulk=bulk):
    """paramiko has no limit to set: ask for new keys every 16 MiB while data moves.

    Not near the end of a stream: a CLOSE that arrives while paramiko waits for our KEXINIT makes its reading thread wait
    for itself ("Key-exchange timed out"), whoever the server is.
    """
    exchanges = []

    def ask(left):
        if left > 16 << 20 and left // (16 << 20) != (exchanges or [0])[-1]:
            exchanges.append(left // (16 << 20))
            client.get_transport().renegotiate_keys()

    bulk_data(client, case, ask, bulk)
    assert len(exchanges) >= max(1, 2 * (bulk >> 24) - 4), exchanges


def files(client):
    local, remote, back = (os.path.join(folder, name) for name in ("plocal", "premote", "pback"))
    with open(local, "wb") as out:
        out.write(os.urandom(5 << 20) + b"end")
    with client.open_sftp() as sftp:
        sftp.put(local, remote)
        sftp.get(remote, back)
        with open(local, "rb") as a, open(back, "rb") as b:
            assert a.read() == b.read()
        told("sftp put and get")
        many = os.path.join(folder, "pmany")
        sftp.mkdir(many)
        for number in range(1000):
            sftp.open(f"{many}/{number:04}", "wb").close()
        assert sorted(sftp.listdir(many)) == [f"{number:04}" for number in range(1000)]
        told("sftp listing of 1000 names")
        sftp.rename(f"{many}/0002", f"{many}/moved")
        sftp.chmod(f"{many}/moved", 0o600)
        assert sftp.stat(f"{many}/moved").st_mode & 0o777 == 0o600
        told("sftp rename, chmod")


client = connect()
told("login by key")
sessions(client)
bulk_data(client, f"{bulk} bytes through stdin and stdout")
files(client)
rekey_often(client, "new keys again and again during a transfer")
client.close()
client = connect(key_filename=None, password=password)
assert client.exec_command("echo hi")[1].read() == b"hi\n"
client.close()
told("login by password")
client = connect(compress=True)
assert client.get_transport().remote_compression == client.get_transport().local_compression == "zlib@openssh.com"
rekey_often(client, "compressed, with new keys during a transfer", 40 << 20)
client.close()
refused("a wrong password is refused", paramiko.AuthenticationException, key_filename=None, password="wrong")
refused("a wrong host key is refused", paramiko.BadHostKeyException, hosts=wrong)
