"""docs/encoders.md, written from the table of encoders: `make encoders`."""

from __future__ import annotations

from pathlib import Path

from sarcnet.compendium.files import atomic_path
from sarcnet.features.encoders.catalogue import ENCODERS
from sarcnet.features.encoders.encoder import IMAGENET_MEAN, Encoder
from sarcnet.features.encoders.hub import FOLDER_VARIABLE, TOKEN_VARIABLE, TRUST_VARIABLE

PAGE = Path(__file__).resolve().with_name("encoders.md")
INTRODUCTION = f"""# Encoders

<!-- written by `make encoders` from sarcnet/features/encoders/encoders.toml; a test compares them -->

An encoder turns a tile into a vector. Its name goes into the key `encoder` of the parameters file; `tile_px` and
`tile_um` must fit it. The default needs nothing beyond the environment. All others are networks trained on tissue;
they need the extra packages

```
pip install 'sarcnet[encoders]'
```

and their files, which most of them give only to people who accepted a licence. Read the licence: most forbid
commercial use.

- **With a network.** Open the encoder's page, ask for access where it says so, and put your token into the variable
  `{TOKEN_VARIABLE}`.
- **Without one.** Lay the files of the page (`config.json` and the weights) into `<folder>/<name>/`, for example
  `models/uni2_h/`, and set `{FOLDER_VARIABLE}` to the folder. Nothing is looked up on the network for an encoder that
  lies there.

A graphics card is used when torch finds one, in mixed precision; on the processor everything is computed in single
precision. A large vision transformer encodes a few tiles a second on a laptop: plan for a graphics card. Each feature
file remembers the encoder, the checksum of its weights and the library's version, so that changing any of them
encodes anew.

sarcnet warns when the tiles' µm/px are more than 5 % off those an encoder was trained at, and refuses tiles of
another size in pixels.
"""
NOTES = f"""
*Pooling*: **cls** is the class token; **cls+mean** adds the mean of the patch tokens, registers left out; **average**
is the mean of the last feature map; **pooler** and **image** are what the network's own code calls its output.
*Normalisation*: mean and standard deviation of red, green and blue in [0, 1]; **ImageNet** is 0.485 0.456 0.406 /
0.229 0.224 0.225.

`conch` needs its own package from GitHub; the message says which. `hibou_b` and `hibou_l` come with Python code of
their own, which runs only after you set `{TRUST_VARIABLE}=1`. Loading is tested on tiny models of the same classes
with random weights; none of the real weights could be tried where this was written.
"""


def page_text() -> str:
    """The whole page."""
    head = ["name", "network", "features", "tile, px", "µm/px", "pooling", "normalisation", "licence", "access", "page"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(_cells(encoder)) + " |" for encoder in ENCODERS.values()]
    return INTRODUCTION + "\n" + "\n".join(lines) + "\n" + NOTES


def _cells(encoder: Encoder) -> list[str]:
    hub = encoder.hub
    mpp = "any" if encoder.mpp is None else f"{encoder.mpp:g}"
    mpp += f" to {encoder.mpp_max:g}" if encoder.mpp_max else ""
    numbers = " / ".join(" ".join(f"{value:.4g}" for value in values) for values in (encoder.mean, encoder.std))
    norm = "ImageNet" if encoder.mean == IMAGENET_MEAN else numbers
    access = "built in" if hub is None else {True: "on request", False: "open", None: "see the page"}[hub.gated]
    page = "" if hub is None else f"[{hub.id}]({hub.page})"
    sizes = [f"{encoder.dim:,}", str(encoder.tile_px), mpp]
    return [f"`{encoder.name}`", encoder.source, *sizes, encoder.pooling, norm, encoder.licence, access, page]


if __name__ == "__main__":
    with atomic_path(PAGE) as part:
        part.write_text(page_text(), encoding="utf-8")
