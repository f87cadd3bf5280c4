"""Weights of networks on disk: safetensors, which hold numbers and no code."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from gridwell.config.errors import InputError, Problem
from gridwell.config.files import whole
from gridwell.network.unet import UNet

_FORMAT = "gridwell-unet/1"
# A file of another size is not one of ours; it is refused before anything is allocated.
_MAX_BYTES = 16 * 2**20
_MAX_WIDTH = 512
_MAX_DILATIONS, _MAX_DILATION = 16, 64


def save_network(path: Path, network: UNet, facts: Mapping[str, Any] | None = None) -> None:
    """Write a folded network in half precision, same bytes for the same numbers.

    Parameters
    ----------
    path
        Where to write; replaced whole.
    network
        As `gridwell.network.unet.fold` gives it.
    facts
        What else whoever uses the network must know, as JSON can hold it.
    """
    tensors = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in sorted(network.state_dict().items())
    }
    about = network.shape | {"facts": dict(facts or {})}
    # One entry: safetensors writes several in any order.
    with whole(path) as part:
        part.write_bytes(save(tensors, {_FORMAT: json.dumps(about, sort_keys=True)}))


def load_network(path: Path) -> UNet:
    """Read a network for inference, in single precision on the CPU.

    Raises
    ------
    InputError
        If the file is missing, damaged, or does not hold a network of this kind.
    """
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        network = _shell(file.metadata() or {})[0]
        network.load_state_dict(tensors)
    if not all(math.isfinite(float(value.sum())) for value in tensors.values()):
        raise _refused(path, "the weights hold numbers that are not finite")
    return network.eval()


def load_facts(path: Path) -> dict[str, Any]:
    """Read what `save_network` was told beside the network, and its number of inputs.

    Raises
    ------
    InputError
        As `load_network`.
    """
    with _opened(path) as file:
        network, facts = _shell(file.metadata() or {})
    return facts | {"inputs": network.inputs}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file of weights; whatever is wrong with it inside is told as one mistake."""
    if not path.is_file():
        raise _refused(path, "the weights of the network are not there")
    if path.stat().st_size > _MAX_BYTES:
        raise _refused(path, f"larger than the {_MAX_BYTES >> 20} MB that weights may have")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            yield file
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        # PyTorch lists every tensor that does not fit; the first line says that it is so.
        raise _refused(
            path, f"not the weights of a network ({str(error).splitlines()[0]})"
        ) from error


def _shell(metadata: dict[str, str]) -> tuple[UNet, dict[str, Any]]:
    if _FORMAT not in metadata:
        raise ValueError(f"not of the format {_FORMAT}")
    about = json.loads(metadata[_FORMAT])
    try:
        facts = about.pop("facts", {})
        counts = [*about["widths"], about["maps"], about.get("inputs", 1)]
        dilations = about.get("dilations", [1])
        sensible = (
            len(about["widths"]) == 4
            and all(1 <= int(count) <= _MAX_WIDTH for count in counts)
            and 1 <= len(dilations) <= _MAX_DILATIONS
            and all(1 <= int(step) <= _MAX_DILATION for step in dilations)
            and isinstance(facts, dict)
        )
        network = UNet(**about) if sensible else None
    except (TypeError, KeyError, AttributeError):
        network = None
    if network is None:
        raise ValueError("its widths fit no network")
    return network, facts


def _refused(path: Path, reason: str) -> InputError:
    return InputError(
        Problem(
            file=str(path),
            reason=reason,
            remedy="Take the file from a fresh checkout of gridwell, or make it anew, "
            "as its model card says (make train-grid, make train-cells)",
        )
    )
