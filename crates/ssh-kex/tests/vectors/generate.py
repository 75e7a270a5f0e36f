#!/usr/bin/env python3
"""Computes the vector files beside this script with nothing but Python's hashlib and integers.

    ./generate.py                                   writes the files
    ./generate.py --check keyGen.json encapDecap.json
        checks the ML-KEM-768 below against NIST's ACVP files (usnistgov/ACVP-Server, gen-val/json-files,
        ML-KEM-keyGen-FIPS203 and ML-KEM-encapDecap-FIPS203, each internalProjection.json)

It is an implementation of its own, written from RFC 7748, FIPS 203 and RFC 4253 and sharing no code with the crate, so
that agreeing with it means something.
"""

import hashlib
import json
import pathlib
import struct
import sys

# --- RFC 7748 -----------------------------------------------------------------------------------------------------------

P = 2**255 - 19


def x25519(scalar, point):
    k = int.from_bytes(scalar, "little") & ~7 & (2**255 - 1) | 2**254
    u = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3, swapped = 1, 0, u, 1, 0
    for bit in reversed(range(255)):
        now = k >> bit & 1
        if swapped != now:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swapped = now
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swapped:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


BASE = (9).to_bytes(32, "little")

# --- FIPS 203, ML-KEM-768 -------------------------------------------------------------------------------------------------

Q, N, K, ETA, DU, DV = 3329, 256, 3, 2, 10, 4


def bit_reversed(i):
    return int(f"{i:07b}"[::-1], 2)


ZETAS = [pow(17, bit_reversed(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * bit_reversed(i) + 1, Q) for i in range(128)]


def ntt(f):
    f, i, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta, i = ZETAS[i], i + 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j], f[j + length] = (f[j] + t) % Q, (f[j] - t) % Q
        length //= 2
    return f


def inverse_ntt(f):
    f, i, length = list(f), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta, i = ZETAS[i], i - 1
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, zeta * (f[j + length] - t) % Q
        length *= 2
    return [x * 3303 % Q for x in f]


def multiply(f, g):
    h = []
    for i in range(128):
        a0, a1, b0, b1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        h += [(a0 * b0 + a1 * b1 * GAMMAS[i]) % Q, (a0 * b1 + a1 * b0) % Q]
    return h


def add(f, g):
    return [(a + b) % Q for a, b in zip(f, g)]


def dot(fs, gs):
    total = [0] * N
    for f, g in zip(fs, gs):
        total = add(total, multiply(f, g))
    return total


def encode(f, d):
    value = sum(x << d * i for i, x in enumerate(f))
    return value.to_bytes(32 * d, "little")


def decode(data, d):
    value = int.from_bytes(data, "little")
    return [value >> d * i & (1 << d) - 1 for i in range(N)]


