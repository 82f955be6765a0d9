"""Running an encoder: ONNX Runtime on the CPU, one thread a call.

Measured on two cores: two callers with one thread each encode as many or more tiles a second than one caller with
two threads, and leave no core idle while another reads. One thread a call also fixes the order of every sum, so the
same tile gives the same bytes, whatever the number of jobs.
"""

from __future__ import annotations

import numpy as np
import onnxruntime

from sarcnet.features.encoders import Encoder


class Runtime:
    """`encode` may be called from many threads at once."""

    def __init__(self, encoder: Encoder, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.encoder = encoder
        self._session = onnxruntime.InferenceSession(
            encoder.onnx().read_bytes(), options, providers=["CPUExecutionProvider"]
        )

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        """(n, tile_px, tile_px, 3) uint8 RGB -> (n, dim) float32."""
        features = self._session.run(["features"], {"tiles": tiles})[0]
        return np.asarray(features, dtype=np.float32)
