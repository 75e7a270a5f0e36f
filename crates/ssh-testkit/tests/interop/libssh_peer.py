"""libssh in either seat, through its C interface.

    libssh_peer.py client LISTS PORT USER IDENTITY HOST_KEY_FILE COMMAND
    libssh_peer.py server LISTS AUTHORIZED_KEYS HOST_KEY...

LISTS are the names to allow, of key exchange methods, host keys, ciphers, MACs and compression methods, with a colon
between lists; libssh keeps those it knows. The client feeds the command its standard input, prints what comes back, and
says on standard error what was agreed on. The server's standard input is its one connection; it lets in whoever holds one
of the keys and runs commands with /bin/sh.
"""

import ctypes
import subprocess
import sys

LIBRARY = ctypes.CDLL("libssh.so.4")
POINTER, INT, TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p

# enum ssh_options_e
HOST, PORT, USER, KNOWN_HOSTS, TIMEOUT = 0, 1, 4, 8, 9
CIPHERS, COMPRESSIONS, KEX, HOST_KEYS, MACS = (15, 16), (17, 18), (24,), (25,), (29, 30)
GLOBAL_KNOWN_HOSTS, PROCESS_CONFIG = 35, 38
# For a machine with much else to do.
PATIENCE_SECONDS = 240
# enum ssh_bind_options_e
BIND_HOST_KEY, BIND_KEX, BIND_CIPHERS, BIND_MACS, BIND_HOST_KEYS, BIND_PROCESS_CONFIG = 3, (11,), (12, 13), (14, 15), (18,), 19
# enum ssh_requests_e and what is asked for in each
AUTH, CHANNEL_OPEN, CHANNEL, SERVICE = 1, 2, 3, 4
METHOD_PUBLICKEY, CHANNEL_SESSION, REQUEST_EXEC = 4, 1, 2
KEY_NOT_PROVEN, KEY_PROVEN = 0, 1


def call(name, *arguments, result=INT):
    """Calls a function of the library."""
    function = getattr(LIBRARY, name)
    function.restype = result
    # Objects are addresses, which as plain numbers would be cut to 32 bits.
    wrapped = [POINTER(each) if isinstance(each, int) and each > 0xFFFF else each for each in arguments]
    return function(*wrapped)


def done(what, code, session):
    if code != 0:
        told = call("ssh_get_error", session, result=TEXT) or b""
        sys.exit(f"{what}: {told.decode(errors='replace')}")


def out(name, *arguments):
    """Calls a function whose last argument is where an object goes."""
    found = POINTER()
    if call(name, *arguments, ctypes.byref(found)) != 0:
        sys.exit(f"{name} failed")
    return found.value


def private_key(path):
    return out("ssh_pki_import_privkey_file", path.encode(), None, None, None)


def public_key(line):
    kind, text = line.split()[:2]
    return out("ssh_pki_import_pubkey_base64", text.encode(), call("ssh_key_type_from_name", kind.encode()))


def same(one, other):
    return call("ssh_key_cmp", one, other, 0) == 0


def read_all(channel):
    data, room = bytearray(), ctypes.create_string_buffer(65536)
    while (count := call("ssh_channel_read_timeout", channel, room, len(room), 0, -1)) > 0:
        data += room.raw[:count]
    return bytes(data)


def write_all(channel, data):
    for begin in range(0, len(data), 32768):
        part = data[begin : begin + 32768]
        if call("ssh_channel_write", channel, part, len(part)) != len(part):
            sys.exit("ssh_channel_write failed")
    call("ssh_channel_send_eof", channel)


def allow(setter, holder, lists, options, session):
    for names, numbers in zip(lists, options):
        for number in numbers:
            done(names, call(setter, holder, number, names.encode()), session)


