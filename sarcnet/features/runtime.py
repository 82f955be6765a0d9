"""Running an encoder. The built-in one by ONNX Runtime on the CPU, one thread a call; those of the Hub by torch.

Measured on two cores: two callers with one thread each encode as many or more tiles a second than one caller with
two threads, and leave no core idle while another reads. One thread a call also fixes the order of every sum, so the
same tile gives the same bytes, whatever the number of jobs.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import onnxruntime

from sarcnet.compendium.faults import SarcnetError
from sarcnet.features.encoder import Encoder


class EncoderRuntime(Protocol):
    """`identity` names all that shapes the features: encoder, weights, graph, library."""

    encoder: Encoder
    identity: tuple[str, ...]

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        """(n, tile_px, tile_px, 3) uint8 RGB -> (n, dim) float32; may be called from many threads at once."""
        ...


def runtime_for(encoder: Encoder) -> EncoderRuntime:
    """The encoder, ready to encode.

    Raises:
        SarcnetError: its files or a library are missing; the message says how to get them.
    """
    if encoder.hub is None:
        return Runtime(encoder)
    from sarcnet.features.hub import HubRuntime

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
        graph = encoder.onnx()
        self.encoder = encoder
        self.identity: tuple[str, ...] = (
            encoder.name,
            encoder.weights(),
            graph.name,
            f"onnxruntime {onnxruntime.__version__}",
        )
        self._session = onnxruntime.InferenceSession(graph.read_bytes(), options, providers=["CPUExecutionProvider"])

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        """(n, tile_px, tile_px, 3) uint8 RGB -> (n, dim) float32."""
        features = self._session.run(["features"], {"tiles": tiles})[0]
        return np.asarray(features, dtype=np.float32)
