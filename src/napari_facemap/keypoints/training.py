"""Training a keypoint network on labelled faces."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_facemap.keypoints.augment import Augmentation, plain_view, random_view
from napari_facemap.keypoints.decode import TARGET_SIGMA, decode_maps
from napari_facemap.keypoints.device import choose_device
from napari_facemap.keypoints.labels import LabelledFace
from napari_facemap.keypoints.network import CHANNELS, INPUT_SIZE, MAP_STRIDE, KeypointNetwork

_MAP_SIZE = INPUT_SIZE // MAP_STRIDE
_HEAT = 10.0  # sum of a target heat map, after Facemap


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained.

    Attributes
    ----------
    steps : int
        Batches in all.
    batch_size : int
        Views a batch.
    learning_rate : float
        The highest; it rises over the first tenth and falls to 0 along a cosine.
    weight_decay : float
        Of AdamW.
    simulated_share : float
        Share of each batch drawn from the second set of faces, where there is one.
    evaluate_every : int
        Steps between errors on the validation faces.
    seed : int
        Of all chance: the same options and faces give the same weights on one machine.
    augmentation : Augmentation
        How far views stray from the labelled pictures.
    """

    steps: int = 3000
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    simulated_share: float = 0.3
    evaluate_every: int = 250
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)