def client(lists, port, user, identity, host_key_file, command):
    session = call("ssh_new", result=POINTER)
    setting = lambda number, value: done(f"option {number}", call("ssh_options_set", session, number, value), session)
    setting(PROCESS_CONFIG, ctypes.byref(ctypes.c_bool(False)))
    setting(HOST, b"127.0.0.1")
    setting(PORT, ctypes.byref(ctypes.c_uint(int(port))))
    setting(USER, user.encode())
    setting(TIMEOUT, ctypes.byref(ctypes.c_long(PATIENCE_SECONDS)))
    setting(KNOWN_HOSTS, b"/dev/null")
    setting(GLOBAL_KNOWN_HOSTS, b"/dev/null")
    allow("ssh_options_set", session, lists, (KEX, HOST_KEYS, CIPHERS, MACS, COMPRESSIONS), session)
    done("connect", call("ssh_connect", session), session)
    with open(host_key_file) as file:
        expected = public_key(file.read())
    if not same(out("ssh_get_server_publickey", session), expected):
        sys.exit("another host key")
    done("login", call("ssh_userauth_publickey", session, None, private_key(identity)), session)
    for what in ["kex_algo", "cipher_in", "cipher_out", "hmac_in", "hmac_out"]:
        print(what, (call(f"ssh_get_{what}", session, result=TEXT) or b"?").decode(), file=sys.stderr)
    channel = call("ssh_channel_new", session, result=POINTER)
    done("open", call("ssh_channel_open_session", channel), session)
    done("exec", call("ssh_channel_request_exec", channel, command.encode()), session)
    write_all(channel, sys.stdin.buffer.read())
    sys.stdout.buffer.write(read_all(channel))
    sys.stdout.buffer.flush()
    status = call("ssh_channel_get_exit_status", channel)
    call("ssh_disconnect", session, result=None)
    sys.exit(status)


def server(lists, authorized_keys, *host_keys):
    with open(authorized_keys) as file:
        known = [public_key(line) for line in file]
    bind, session = call("ssh_bind_new", result=POINTER), call("ssh_new", result=POINTER)
    setting = lambda number, value: done(f"option {number}", call("ssh_bind_options_set", bind, number, value), bind)
    setting(BIND_PROCESS_CONFIG, ctypes.byref(ctypes.c_bool(False)))
    patience = ctypes.byref(ctypes.c_long(PATIENCE_SECONDS))
    done("patience", call("ssh_options_set", session, TIMEOUT, patience), session)
    for path in host_keys:
        setting(BIND_HOST_KEY, path.encode())
    allow("ssh_bind_options_set", bind, lists, (BIND_KEX, BIND_HOST_KEYS, BIND_CIPHERS, BIND_MACS), bind)
    done("accept", call("ssh_bind_accept_fd", bind, session, 0), bind)
    done("key exchange", call("ssh_handle_key_exchange", session), session)
    channel = None
    while message := call("ssh_message_get", session, result=POINTER):
        kind, asked = call("ssh_message_type", message), call("ssh_message_subtype", message)
        if kind == SERVICE:
            call("ssh_message_service_reply_success", message)
        elif kind == AUTH and asked == METHOD_PUBLICKEY:
            answer_login(message, known)
        elif kind == AUTH:
            call("ssh_message_auth_set_methods", message, METHOD_PUBLICKEY)
            call("ssh_message_reply_default", message)
        elif kind == CHANNEL_OPEN and asked == CHANNEL_SESSION:
            channel = call("ssh_message_channel_request_open_reply_accept", message, result=POINTER)
        elif kind == CHANNEL and asked == REQUEST_EXEC and channel:
            command = call("ssh_message_channel_request_command", message, result=TEXT).decode()
            call("ssh_message_channel_request_reply_success", message)
            run(command, channel)
            break
        else:
            call("ssh_message_reply_default", message)
        call("ssh_message_free", message, result=None)
    # The client ends the connection.
    while call("ssh_message_get", session, result=POINTER):
        pass


def answer_login(message, known):
    key = call("ssh_message_auth_pubkey", message, result=POINTER)
    state = call("ssh_message_auth_publickey_state", message)
    is_known = any(same(key, each) for each in known)
    if is_known and state == KEY_PROVEN:
        call("ssh_message_auth_reply_success", message, 0)
    elif is_known and state == KEY_NOT_PROVEN:
        call("ssh_message_auth_reply_pk_ok_simple", message)
    else:
        call("ssh_message_reply_default", message)


def run(command, channel):
    ended = subprocess.run(["/bin/sh", "-c", command], input=read_all(channel), stdout=subprocess.PIPE)
    write_all(channel, ended.stdout)
    call("ssh_channel_request_send_exit_status", channel, ended.returncode)
    call("ssh_channel_close", channel)


call("ssh_init")
seats = {"client": client, "server": server}
seats[sys.argv[1]](sys.argv[2].split(":"), *sys.argv[3:])
