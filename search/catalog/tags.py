"""The training data of pretrained weights, as far as their tag names it."""

from __future__ import annotations

UNKNOWN = "?"

# Words of timm's tags that name a dataset. Other words (a lab, a recipe, a size) are skipped.
DATA = {
    "in1k": "in1k",
    "in12k": "in12k",
    "in21k": "in21k",
    "in22k": "in22k",
    "inw21k": "inw21k",
    "jft": "jft",
    "ig1b": "ig1b",
    "yfcc15m": "yfcc15m",
    "yfcc100m": "yfcc100m",
    "laion2b": "laion2b",
    "laion400m": "laion400m",
    "laiona": "laion-a",
    "webli": "webli",
    "datacomp1b": "datacomp1b",
    "datacompxl": "datacompxl",
    "dfn2b": "dfn2b",
    "dfn5b": "dfn5b",
    "dfndr2b": "dfndr2b",
    "metaclip": "metaclip",
    "metaclip2": "metaclip2",
    "merged2b": "merged2b",
    "m30m": "merged30m",
    "m38m": "merged38m",
    "lvd142m": "lvd142m",
    "lvd1689m": "lvd1689m",
    "sat493m": "sat493m",
    "sa1b": "sa1b",
    "cc12m": "cc12m",
    "ogvl": "ogvl",
    "bamboo": "bamboo",
    # A method whose paper has one dataset.
    "openai": "wit400m",  # Radford et al. 2021
    "mclip": "datacompdr",  # Vasu et al. 2023, MobileCLIP
    "florence2": "fld5b",  # Xiao et al. 2023
    "swag": "ig3.6b",  # Singh et al. 2022
    "seer": "ig1b",  # Goyal et al. 2021
    "fcmae": "in1k",  # Woo et al. 2023, ConvNeXt V2
    "mae": "in1k",  # He et al. 2021
    "dino": "in1k",  # Caron et al. 2021
    "6m": "ssld6m",  # Li et al. 2022, Next-ViT
}


def data_of(tag: str) -> str:
    """Return the datasets behind a tag in the order of training, such as ``in22k->in1k``.

    ``?`` stands for a dataset that the tag does not name.
    """
    found: list[str] = []
    for word in tag.split("_"):
        if word == "ft" and not found:
            found.append(UNKNOWN)
        name = DATA.get(word)
        if name is not None and found[-1:] != [name]:
            found.append(name)
    return "->".join(found) or UNKNOWN
