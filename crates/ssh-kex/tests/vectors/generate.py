#!/usr/bin/env python3
"""Computes the vector files beside this script with nothing but Python's hashlib and integers.

    ./generate.py                                   writes the files
    ./generate.py --check keyGen.json encapDecap.json
        checks the ML-KEM below against NIST's ACVP files (usnistgov/ACVP-Server, gen-val/json-files,
        ML-KEM-keyGen-FIPS203 and ML-KEM-encapDecap-FIPS203, each internalProjection.json)

It is an implementation of its own, written from RFC 7748, SEC 1, FIPS 203, the
NTRU Prime specification, RFC 3526, RFC 4419 and RFC 4253 and sharing no code with the crate, so
that agreeing with it means something.
"""

import collections
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

# --- The NIST curves (SP 800-186 §3.2.1, SEC 1 §2.3.3) ------------------------------------------------------------------


class Curve:
    """y² = x³ - 3x + b over the integers modulo p; None is infinity."""

    def __init__(self, p, n, b, x, y):
        self.p, self.n, self.b, self.base, self.length = p, n, b, (x, y), (p.bit_length() + 7) // 8

    def on(self, point):
        x, y = point
        return (y * y - x**3 + 3 * x - self.b) % self.p == 0

    def add(self, one, other):
        if one is None or other is None:
            return one or other
        (x1, y1), (x2, y2) = one, other
        if x1 == x2 and (y1 + y2) % self.p == 0:
            return None
        up, down = (3 * x1 * x1 - 3, 2 * y1) if one == other else (y2 - y1, x2 - x1)
        slope = up * pow(down, -1, self.p) % self.p
        x = (slope * slope - x1 - x2) % self.p
        return x, (slope * (x1 - x) - y1) % self.p

    def times(self, scalar, point):
        total = None
        for bit in f"{scalar:b}":
            total = self.add(total, total)
            if bit == "1":
                total = self.add(total, point)
        return total

    def point(self, scalar):
        """The share of a secret scalar, both as bytes."""
        x, y = self.times(int.from_bytes(scalar, "big"), self.base)
        return b"\4" + x.to_bytes(self.length, "big") + y.to_bytes(self.length, "big")

    def agree(self, scalar, share):
        point = int.from_bytes(share[1 : 1 + self.length], "big"), int.from_bytes(share[1 + self.length :], "big")
        assert share[0] == 4 and self.on(point)
        return self.times(int.from_bytes(scalar, "big"), point)[0].to_bytes(self.length, "big")


