"""Running an encoder. The built-in one by ONNX Runtime on the CPU, one thread a call; those of the Hub by torch.

Measured on two cores: two callers with one thread each encode as many or more tiles a second than one caller with
two threads, and leave no core idle while another reads. One thread a call also fixes the order of every sum, so the
same tile gives the same bytes, whatever the number of jobs.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
import onnxruntime

from sarcnet.compendium.errors import SarcnetError
from sarcnet.features.encoders.encoder import Encoder


class EncoderRuntime(Protocol):
    """`identity` names all that shapes the features besides our code: encoder, weights, graph, library.

    Features are kept tile by tile, so those of a tile must not depend on the tiles that are encoded with it. With the
    built-in encoder they agree to the bit. With torch they agree to its rounding only, since sums may run in another order
    for another number of tiles: what is kept may differ in the last bits of float16.
    """

    encoder: Encoder
    identity: tuple[str, ...]

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        """(n, tile_px, tile_px, 3) uint8 RGB -> (n, dim) float32; may be called from many threads at once."""
        ...


def runtime_for(encoder: Encoder) -> EncoderRuntime:
    """Load an encoder's weights, ready to encode.

    Args:
        encoder: built in, or of the Hub.

    Returns:
        ONNX Runtime's or torch's; `encode` takes (n, tile_px, tile_px, 3) uint8 RGB and gives (n, dim) float32.

    Raises:
        SarcnetError: its files or a library are missing; the message says how to get them.
    """
    if encoder.hub is None:
        return Runtime(encoder)
    from sarcnet.features.encoders.hub import HubRuntime

    return HubRuntime(encoder)


class Runtime:
    """A built-in encoder under ONNX Runtime. `encode` may be called from many threads at once."""

    def __init__(self, encoder: Encoder, *, threads: int = 1) -> None:
        if encoder.onnx is None or encoder.weights is None:
            raise SarcnetError(f"{encoder.name} has no ONNX graph: use runtime_for.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        graph = encoder.onnx().read_bytes()
        self.encoder = encoder
        self.identity: tuple[str, ...] = (
            encoder.name,
            encoder.weights(),
            hashlib.sha256(graph).hexdigest(),
            f"onnxruntime {onnxruntime.__version__}",
        )
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        """(n, tile_px, tile_px, 3) uint8 RGB -> (n, dim) float32."""
        features = self._session.run(["features"], {"tiles": tiles})[0]
        return np.asarray(features, dtype=np.float32)
