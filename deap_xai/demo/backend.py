"""The demo networks as a backend: what ``--model demo`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deap_xai.demo.creatures import CLASS_NAMES, SIZE
from deap_xai.demo.networks import MEAN, STD, network

if TYPE_CHECKING:
    from deap_xai.backends.torch_module import TorchBackend

__all__ = ["backend"]


def backend(
    *, name: str = "resnet", device: Any = None, batch_size: int | None = None
) -> TorchBackend:
    """A demo network: resnet, densenet, mobilenet, or the cheater that reads the watermark.

    Parameters
    ----------
    name
        Which network.
    device, batch_size
        As for :class:`~deap_xai.backends.torch_module.TorchBackend`.

    Examples
    --------
    >>> backend(name="mobilenet").class_names[0]
    'fanlop'
    """
    from torchvision import transforms

    from deap_xai.backends.torch_module import TorchBackend

    steps = [
        transforms.Resize(SIZE),
        transforms.CenterCrop(SIZE),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    made = TorchBackend(
        # In double precision the answers are the same to the last bit at any batch size.
        network(name).double(),
        transform=transforms.Compose(steps),
        class_names=CLASS_NAMES,
        device=device,
        batch_size=batch_size,
    )
    made.name = f"demo:name={name}"
    made.measure_batch_size = False  # so small that measuring costs more than it gains
    return made
