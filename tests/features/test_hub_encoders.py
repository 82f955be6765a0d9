"""Encoders of the Hub: their table, what is said when one cannot be had, and their loading, on tiny models of the same
classes with random weights. The latter runs where the packages of `sarcnet[encoders]` are installed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from docs.make_encoders import PAGE, page_text
from sarcnet.compendium.errors import SarcnetError
from sarcnet.features.encoders import hub
from sarcnet.features.encoders.encoder import Encoder
from sarcnet.features.encoders.lookup import ENCODERS, encoder_named, resolution_notes
from sarcnet.features.encoders.runtime import runtime_for

NAMED = {
    "phikon",
    "phikon_v2",
    "uni",
    "uni2_h",
    "virchow2",
    "h_optimus_0",
    "h_optimus_1",
    "h0_mini",
    "conch",
    "gigapath",
    "hibou_b",
    "hibou_l",
    "midnight",
    "lunit_dino",
}
HUB = sorted(NAMED)


def test_every_named_encoder_is_there_and_complete():
    assert set(ENCODERS) == NAMED | {"mobilenetv2_imagenet"}
    for encoder in ENCODERS.values():
        assert encoder.tile_px in (224, 448)
        assert all(0 < value < 1 for value in (*encoder.mean, *encoder.std))
        assert encoder.licence
        if encoder.hub is not None:
            assert encoder.mpp is not None
            assert encoder.pooling in ("cls", "cls+mean", "pooler", "image")
            assert encoder.hub.page == f"https://huggingface.co/{encoder.hub.id}"


def test_the_page_in_the_docs_is_the_table():
    assert PAGE.read_text(encoding="utf-8") == page_text(), "run `make encoders`"


@pytest.mark.parametrize(
    ("name", "mpp", "said"),
    [
        ("uni", 0.5, None),
        ("uni", 0.52, None),
        ("uni", 0.25, "tile_um = 112 would match"),
        ("virchow2", 1.0, None),
        ("virchow2", 4.0, "trained at 0.25 to 2 µm/px"),
        ("mobilenetv2_imagenet", 4.0, None),
    ],
)
def test_a_wrong_resolution_is_told(name, mpp, said):
    notes = resolution_notes(encoder_named(name), tile_px=224, mpp=mpp)
    assert notes == [] if said is None else said in notes[0]


class NoHub:
    """Stands in for huggingface_hub, refusing in a given way."""

    class errors:
        class HfHubHTTPError(Exception):
            pass

        class GatedRepoError(HfHubHTTPError):
            pass

    def __init__(self, error: Exception) -> None:
        self.error = error

    def snapshot_download(self, name: str, **options: object) -> str:
        raise self.error


@pytest.fixture
def refusing(monkeypatch):
    def refuse(error: Exception) -> None:
        monkeypatch.delenv(hub.FOLDER_VARIABLE, raising=False)
        monkeypatch.setattr(hub, "_library", lambda name: NoHub(error))

    return refuse


def test_a_gate_is_answered_with_the_page_and_the_variable(refusing):
    refusing(NoHub.errors.GatedRepoError("401 Client Error"))
    with pytest.raises(SarcnetError) as caught:
        hub.encoder_folder(encoder_named("uni2_h"))
    said = str(caught.value)
    for part in ("https://huggingface.co/MahmoodLab/UNI2-h", "HF_TOKEN", "SARCNET_ENCODERS", "CC-BY-NC-ND-4.0", "gate"):
        assert part in said


def test_no_network_is_answered_with_the_folder(refusing):
    refusing(ConnectionError("no route to host"))
    with pytest.raises(SarcnetError, match=r"midnight could not be fetched from .*kaiko-ai/midnight.*SARCNET_ENCODERS"):
        hub.encoder_folder(encoder_named("midnight"))


def test_code_of_a_stranger_is_not_run_unasked(monkeypatch):
    monkeypatch.delenv(hub.TRUST_VARIABLE, raising=False)
    with pytest.raises(SarcnetError, match="SARCNET_TRUST_REMOTE_CODE=1"):
        hub.encoder_folder(encoder_named("hibou_b"))


def test_a_missing_package_is_named(monkeypatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(hub.importlib, "import_module", missing)
    with pytest.raises(SarcnetError, match=r"needs the package torch.*sarcnet\[encoders\]"):
        runtime_for(encoder_named("phikon"))


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(SarcnetError, match="holds no weights"):
        hub._sha256(tmp_path)


# With the packages installed: tiny models of the same classes


TINY = {"embed_dim": 48, "depth": 2, "num_heads": 2}
ARCHITECTURES = {
    "uni": "vit_large_patch16_224",
    "uni2_h": "vit_giant_patch14_224",
    "virchow2": "vit_huge_patch14_224",
    "h_optimus_0": "vit_giant_patch14_reg4_dinov2",
    "h_optimus_1": "vit_giant_patch14_reg4_dinov2",
    "h0_mini": "vit_base_patch14_reg4_dinov2",
    "gigapath": "vit_giant_patch14_dinov2",
    "lunit_dino": "vit_small_patch16_224",
}
OF_THE_CARD = {  # what the models' config.json on the Hub holds beside the architecture
    "virchow2": {
        "init_values": 1e-5,
        "reg_tokens": 4,
        "mlp_ratio": 5.3375,
        "global_pool": "",
        "dynamic_img_size": True,
    },
    "gigapath": {"patch_size": 16, "mlp_ratio": 5.33334},
    "h0_mini": {"init_values": 1e-5, "mlp_ratio": 5.33334},
}


def lay_out_timm(folder: Path, encoder: Encoder) -> Encoder:
    """The encoder's files with a tiny network; returns the encoder with that network's size."""
    import timm
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    given = {**dict(encoder.hub.options), **TINY} if "embed_dim" in encoder.hub.options else dict(encoder.hub.options)
    classes = {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU} if encoder.hub.swiglu else {}
    arguments = {"img_size": 224, **OF_THE_CARD.get(encoder.name, {}), **TINY}
    torch.manual_seed(0)
    network = timm.create_model(ARCHITECTURES[encoder.name], num_classes=0, **{**arguments, **given, **classes})
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, folder / "model.safetensors")
    card = {"architecture": ARCHITECTURES[encoder.name], "num_classes": 0, "model_args": arguments}
    card["pretrained_cfg"] = {"input_size": [3, 224, 224], "num_classes": 0}
    (folder / "config.json").write_text(json.dumps(card))
    width = TINY["embed_dim"] * (2 if encoder.pooling == "cls+mean" else 1)
    return replace(encoder, dim=width, hub=replace(encoder.hub, options=given))


def lay_out_transformers(folder: Path, encoder: Encoder) -> Encoder:
    import torch
    import transformers

    torch.manual_seed(0)
    small = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 224}
    if encoder.name == "phikon":
        config = transformers.ViTConfig(**small, intermediate_size=96, patch_size=16)
        network = transformers.ViTModel(config, add_pooling_layer=False)
    else:
        patch = 16 if encoder.name == "phikon_v2" else 14
        network = transformers.Dinov2Model(transformers.Dinov2Config(**small, patch_size=patch, mlp_ratio=2))
    network.save_pretrained(folder)
    return replace(encoder, dim=48 * (2 if encoder.pooling == "cls+mean" else 1))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in HUB if name != "conch"])
def test_a_tiny_model_of_the_same_class_is_loaded_and_pooled(name, tmp_path, monkeypatch):
    encoder = encoder_named(name)
    library = pytest.importorskip(encoder.hub.library)
    torch = pytest.importorskip("torch")
    monkeypatch.setenv(hub.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv(hub.TRUST_VARIABLE, "1")
    lay_out = lay_out_timm if encoder.hub.library == "timm" else lay_out_transformers
    tiny = lay_out(tmp_path / name, encoder)
    runtime = runtime_for(tiny)
    tiles = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    found = runtime.encode(tiles)
    assert found.shape == (3, tiny.dim)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.abs(found - runtime.encode(tiles[::-1].copy())[::-1]).max() < 1e-5
    assert len(runtime.identity) == 4

    x = torch.tensor(tiles / 255.0, dtype=torch.float32).permute(0, 3, 1, 2)  # by hand, from the same files
    x = (x - torch.tensor(encoder.mean).view(3, 1, 1)) / torch.tensor(encoder.std).view(3, 1, 1)
    with torch.inference_mode():
        if encoder.hub.library == "timm":
            network = runtime._network.cpu()
            saved = __import__("safetensors.torch").torch.load_file(tmp_path / name / "model.safetensors")
            assert all(torch.equal(saved[key], value.cpu()) for key, value in network.state_dict().items())
            tokens, prefix = network.forward_features(x), network.num_prefix_tokens
            assert tokens.shape[1] - prefix in (196, 256)
        else:
            network = library.AutoModel.from_pretrained(tmp_path / name).eval()
            tokens, prefix = network(pixel_values=x).last_hidden_state, 1
    want = tokens[:, 0].numpy()
    if encoder.pooling == "cls+mean":
        want = np.concatenate([want, tokens[:, prefix:].numpy().mean(axis=1)], axis=1)
    assert np.abs(found - want).max() < 1e-4


@pytest.mark.filterwarnings("ignore")
def test_files_of_another_model_are_noticed(tmp_path, monkeypatch):
    pytest.importorskip("timm")
    monkeypatch.setenv(hub.FOLDER_VARIABLE, str(tmp_path))
    lay_out_timm(tmp_path / "lunit_dino", encoder_named("lunit_dino"))
    runtime = runtime_for(encoder_named("lunit_dino"))  # the table says 384 features, these files give 48
    with pytest.raises(SarcnetError, match="should give 384 features a tile but gave 48"):
        runtime.encode(np.zeros((1, 224, 224, 3), np.uint8))
