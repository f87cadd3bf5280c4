"""Weights of networks on disk: safetensors, which hold numbers and no code."""

from __future__ import annotations

import json
import math
from pathlib import Path

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


def save_network(path: Path, network: UNet) -> None:
    """Write a folded network in half precision, same bytes for the same numbers.

    Parameters
    ----------
    path
        Where to write; replaced whole.
    network
        As `gridwell.network.unet.fold` gives it.
    """
    tensors = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in sorted(network.state_dict().items())
    }
    shape = {"widths": network.widths, "maps": network.maps}
    # One entry: safetensors writes several in any order.
    with whole(path) as part:
        part.write_bytes(save(tensors, {_FORMAT: json.dumps(shape)}))


def load_network(path: Path) -> UNet:
    """Read a network for inference, in single precision on the CPU.

    Raises
    ------
    InputError
        If the file is missing, damaged, or does not hold a network of this kind.
    """
    if not path.is_file():
        raise _refused(path, "the weights of the network are not there")
    if path.stat().st_size > _MAX_BYTES:
        raise _refused(path, f"larger than the {_MAX_BYTES >> 20} MB that weights may have")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        network = _shell(facts)
        network.load_state_dict(tensors)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        # PyTorch lists every tensor that does not fit; the first line says that it is so.
        raise _refused(
            path, f"not the weights of a network ({str(error).splitlines()[0]})"
        ) from error
    if not all(math.isfinite(float(value.sum())) for value in tensors.values()):
        raise _refused(path, "the weights hold numbers that are not finite")
    return network.eval()


def _shell(facts: dict[str, str]) -> UNet:
    if _FORMAT not in facts:
        raise ValueError(f"not of the format {_FORMAT}")
    shape = json.loads(facts[_FORMAT])
    try:
        sizes = [*shape["widths"], shape["maps"]]
        sensible = len(sizes) == 5 and all(1 <= int(size) <= _MAX_WIDTH for size in sizes)
    except (TypeError, KeyError):
        sensible = False
    if not sensible:
        raise ValueError("its widths fit no network")
    return UNet(sizes[:4], sizes[4])


def _refused(path: Path, reason: str) -> InputError:
    return InputError(
        Problem(
            file=str(path),
            reason=reason,
            remedy="Take the file from a fresh checkout of gridwell, or make it anew with "
            "make train-grid",
        )
    )
