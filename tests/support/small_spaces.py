"""Small spaces made by hand, for the tests of the space and of the samplers."""

from __future__ import annotations

from dataclasses import fields

from archfront.search.catalog import Backbone, Costs
from archfront.search.config.schema import SpaceConfig
from archfront.search.config.space_options import RecipeConfig, RulesConfig
from archfront.search.prepare.build_space import build_space
from archfront.search.space.space import Space
from archfront.trainers.spec import Weights


def backbone(
    name: str, family: str = "resnet", params_m: float = 10.0, sizes: str = "any"
) -> Backbone:
    """Return a backbone that carries each head but those that its name denies."""
    return Backbone(
        name=name,
        family=family,
        params_m=params_m,
        sizes=sizes,  # type: ignore[arg-type]  # str
        costs=((224, Costs(params_m / 5, params_m / 4, params_m)),),
        heads=tuple((head,) for head in ("timm", "avg", "gem") if f"no_{head}" not in name),
    )


def recipe_config(**changes: object) -> RecipeConfig:
    """Return grids of 2 x 2 values, with some of them changed."""
    grids: dict[str, object] = {
        "lr": (0.001, 0.003),
        "weight_decay": (0.05,),
        "batch_size": (32,),
        "augment": ("none", "light"),
        "dropout": (0.0,),
        "freeze": (False,),
        "loss": ("plain",),
        "flips": ("usual",),
        "layer_decay": (1.0,),
    }
    return RecipeConfig(**{**grids, **changes})  # type: ignore[arg-type]  # a test's own values


def space_config(**changes: object) -> SpaceConfig:
    """Return a configuration of two resnets, with some of it changed."""
    options: dict[str, object] = {
        "backbones": ("resnet18", "resnet34"),
        "exclude": (),
        "families": ("*",),
        "params_m_max": None,
        "macs_g_max": None,
        "licences": ("*",),
        "heads": ("avg", "gem"),
        "necks": ("none",),
        "widths": (64,),
        "depths": (2,),
        "input_sizes": (32, 64, 224),
        "detections": "auto",
        "weights": "none",
        "exportable": (),
        "weights_missing": "stop",
        "recipe": recipe_config(),
        "rules": RulesConfig(**{item.name: "auto" for item in fields(RulesConfig)}),
    }
    return SpaceConfig(**{**options, **changes})  # type: ignore[arg-type]  # a test's own values


# Families of 3, 2 and 1; another list of heads; one that takes its own size only.
MIXED = (
    backbone("resnet_b", params_m=20.0),
    backbone("resnet_a", params_m=10.0),
    backbone("resnet_c", params_m=40.0),
    backbone("mobile_a", "mobile", 2.0),
    backbone("mobile_no_gem", "mobile", 4.0),
    backbone("vit_fixed", "vit", 6.0, "fixed"),
)


def mixed_space(
    backbones: tuple[Backbone, ...] = MIXED, *, classes: int = 10, **changes: object
) -> Space:
    """Return the space over backbones: 116 candidates with the defaults."""
    return build_space(
        space_config(**changes),
        backbones,
        {b.name: Weights() for b in backbones},
        task="classification",
        classes=classes,
        channels=3,
    )


def lone_space() -> Space:
    """Return a space of one candidate."""
    recipe = recipe_config(lr=(0.001,), augment=("light",))
    return mixed_space(MIXED[:1], heads=("avg",), input_sizes=(32,), recipe=recipe)


def large_space(n_backbones: int = 100) -> Space:
    """Return a space of 1,000 candidates a backbone."""
    backbones = tuple(
        backbone(f"net_{i}", f"family_{i % 12}", 1.0 + i) for i in range(n_backbones)
    )
    return mixed_space(
        backbones,
        input_sizes=(32, 64, 96, 128, 224),
        recipe=recipe_config(
            lr=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
            weight_decay=(0.01, 0.05),
            batch_size=(16, 32, 64, 128, 256),
        ),
    )
