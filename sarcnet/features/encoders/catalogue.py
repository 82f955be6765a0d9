"""All encoders by name, read from `encoders.toml`; the built-in one gets its weights and its graph here."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from sarcnet.features.encoders import mobilenetv2
from sarcnet.features.encoders.encoder import Encoder


def _read() -> dict[str, Encoder]:
    tables = tomllib.loads(Path(__file__).with_name("encoders.toml").read_text(encoding="utf-8"))
    named = {name: {"name": name, **facts} for name, facts in tables.items()}
    encoders = TypeAdapter(dict[str, Encoder]).validate_python(named)
    built_in = encoders["mobilenetv2_imagenet"]
    return encoders | {
        built_in.name: replace(
            built_in,
            weights=mobilenetv2.weights_sha256,
            onnx=lambda: mobilenetv2.onnx_graph(mean=built_in.mean, std=built_in.std),
        )
    }


ENCODERS = _read()