def compress(f, d):
    return [(2 * (x << d) + Q) // (2 * Q) % (1 << d) for x in f]


def decompress(f, d):
    return [(2 * Q * x + (1 << d)) >> d + 1 for x in f]


def sample_ntt(seed):
    stream, out, at = hashlib.shake_128(seed).digest(4096), [], 0
    while len(out) < N:
        a, b, c = stream[at : at + 3]
        at += 3
        out += [d for d in (a + 256 * (b % 16), b // 16 + 16 * c) if d < Q]
    return out[:N]


def sample_cbd(seed, nonce):
    bits = int.from_bytes(hashlib.shake_256(seed + bytes([nonce])).digest(64 * ETA), "little")
    def count(at):
        return sum(bits >> at + i & 1 for i in range(ETA))
    return [(count(2 * ETA * i) - count(2 * ETA * i + ETA)) % Q for i in range(N)]


def matrix(rho):
    return [[sample_ntt(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def kem_keys(d, z):
    seed = hashlib.sha3_512(d + bytes([K])).digest()
    rho, sigma = seed[:32], seed[32:]
    s = [ntt(sample_cbd(sigma, i)) for i in range(K)]
    e = [ntt(sample_cbd(sigma, K + i)) for i in range(K)]
    t = [add(dot(row, s), e[i]) for i, row in enumerate(matrix(rho))]
    ek = b"".join(encode(f, 12) for f in t) + rho
    dk = b"".join(encode(f, 12) for f in s) + ek + hashlib.sha3_256(ek).digest() + z
    return ek, dk


def pke_encrypt(ek, m, r):
    t = [decode(ek[384 * i : 384 * (i + 1)], 12) for i in range(K)]
    a = matrix(ek[384 * K :])
    y = [ntt(sample_cbd(r, i)) for i in range(K)]
    u = []
    for i in range(K):
        column = [a[j][i] for j in range(K)]
        u.append(add(inverse_ntt(dot(column, y)), sample_cbd(r, K + i)))
    message = decompress(decode(m, 1), 1)
    v = add(add(inverse_ntt(dot(t, y)), sample_cbd(r, 2 * K)), message)
    return b"".join(encode(compress(f, DU), DU) for f in u) + encode(compress(v, DV), DV)


def encapsulate(ek, m):
    seed = hashlib.sha3_512(m + hashlib.sha3_256(ek).digest()).digest()
    return pke_encrypt(ek, m, seed[32:]), seed[:32]


def decapsulate(dk, c):
    s, ek, h, z = dk[: 384 * K], dk[384 * K : 768 * K + 32], dk[768 * K + 32 : 768 * K + 64], dk[768 * K + 64 :]
    u = [ntt(decompress(decode(c[320 * i : 320 * (i + 1)], DU), DU)) for i in range(K)]
    v = decompress(decode(c[320 * K :], DV), DV)
    inner = inverse_ntt(dot([decode(s[384 * i : 384 * (i + 1)], 12) for i in range(K)], u))
    m = encode(compress([(a - b) % Q for a, b in zip(v, inner)], 1), 1)
    seed = hashlib.sha3_512(m + h).digest()
    if pke_encrypt(ek, m, seed[32:]) == c:
        return seed[:32]
    return hashlib.shake_256(z + c).digest(32)


def check(key_gen, encap_decap):
    def groups(path):
        return [g for g in json.loads(pathlib.Path(path).read_text())["testGroups"] if g["parameterSet"] == "ML-KEM-768"]
    h, checked = bytes.fromhex, 0
    for test in groups(key_gen)[0]["tests"]:
        assert kem_keys(h(test["d"]), h(test["z"])) == (h(test["ek"]), h(test["dk"])), test["tcId"]
        checked += 1
    for group in groups(encap_decap):
        for test in group["tests"]:
            if group["function"] == "encapsulation":
                assert encapsulate(h(test["ek"]), h(test["m"])) == (h(test["c"]), h(test["k"])), test["tcId"]
            assert decapsulate(h(test.get("dk", group.get("dk"))), h(test["c"])) == h(test["k"]), test["tcId"]
            checked += 1
    print(f"{checked} ACVP tests agree")


# --- RFC 4253 §7.2 and §8 -----------------------------------------------------------------------------------------------

def string(data):
    return struct.pack(">I", len(data)) + data


def mpint(data):
    digits = data.lstrip(b"\0")
    return string((b"\0" if digits and digits[0] & 0x80 else b"") + digits)


CLIENT_IDENTIFICATION = b"SSH-2.0-Client_1.0 a comment"
SERVER_IDENTIFICATION = b"SSH-2.0-Server_1.0"
CLIENT_KEXINIT = b"\x14" + bytes(range(16)) + b"client kexinit"
SERVER_KEXINIT = b"\x14" + bytes(range(16, 32)) + b"server kexinit"
HOST_KEY = b"a host key blob"


def finish(exchanged, k):
    """H, and 80 bytes (two and a half blocks) for each letter, under a session identifier that is not H."""
    parts = [CLIENT_IDENTIFICATION, SERVER_IDENTIFICATION, CLIENT_KEXINIT, SERVER_KEXINIT, HOST_KEY]
    h = hashlib.sha256(b"".join(map(string, parts)) + exchanged + k).digest()
    session_id = hashlib.sha256(b"an earlier exchange").digest()
    lines = {"encoded_secret": k, "exchange_hash": h, "session_id": session_id}
    for letter in "ABCDEF":
        key = hashlib.sha256(k + h + letter.encode() + session_id).digest()
        while len(key) < 80:
            key += hashlib.sha256(k + h + key).digest()
        lines[f"key_{letter.lower()}"] = key[:80]
    return lines


def write(name, source, lines):
    common = {
        "client_identification": CLIENT_IDENTIFICATION,
        "server_identification": SERVER_IDENTIFICATION,
        "client_kexinit": CLIENT_KEXINIT,
        "server_kexinit": SERVER_KEXINIT,
        "host_key": HOST_KEY,
    }
    text = "".join(f"# {line}\n" for line in source)
    text += "".join(f"{key} = {value.hex()}\n" for key, value in {**common, **lines}.items())
    (pathlib.Path(__file__).parent / f"{name}.txt").write_text(text)


def curve25519(name, source, client_secret, server_secret):
    client, server = x25519(client_secret, BASE), x25519(server_secret, BASE)
    shared = x25519(client_secret, server)
    exchanged = string(client) + string(server)
    lines = {
        "client_random": client_secret,
        "server_random": server_secret,
        "client_share": client,
        "server_share": server,
    }
    write(name, source, {**lines, **finish(exchanged, mpint(shared))})


def mlkem768x25519(name, source, d, z, m, client_secret, server_secret):
    ek, dk = kem_keys(d, z)
    c, kem_secret = encapsulate(ek, m)
    assert decapsulate(dk, c) == kem_secret
    client = ek + x25519(client_secret, BASE)
    server = c + x25519(server_secret, BASE)
    classical = x25519(client_secret, x25519(server_secret, BASE))
    secret = hashlib.sha256(kem_secret + classical).digest()
    lines = {
        "client_random": d + z + client_secret,
        "server_random": server_secret + m,
        "client_share": client,
        "server_share": server,
    }
    write(name, source, {**lines, **finish(string(client) + string(server), string(secret))})


# RFC 7748 §6.1.
ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
ALICE_SHARE = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
BOB_SHARE = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")

# NIST ACVP, ML-KEM-keyGen-FIPS203, ML-KEM-768, tcId 27.
D = bytes.fromhex("DD8FA382972A912D49B0B9E7EDF8E55791363846D4603982A881023A61EA330C")
Z = bytes.fromhex("52DBF5D5E8407B29B2B75C0AF795AAF1DF352F1403C8E9D3648BC2135344E4A6")

HASHED = "Exchange hash and keys computed by generate.py (hashlib) from RFC 4253 sections 7.2 and 8."


def main():
    assert (x25519(ALICE, BASE), x25519(BOB, BASE)) == (ALICE_SHARE, BOB_SHARE)
    assert x25519(ALICE, BOB_SHARE) == x25519(BOB, ALICE_SHARE) == SHARED
    curve25519("curve25519-sha256", ["Key pairs and secret: RFC 7748 section 6.1.", HASHED], ALICE, BOB)

    # A secret that begins with a zero byte followed by a high bit: the mpint is shorter, and has a sign byte.
    server = next(
        seed
        for seed in (hashlib.sha256(i.to_bytes(4, "big")).digest() for i in range(1 << 16))
        if (secret := x25519(seed, ALICE_SHARE))[0] == 0 and secret[1] & 0x80
    )
    source = ["Client key pair: RFC 7748 section 6.1. Server key pair: searched by generate.py, so that the secret begins",
              "with a zero byte followed by one with its high bit set, which tests the mpint.", HASHED]
    curve25519("curve25519-sha256@libssh.org", source, ALICE, server)

    source = ["ML-KEM seeds d and z: NIST ACVP, ML-KEM-keyGen-FIPS203, ML-KEM-768, tcId 27. X25519 key pairs: RFC 7748",
              "section 6.1. ML-KEM computed by generate.py, which agrees with all of NIST's ACVP tests (its --check).", HASHED]
    mlkem768x25519("mlkem768x25519-sha256", source, D, Z, hashlib.sha256(b"m").digest(), ALICE, BOB)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(*sys.argv[2:])
    else:
        main()