def train(
    faces: Sequence[LabelledFace],
    validation: Sequence[LabelledFace],
    n_keypoints: int,
    simulated: Callable[[np.random.Generator], LabelledFace] | None = None,
    options: TrainingOptions | None = None,
    device: str = "auto",
    report: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[KeypointNetwork, list[dict[str, Any]]]:
    """Train a network from nothing.

    Parameters
    ----------
    faces : sequence of LabelledFace
        To learn from; small datasets are drawn more often than their share.
    validation : sequence of LabelledFace
        Of other mice. The weights with the lowest median error on them are kept; when there are
        none, the last.
    n_keypoints : int
        Columns of the faces' labels.
    simulated : callable, optional
        Draws a simulated face; mixed in as ``options.simulated_share`` says.
    options : TrainingOptions, optional
        How to train.
    device : {"auto", "cpu", "cuda", "mps"}
        What to compute on.
    report : callable, optional
        Called with each row of the history.

    Returns
    -------
    network : KeypointNetwork
        On the CPU, in evaluation mode.
    history : list of dict
        Step, training loss, and errors on the validation faces (see `errors`).

    Raises
    ------
    ValueError
        When there is no step to train, or a validation face lacks eye or nose.
    """
    options = options or TrainingOptions()
    if options.steps < 1:
        raise ValueError(f"Expected at least 1 training step; found {options.steps}.")
    if validation and not all(np.isfinite(face_size(face.xy)) for face in validation):
        raise ValueError("Expected eye and nose labelled on every validation picture.")
    chosen = choose_device(device)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    network = KeypointNetwork(n_keypoints, CHANNELS).to(chosen, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        network.parameters(), options.learning_rate, weight_decay=options.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _Schedule(options.steps))
    chances = _chances(faces)
    history: list[dict[str, Any]] = []
    best, best_state = math.inf, None
    losses: list[float] = []
    started = time.monotonic()
    for step in range(1, options.steps + 1):
        network.train()
        images, xy = _draw_batch(faces, simulated, rng, options, chances)
        loss = _loss(network(images.to(chosen)), xy.to(chosen))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % options.evaluate_every and step != options.steps:
            continue
        row = {"step": step, "loss": float(np.mean(losses)), "seconds": time.monotonic() - started}
        losses.clear()
        if validation:
            row |= errors(network, validation, chosen)
        history.append(row)
        if report is not None:
            report(row)
        score = row.get("median", -float(step))
        if score <= best:
            best = score
            best_state = {n: v.detach().cpu().clone() for n, v in network.state_dict().items()}
    assert best_state is not None
    network = network.cpu()
    network.load_state_dict(best_state)
    return network.eval(), history


@torch.inference_mode()
def errors(
    network: nn.Module, faces: Sequence[LabelledFace], device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Errors of a network on labelled faces, each seen as a whole frame.

    Parameters
    ----------
    network : KeypointNetwork
        Is put into evaluation mode.
    faces : sequence of LabelledFace
        With labels of eye and nose: an error is the distance from the label relative to the
        distance between nose tip and the middle of the eye in that picture.
    device : torch.device or str
        Where the network is.

    Returns
    -------
    dict
        ``median`` and ``p95`` over all labels, in percent, and ``per_keypoint``, the medians in
        the network's order (None without labels).
    """
    network.eval()
    found = []
    for face in faces:
        image, xy = plain_view(face)
        maps = network(torch.from_numpy(image)[None, None].to(device))
        points = decode_maps(*maps)[0][0].cpu().numpy()
        found.append(100 * np.hypot(*(points - xy)) / face_size(xy))
    table = np.array(found)
    with np.errstate(all="ignore"):
        median = [float(np.median(c[np.isfinite(c)])) if np.isfinite(c).any() else None
                  for c in table.T]  # fmt: skip
    every = table[np.isfinite(table)]
    return {
        "median": float(np.median(every)),
        "p95": float(np.percentile(every, 95)),
        "per_keypoint": median,
    }


def face_size(xy: np.ndarray) -> float:
    """Distance from the eye's middle to the nose's tip, for labels in the order of `KEYPOINTS`.

    Labels are given as ``(2, keypoint)``; columns 0 to 3 are the eye and 8 the nose's tip.
    """
    eye, nose = np.nanmean(xy[:, :4], axis=1), xy[:, 8]
    return float(np.hypot(*(eye - nose)))


def options_card(options: TrainingOptions) -> dict[str, Any]:
    """The options as plain numbers, for a model's card."""
    return asdict(options)


class _Schedule:
    """Factor of the learning rate: linear rise, then a cosine down to 0."""

    def __init__(self, steps: int):
        self.steps, self.rise = steps, max(1, steps // 10)

    def __call__(self, step: int) -> float:
        if step < self.rise:
            return (step + 1) / self.rise
        progress = (step - self.rise) / max(1, self.steps - self.rise)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def _chances(faces: Sequence[LabelledFace]) -> np.ndarray:
    """Chance of drawing each face: a dataset counts as the square root of its pictures."""
    size = Counter(face.dataset for face in faces)
    chances = np.array([size[face.dataset] ** -0.5 for face in faces])
    return chances / chances.sum()


def _draw_batch(
    faces: Sequence[LabelledFace],
    simulated: Callable[[np.random.Generator], LabelledFace] | None,
    rng: np.random.Generator,
    options: TrainingOptions,
    chances: np.ndarray,
) -> tuple[Tensor, Tensor]:
    images, points = [], []
    for _ in range(options.batch_size):
        if simulated is not None and rng.random() < options.simulated_share:
            face = simulated(rng)
        else:
            face = faces[rng.choice(len(faces), p=chances)]
        image, xy = random_view(face, rng, options.augmentation)
        images.append(image)
        points.append(xy)
    return (
        torch.from_numpy(np.stack(images))[:, None],
        torch.from_numpy(np.stack(points)).float(),
    )


def _loss(maps: tuple[Tensor, Tensor, Tensor], xy: Tensor) -> Tensor:
    """Facemap's loss: L1 of normalised heat maps, and the offsets' distance near the keypoint.

    Keypoints without a label count nothing.
    """
    heat, row, column = maps
    axis = torch.arange(_MAP_SIZE, device=heat.device, dtype=heat.dtype)
    target = torch.nan_to_num(xy) / MAP_STRIDE
    d_column = axis[None, None, None, :] - target[:, 0, :, None, None]
    d_row = axis[None, None, :, None] - target[:, 1, :, None, None]
    squared = d_row**2 + d_column**2
    true_heat = torch.exp(-squared / (2 * TARGET_SIGMA**2))
    true_heat = _HEAT * true_heat / (1e-3 + true_heat.sum(dim=(2, 3), keepdim=True))
    heat = _HEAT * heat / (1e-4 + heat.sum(dim=(2, 3), keepdim=True))
    labelled = torch.isfinite(xy).all(dim=1)
    heat_loss = (heat - true_heat).abs().sum(dim=(2, 3))
    near = (squared <= TARGET_SIGMA**2).to(heat.dtype)
    scale = 2 * TARGET_SIGMA
    distance = torch.sqrt((row - d_row / scale) ** 2 + (column - d_column / scale) ** 2 + 1e-8)
    offset_loss = 0.5 * (near * distance).sum(dim=(2, 3))
    return ((heat_loss + offset_loss) * labelled).sum() / labelled.sum().clamp_min(1)
