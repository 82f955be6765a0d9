"""Sums whose terms the server cannot read: every pair of hospitals agrees on masks that cancel.

Flower 1.41 has SecAgg+ (Bell et al., CCS 2020) for its older interface only, where losses and numbers of patients stay
readable; this app speaks the message interface. What follows is the core of Bonawitz et al. (CCS 2017) without its
recovery of hospitals that drop out: here every hospital answers, or the run ends, so no share of a key has to leave.

Every hospital draws an X25519 key pair for the run and sends the public half. Two hospitals derive the same secret from
theirs (HKDF-SHA256), a stream of ChaCha20 from the secret and the name of the question, and hospital i adds to its
numbers, written as whole numbers modulo 2^b,

    + stream_ij   for j > i        - stream_ij   for j < i,

so that in the sum over *all* hospitals every stream has gone. A single message is uniform noise to who lacks the keys.

It protects each hospital against a server that reads but keeps to the protocol. It does not protect against a server that
hands out public keys of its own (compare their fingerprints by telephone), nor against all others together: they
subtract their parts from the sum. With two hospitals "all others" is the other one, so it is refused there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sarcnet.compendium.errors import SarcnetError

Arrays = dict[str, np.ndarray]

#: Fewest hospitals among whom a sum hides its terms.
FEWEST = 3


@dataclass(frozen=True)
class Fixed:
    """How a number is written as a whole one: x ↦ round(x / step) modulo 2^bits. bits: 32 or 64.

    The sum of K hospitals is off by at most K · step / 2, as each rounds once.
    """

    bits: int
    step: float

    @property
    def dtype(self) -> np.dtype:
        """The unsigned type of what travels."""
        return np.dtype(f"<u{self.bits // 8}")

    def write(self, array: np.ndarray, *, hospitals: int, name: str = "") -> np.ndarray:
        """As whole numbers. Raises SarcnetError for a number that is not finite, or so large that a sum over so many
        hospitals could pass the end of the range and come out as another."""
        limit = 2.0 ** (self.bits - 1) * self.step / hospitals
        values = np.asarray(array, dtype=np.float64)
        if not (np.isfinite(values).all() and (np.abs(values) < limit).all()):
            raise SarcnetError(
                f"{name or 'An array'} holds a number that is not finite or beyond ±{limit:.4g}, and cannot be hidden in a "
                f"sum of {self.bits} bits: lower learning_rate, or look at this hospital's features."
            )
        return np.rint(values / self.step).astype(np.int64).astype(self.dtype)

    def read(self, total: np.ndarray) -> np.ndarray:
        """The sum as float64."""
        return total.astype(self.dtype).view(f"<i{self.bits // 8}").astype(np.float64) * self.step


#: Sums of changes and of losses times patients; and sums of tile features' squares, which are larger.
TRAINING, STATISTICS = Fixed(32, 2.0**-20), Fixed(64, 2.0**-24)


def new_key() -> bytes:
    """A private key, drawn by the operating system: it must not follow from any seed."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_key(private: bytes) -> bytes:
    """Its public half, 32 bytes."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def mask(
    arrays: Mapping[str, np.ndarray],
    *,
    fixed: Fixed,
    own: str,
    private: bytes,
    public: Mapping[str, bytes],
    question: str,
) -> Arrays:
    """A hospital's numbers as they leave: written as whole numbers, with all its masks on.

    own: this hospital; public: every hospital's public key, its own as well; question: names the sum, and must never
    be used twice with the same keys, or the difference of two messages would be readable.
    Raises SarcnetError when there are fewer than three hospitals, or this one is not among them with its own key.
    """
    check(list(public))
    if public.get(own) != public_key(private):
        raise SarcnetError(
            f"The public keys that came with '{question}' do not hold the one {own} sent: nothing is sent."
        )
    hidden = {name: fixed.write(a, hospitals=len(public), name=name) for name, a in arrays.items()}
    for other in sorted(set(public) - {own}):
        secret = _secret(private, public[other], pair=sorted((own, other)), question=question)
        for name in sorted(hidden):
            mask = _stream(secret, name, fixed, hidden[name].shape)
            hidden[name] = hidden[name] + mask if own < other else hidden[name] - mask  # modulo 2^bits
    return hidden


def check(hospitals: Sequence[str]) -> None:
    """Raise SarcnetError when there are too few for a sum to hide anything."""
    if len(set(hospitals)) < FEWEST:
        raise SarcnetError(
            f"A secure sum needs {FEWEST} hospitals, and there are {len(set(hospitals))}: with two each subtracts its own "
            "part from the sum and holds the other's. Leave secure_sum out, and trust the coordinating site."
        )


def _secret(private: bytes, public: bytes, *, pair: Sequence[str], question: str) -> bytes:
    shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    info = "\n".join(["sarcnet secure sum", *pair, question]).encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(shared)


def _stream(secret: bytes, name: str, fixed: Fixed, shape: tuple[int, ...]) -> np.ndarray:
    """The mask of one array: its own nonce, so that no two arrays share a stream."""
    nonce = bytes(4) + hashlib.sha256(name.encode()).digest()[:12]  # 4 bytes of counter from 0
    size = int(np.prod(shape)) * fixed.bits // 8
    stream = Cipher(algorithms.ChaCha20(secret, nonce), mode=None).encryptor().update(bytes(size))
    return np.frombuffer(stream, dtype=fixed.dtype).reshape(shape)


def unmask_sum(hidden: Mapping[str, Mapping[str, np.ndarray]], *, hospitals: Sequence[str], fixed: Fixed) -> Arrays:
    """The sum over all hospitals, float64. hidden: hospital → what it sent.

    Raises SarcnetError when one is missing: without its masks the sum is noise.
    """
    missing = sorted(set(hospitals) - set(hidden))
    if missing:
        raise SarcnetError(
            f"{', '.join(missing)} did not answer, and without its masks the sum of the others is noise: start its node "
            "and run again, finished rounds are kept."
        )
    ordered = [hidden[name] for name in sorted(hidden)]
    total: Arrays = {}
    for name in sorted(ordered[0]):
        summed = np.zeros(ordered[0][name].shape, dtype=fixed.dtype)
        for own in ordered:
            summed = summed + own[name].astype(fixed.dtype)
        total[name] = fixed.read(summed)
    return total