P256 = Curve(
    2**256 - 2**224 + 2**192 + 2**96 - 1,
    0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
P384 = Curve(
    2**384 - 2**128 - 2**96 + 2**32 - 1,
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
    0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F,
)
P521 = Curve(
    2**521 - 1,
    0x1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
    0x0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
    0x00C6858E06B70404E9CD9E3ECB662395B4429C648139053FB521F828AF606B4D3DBAA14B5E77EFE75928FE1DC127A2FFA8DE3348B3C1856A429BF97E7E31C2E5BD66,
    0x011839296A789A3BC0045C8A5FB42C7D1BD998F54449579B446817AFBD17273E662C97EE72995EF42640C550B9013FAD0761353C7086A272C24088BE94769FD16650,
)

# --- FIPS 203, ML-KEM-768 and -1024 -------------------------------------------------------------------------------------------------

Q, N, ETA = 3329, 256, 2

Parameters = collections.namedtuple("Parameters", "name k du dv")
KEM_768, KEM_1024 = Parameters("ML-KEM-768", 3, 10, 4), Parameters("ML-KEM-1024", 4, 11, 5)


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


def matrix(rho, k):
    return [[sample_ntt(rho + bytes([j, i])) for j in range(k)] for i in range(k)]


def kem_keys(kem, d, z):
    k = kem.k
    seed = hashlib.sha3_512(d + bytes([k])).digest()
    rho, sigma = seed[:32], seed[32:]
    s = [ntt(sample_cbd(sigma, i)) for i in range(k)]
    e = [ntt(sample_cbd(sigma, k + i)) for i in range(k)]
    t = [add(dot(row, s), e[i]) for i, row in enumerate(matrix(rho, k))]
    ek = b"".join(encode(f, 12) for f in t) + rho
    dk = b"".join(encode(f, 12) for f in s) + ek + hashlib.sha3_256(ek).digest() + z
    return ek, dk


def pke_encrypt(kem, ek, m, r):
    k = kem.k
    t = [decode(ek[384 * i : 384 * (i + 1)], 12) for i in range(k)]
    a = matrix(ek[384 * k :], k)
    y = [ntt(sample_cbd(r, i)) for i in range(k)]
    u = []
    for i in range(k):
        column = [a[j][i] for j in range(k)]
        u.append(add(inverse_ntt(dot(column, y)), sample_cbd(r, k + i)))
    message = decompress(decode(m, 1), 1)
    v = add(add(inverse_ntt(dot(t, y)), sample_cbd(r, 2 * k)), message)
    return b"".join(encode(compress(f, kem.du), kem.du) for f in u) + encode(compress(v, kem.dv), kem.dv)


def encapsulate(kem, ek, m):
    seed = hashlib.sha3_512(m + hashlib.sha3_256(ek).digest()).digest()
    return pke_encrypt(kem, ek, m, seed[32:]), seed[:32]


def decapsulate(kem, dk, c):
    k = kem.k
    s, ek, h, z = dk[: 384 * k], dk[384 * k : 768 * k + 32], dk[768 * k + 32 : 768 * k + 64], dk[768 * k + 64 :]
    u = [ntt(decompress(decode(c[32 * kem.du * i : 32 * kem.du * (i + 1)], kem.du), kem.du)) for i in range(k)]
    v = decompress(decode(c[32 * kem.du * k :], kem.dv), kem.dv)
    inner = inverse_ntt(dot([decode(s[384 * i : 384 * (i + 1)], 12) for i in range(k)], u))
    m = encode(compress([(a - b) % Q for a, b in zip(v, inner)], 1), 1)
    seed = hashlib.sha3_512(m + h).digest()
    if pke_encrypt(kem, ek, m, seed[32:]) == c:
        return seed[:32]
    return hashlib.shake_256(z + c).digest(32)


def check(key_gen, encap_decap):
    def groups(path, kem):
        return [g for g in json.loads(pathlib.Path(path).read_text())["testGroups"] if g["parameterSet"] == kem.name]
    h, checked = bytes.fromhex, 0
    for kem in KEM_768, KEM_1024:
        for test in groups(key_gen, kem)[0]["tests"]:
            assert kem_keys(kem, h(test["d"]), h(test["z"])) == (h(test["ek"]), h(test["dk"])), test["tcId"]
            checked += 1
        for group in groups(encap_decap, kem):
            for test in group["tests"]:
                if group["function"] == "encapsulation":
                    assert encapsulate(kem, h(test["ek"]), h(test["m"])) == (h(test["c"]), h(test["k"])), test["tcId"]
                assert decapsulate(kem, h(test.get("dk", group.get("dk"))), h(test["c"])) == h(test["k"]), test["tcId"]
                checked += 1
    print(f"{checked} ACVP tests agree")


# --- Streamlined NTRU Prime 761 (NTRU Prime, round 3 of NIST's competition; RFC 9941) -------------------------------------

SN, SQ, SW = 761, 4591, 286


def trimmed(f):
    while f and f[-1] == 0:
        f.pop()
    return f


def product(f, g, p):
    """In the ring of integers modulo p over x^761 - x - 1, coefficients between -p/2 and p/2."""
    h = [0] * (2 * SN)
    for i, a in enumerate(f):
        if a:
            for j, b in enumerate(g):
                h[i + j] += a * b
    for i in reversed(range(SN, 2 * SN)):
        h[i - SN] += h[i]
        h[i - SN + 1] += h[i]
    return [(a + p // 2) % p - p // 2 for a in h[:SN]]


def inverse(f, p):
    """In the same ring, by Euclid's algorithm; None where there is none."""
    a, u = [p - 1, p - 1] + [0] * (SN - 2) + [1], []
    b, v = trimmed([x % p for x in f]), [1]
    while b:
        scale = pow(b[-1], -1, p)
        while len(a) >= len(b):
            factor, shift = a[-1] * scale % p, len(a) - len(b)
            u += [0] * (shift + len(v) - len(u))
            for i, x in enumerate(b):
                a[shift + i] = (a[shift + i] - factor * x) % p
            for i, x in enumerate(v):
                u[shift + i] = (u[shift + i] - factor * x) % p
            trimmed(a)
        a, b, u, v = b, a, v, u
    return None if len(a) > 1 else [x * pow(a[0], -1, p) % p for x in u]


def encode_range(values, ranges):
    """Encode: numbers below their ranges, two made one until one is left, whole bytes put out on the way."""
    out = b""
    while len(values) > 1:
        pairs = [(values[i] + ranges[i] * values[i + 1], ranges[i] * ranges[i + 1]) for i in range(0, len(values) - 1, 2)]
        odd = [(values[-1], ranges[-1])] if len(values) % 2 else []
        values, ranges = [], []
        for value, limit in pairs:
            while limit >= 16384:
                out, value, limit = out + bytes([value % 256]), value // 256, (limit + 255) // 256
            values.append(value)
            ranges.append(limit)
        for value, limit in odd:
            values.append(value)
            ranges.append(limit)
    value, limit = values[0], ranges[0]
    while limit > 1:
        out, value, limit = out + bytes([value % 256]), value // 256, (limit + 255) // 256
    return out


def hash_with(prefix, data):
    return hashlib.sha512(bytes([prefix]) + data).digest()[:32]


def words(data):
    return [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]


def short(data):
    """Short: 286 coefficients that are not zero, put into a random order by sorting."""
    drawn = words(data)
    marked = [w & ~1 for w in drawn[:SW]] + [w & ~3 | 1 for w in drawn[SW:]]
    return [(w & 3) - 1 for w in sorted(marked)]


def sntrup_key(g_random, f_random):
    g = [((w & 0x3FFFFFFF) * 3 >> 30) - 1 for w in words(g_random)]
    assert inverse(g, 3) is not None, "another g would be drawn"
    f = short(f_random)
    inverted = inverse([3 * x for x in f], SQ)
    h = product(inverted, g, SQ)
    assert product([3 * x for x in f], h, SQ) == g
    return h, encode_range([x + SQ // 2 for x in h], [SQ] * SN)


def sntrup_encapsulate(h, key, r_random):
    r = short(r_random)
    rounded = [x - ((x + 1) % 3 - 1) for x in product(r, h, SQ)]
    small = sum(x + 1 << 2 * i for i, x in enumerate(r)).to_bytes(191, "little")
    inner = hash_with(3, small)
    c = encode_range([(x + SQ // 2) // 3 for x in rounded], [(SQ + 2) // 3] * SN)
    c += hash_with(2, inner + hash_with(4, key))
    return c, hash_with(1, inner + c)


# --- RFC 3526: numbered groups -----------------------------------------------------------------------------------------


def pi(bits):
    """The integer part of 2^bits times pi, by Machin's formula."""
    def arctan(of):
        power = total = (1 << bits + 64) // of
        for i in range(3, 2 * bits, 2):
            power //= of * of
            total += power // i if i % 4 == 1 else -(power // i)
        return total
    return 4 * (4 * arctan(5) - arctan(239)) >> 64


def modp(bits, c):
    p = 2**bits - 2 ** (bits - 64) - 1 + 2**64 * (pi(bits - 130) + c)
    assert pow(2, p - 1, p) == 1 and pow(2, (p - 1) // 2 - 1, (p - 1) // 2) == 1, "not a safe prime"
    return p


GROUPS = {
    number: modp(bits, c)
    for number, bits, c in [
        (1, 1024, 129093),
        (14, 2048, 124476),
        (15, 3072, 1690314),
        (16, 4096, 240904),
        (17, 6144, 929484),
        (18, 8192, 4743158),
    ]
}


def exponent(random):
    """512 bits, of which the first is set."""
    return int.from_bytes(random, "big") | 1 << 511


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


def finish(exchanged, k, hash=hashlib.sha256):
    """H, and 80 bytes (more than a block) for each letter, under a session identifier that is not H."""
    parts = [CLIENT_IDENTIFICATION, SERVER_IDENTIFICATION, CLIENT_KEXINIT, SERVER_KEXINIT, HOST_KEY]
    h = hash(b"".join(map(string, parts)) + exchanged + k).digest()
    session_id = hashlib.sha256(b"an earlier exchange").digest()
    lines = {"encoded_secret": k, "exchange_hash": h, "session_id": session_id}
    for letter in "ABCDEF":
        key = hash(k + h + letter.encode() + session_id).digest()
        while len(key) < 80:
            key += hash(k + h + key).digest()
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


def nistp(name, source, curve, hash, pair):
    client, server = curve.point(pair.i), curve.point(pair.r)
    exchanged = string(client) + string(server)
    lines = {"client_random": pair.i, "server_random": pair.r, "client_share": client, "server_share": server}
    write(name, source, {**lines, **finish(exchanged, mpint(pair.shared(curve)), hash)})


def mlkem(name, source, kem, hash, d, z, m, scalars, shares, classical):
    ek, dk = kem_keys(kem, d, z)
    c, kem_secret = encapsulate(kem, ek, m)
    assert decapsulate(kem, dk, c) == kem_secret
    client, server = ek + shares[0], c + shares[1]
    secret = hash(kem_secret + classical).digest()
    lines = {
        "client_random": d + z + scalars[0],
        "server_random": scalars[1] + m,
        "client_share": client,
        "server_share": server,
    }
    write(name, source, {**lines, **finish(string(client) + string(server), string(secret), hash)})


def sntrup761x25519(name, source, seed, client_secret, server_secret):
    drawn = hashlib.shake_256(seed).digest(3 * 4 * SN + 191)
    g, f, r, rho = (drawn[4 * SN * i : 4 * SN * (i + 1)] for i in range(4))
    h, key = sntrup_key(g, f)
    c, kem_secret = sntrup_encapsulate(h, key, r)
    assert (len(key), len(c)) == (1158, 1039)
    client = key + x25519(client_secret, BASE)
    server = c + x25519(server_secret, BASE)
    classical = x25519(client_secret, x25519(server_secret, BASE))
    secret = hashlib.sha512(kem_secret + classical).digest()
    lines = {
        "client_random": g + f + rho + client_secret,
        "server_random": server_secret + r,
        "client_share": client,
        "server_share": server,
    }
    write(name, source, {**lines, **finish(string(client) + string(server), string(secret), hashlib.sha512)})


def unsigned(number):
    return mpint(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def diffie_hellman(name, source, p, hash, server_random=None, sizes=None):
    """In a numbered group or, with the sizes of a request, in the group that answers it."""
    client_random = hashlib.sha512(f"client {name}".encode()).digest()
    server_random = server_random or hashlib.sha512(f"server {name}".encode()).digest()
    x, y = exponent(client_random), exponent(server_random)
    e, f = pow(2, x, p), pow(2, y, p)
    assert pow(f, x, p) == pow(e, y, p)
    lines = {
        "client_random": client_random,
        "server_random": server_random,
        "client_share": unsigned(e)[4:],
        "server_share": unsigned(f)[4:],
    }
    before = b""
    if sizes:
        request, group = struct.pack(">III", *sizes), unsigned(p) + unsigned(2)
        lines |= {"request": b"\x22" + request, "group": b"\x1f" + group}
        before = request + group
    write(name, source, {**lines, **finish(before + unsigned(e) + unsigned(f), unsigned(pow(f, x, p)), hash)})


# RFC 7748 §6.1.
ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
ALICE_SHARE = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
BOB_SHARE = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")


class Rfc5903:
    """Section 8: both secrets, the x of both shares, and the secret they share."""

    def __init__(self, i, gix, r, grx, girx):
        self.i, self.gix, self.r, self.grx, self.girx = map(bytes.fromhex, (i, gix, r, grx, girx))

    def shared(self, curve):
        assert curve.on(curve.base) and curve.times(curve.n, curve.base) is None
        client, server = curve.point(self.i), curve.point(self.r)
        assert (client[1 : 1 + curve.length], server[1 : 1 + curve.length]) == (self.gix, self.grx)
        assert curve.agree(self.i, server) == curve.agree(self.r, client) == self.girx
        return self.girx


PAIR_256 = Rfc5903(
    "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
    "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180",
    "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
    "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63",
    "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE",
)
PAIR_384 = Rfc5903(
    "099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655E35B538041E649EE3FAEF896783AB194",
    "667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6DE3AC808ACB4BDB4C88732AEE95F41AA",
    "41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942E0308312916B8ED2960E4BD55A7448FC",
    "E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D0D1AC43A0336DEF96FDA41D0774A3571",
    "11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4D603135569B9E9D09CF5D4A270F59746",
)
PAIR_521 = Rfc5903(
    "0037ADE9319A89F4DABDB3EF411AACCCA5123C61ACAB57B5393DCE47608172A0"
    "95AA85A30FE1C2952C6771D937BA9777F5957B2639BAB072462F68C27A57382D4A52",
    "0015417E84DBF28C0AD3C278713349DC7DF153C897A1891BD98BAB4357C9ECBE"
    "E1E3BF42E00B8E380AEAE57C2D107564941885942AF5A7F4601723C4195D176CED3E",
    "0145BA99A847AF43793FDD0E872E7CDFA16BE30FDC780F97BCCC3F078380201E"
    "9C677D600B343757A3BDBF2A3163E4C2F869CCA7458AA4A4EFFC311F5CB151685EB9",
    "00D0B3975AC4B799F5BEA16D5E13E9AF971D5E9B984C9F39728B5E5739735A21"
    "9B97C356436ADC6E95BB0352F6BE64A6C2912D4EF2D0433CED2B6171640012D9460F",
    "01144C7D79AE6956BC8EDB8E7C787C4521CB086FA64407F97894E5E6B2D79B04"
    "D1427E73CA4BAA240A34786859810C06B3C715A3A8CC3151F2BEE417996D19F3DDEA",
)

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

    curves = [(256, "1", P256, hashlib.sha256, PAIR_256), (384, "2", P384, hashlib.sha384, PAIR_384), (521, "3", P521, hashlib.sha512, PAIR_521)]
    for bits, section, curve, hash, pair in curves:
        source = [f"Key pairs and secret: RFC 5903 section 8.{section}, which generate.py's own arithmetic agrees with.", HASHED]
        nistp(f"ecdh-sha2-nistp{bits}", source, curve, hash, pair)

    source = ["ML-KEM seeds d and z: NIST ACVP, ML-KEM-keyGen-FIPS203, ML-KEM-768, tcId 27. X25519 key pairs: RFC 7748",
              "section 6.1. ML-KEM computed by generate.py, which agrees with all of NIST's ACVP tests (its --check).", HASHED]
    m = hashlib.sha256(b"m").digest()
    pair, shares = (ALICE, BOB), (ALICE_SHARE, BOB_SHARE)
    mlkem("mlkem768x25519-sha256", source, KEM_768, hashlib.sha256, D, Z, m, pair, shares, SHARED)
    for name, kem, section, curve, hash, pair in [
        ("mlkem768nistp256-sha256", KEM_768, 1, P256, hashlib.sha256, PAIR_256),
        ("mlkem1024nistp384-sha384", KEM_1024, 2, P384, hashlib.sha384, PAIR_384),
    ]:
        source = ["ML-KEM seeds d and z: NIST ACVP, ML-KEM-keyGen-FIPS203, ML-KEM-768, tcId 27. Key pairs of the curve: RFC 5903",
                  f"section 8.{section}. {kem.name} and the curve computed by generate.py.", HASHED]
        shares = curve.point(pair.i), curve.point(pair.r)
        mlkem(name, source, kem, hash, D, Z, m, (pair.i, pair.r), shares, pair.shared(curve))

    source = ["Streamlined NTRU Prime computed by generate.py, its random bytes are SHAKE-256 of a word. X25519 key pairs:",
              "RFC 7748 section 6.1.", HASHED]
    sntrup761x25519("sntrup761x25519-sha512", source, b"one", ALICE, BOB)
    sntrup761x25519("sntrup761x25519-sha512@openssh.com", source, b"other", BOB, ALICE)

    # As above, a secret whose mpint is shorter than p and has a sign byte.
    p, name = GROUPS[14], "diffie-hellman-group14-sha256"
    e = pow(2, exponent(hashlib.sha512(f"client {name}".encode()).digest()), p)
    server = next(
        seed
        for seed in (hashlib.sha512(i.to_bytes(4, "big")).digest() for i in range(1 << 16))
        if pow(e, exponent(seed), p) >> 2032 in range(0x80, 0x100)
    )
    numbered = "Group {}: RFC 3526, its prime computed from the formula there and tested. Exponents: SHA-512 of a word, powers: Python."
    second = "RFC 2409 section 6.2"
    source = [numbered.format(14), "The server's exponent was searched so that the secret begins with a zero byte followed by",
              "one with its high bit set, which tests the mpint.", HASHED]
    diffie_hellman(name, source, p, hashlib.sha256, server)
    for number, hash in (15, "sha512"), (16, "sha512"), (17, "sha512"), (18, "sha512"), (14, "sha1"), (1, "sha1"):
        source = [numbered.format(number).replace("RFC 3526", second if number == 1 else "RFC 3526"), HASHED]
        diffie_hellman(f"diffie-hellman-group{number}-{hash}", source, GROUPS[number], getattr(hashlib, hash))
    for hash in "sha256", "sha1":
        source = ["A client whose ciphers want 128 bits of strength, a server with no groups but those of RFC 3526.",
                  numbered.format(15), HASHED]
        name = f"diffie-hellman-group-exchange-{hash}"
        diffie_hellman(name, source, GROUPS[15], getattr(hashlib, hash), sizes=(2048, 3072, 8192))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(*sys.argv[2:])
    else:
        main()
