"""Pretrained timm networks of ``plain_transfer.py``: their features, heads and latencies."""

from __future__ import annotations

import io
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import timm
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

STRENGTHS = (0.01, 0.1, 1.0)  # scikit-learn's C, on standardized features
EVAL_BATCH = 64

Split = tuple[Tensor, NDArray[Any]]  # uint8 images (N, 3, S, S) and labels (N,)


def network_of(name: str, weights: Path, classes: int) -> nn.Module:
    """Return a pretrained timm network in evaluation mode, with a new linear classifier."""
    files = sorted(weights.glob(f"{name}.*safetensors"))
    if not files:
        raise SystemExit(f"{weights} has no {name}.*safetensors. Give the folder of its weights.")
    overlay = {"file": str(files[0])}
    network = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=classes
    )
    if not isinstance(network.get_classifier(), nn.Linear):
        raise SystemExit(f"The classifier of {name} is not one linear layer. Leave it out.")
    return network.to(memory_format=torch.channels_last).eval()


def normalized(network: nn.Module, pixels: Tensor) -> Tensor:
    config = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return ((pixels / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def features_of(network: nn.Module, images: Tensor) -> NDArray[Any]:
    """Return what the classifier gets of each image, ``(N, D)``."""
    parts = [
        network.forward_head(
            network.forward_features(normalized(network, pixels)), pre_logits=True
        )
        for pixels in images.split(EVAL_BATCH)
    ]
    return torch.cat(parts).numpy()


@torch.inference_mode()
def predictions_of(network: nn.Module, images: Tensor) -> NDArray[Any]:
    network.eval()
    parts = [network(normalized(network, pixels)) for pixels in images.split(EVAL_BATCH)]
    return torch.cat(parts).argmax(dim=1).numpy()


def metrics_of(predicted: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class that is predicted and has no image
        balanced = float(balanced_accuracy_score(labels, predicted))
    return {"accuracy": float((predicted == labels).mean()), "balanced_accuracy": balanced}


def fit_head(network: nn.Module, train: Split, val: Split, metric: str, seed: int) -> NDArray[Any]:
    """Fit the classifier to features and return the labels that it gives to the val images."""
    scaler = StandardScaler().fit(raw := features_of(network, train[0]))
    features = scaler.transform(raw)
    val_features = scaler.transform(features_of(network, val[0]))
    weight = "balanced" if metric == "balanced_accuracy" else None
    fits = []
    for strength in STRENGTHS:
        model = LogisticRegression(
            C=strength, class_weight=weight, max_iter=300, random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 300 iterations are enough to choose by
            model.fit(features, train[1])
        predicted = model.predict(val_features)
        fits.append((metrics_of(predicted, val[1])[metric], predicted, model))
    _, predicted, model = max(fits, key=lambda fit: fit[0])
    slopes, offsets = model.coef_, model.intercept_
    if len(slopes) == 1:  # scikit-learn has one score for two classes
        slopes, offsets = (np.concatenate([-v / 2, v / 2]) for v in (slopes, offsets))
    slopes = slopes / scaler.scale_
    classifier = network.get_classifier()
    with torch.no_grad():
        classifier.weight.copy_(torch.from_numpy(slopes))
        classifier.bias.copy_(torch.from_numpy(offsets - slopes @ scaler.mean_))
    return predicted


def latency_of(network: nn.Module, size: int, threads: int) -> float:
    """Return the median milliseconds of 50 runs of one image on ONNX Runtime, after 10 runs."""
    image, file = torch.randn(1, 3, size, size), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is called deprecated
        torch.onnx.export(network, (image,), file, dynamo=False, input_names=["images"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        file.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    times = []
    for _ in range(60):
        start = time.perf_counter()
        session.run(None, {"images": image.numpy()})
        times.append(1000 * (time.perf_counter() - start))
    return median(times[10:])
