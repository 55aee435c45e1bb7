"""The table of readers; importing it imports neither torch nor scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trainers.data.digits import read_digits
from trainers.data.folder import read_folder
from trainers.data.named import read_torchvision
from trainers.data.raw import RawData
from trainers.data.ref import DataRef

READERS: Mapping[str, Callable[[DataRef], RawData]] = {
    "digits": read_digits,
    "folder": read_folder,
    "torchvision": read_torchvision,
}
