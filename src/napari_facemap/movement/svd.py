"""Principal components of pictures over time, from a stream of any length.

Pictures come in blocks. Of each block the scatter about its mean is reduced to a few vectors
whose outer products add up to nearly all of it; two such sets are joined and reduced again, in a
tree, so that memory grows with the logarithm of the stream's length. What the difference between
two means adds to the joint scatter is one vector more (Chan, Golub and LeVeque 1979; Ross et al.,
Int. J. Computer Vision 2008). A stream that is one block is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg.blas import ssyrk
from torch import Tensor

_EXACT = 6144  # frames that are one block: their Gram matrix is found as fast as those of parts
_BLOCK = 1536
_COLUMNS = 2400  # pixels of all pictures that are looked at together
_BLOCK_BYTES = 2 << 30  # at most, of pictures that are reduced together
_TILE = 512  # of a matrix that is turned over
_FULL = 2048  # rows of a matrix whose eigenvectors are all computed
_POWERS, _DEGREE = 2, 3
_SPARE = 1.5  # as many vectors are kept on the way for each one that is wanted


Columns = Callable[[slice], Tensor]
"""Gives some pixels of all pictures, shape (picture, pixel), as float32 to be written to."""


class Scatter(NamedTuple):
    """How some pictures vary about their mean.

    Attributes
    ----------
    n : int
        Pictures.
    mean : Tensor of float64, shape (pixel,)
        Their mean.
    vectors : Tensor of float32, shape (pixel, r)
        Orthogonal, longest first; ``vectors @ vectors.T`` is nearly the sum of outer products.
    variance : float
        The sum of squares, of which ``vectors`` hold most.
    """

    n: int
    mean: Tensor
    vectors: Tensor
    variance: float


class Directions(NamedTuple):
    """Directions in which pictures vary most.

    Attributes
    ----------
    mean : Tensor of float64, shape (pixel,)
        The pictures' mean.
    variance : float
        Their sum of squares about it.
    basis : Tensor of float32, shape (pixel, component)
        Orthonormal.
    scores : Tensor of float32, shape (picture, component), or None
        Of the centred pictures, where all of them were at hand together.
    """

    mean: Tensor
    variance: float
    basis: Tensor
    scores: Tensor | None


class ComponentFinder:
    """Finds the components of pictures that come in any portions.

    Parameters
    ----------
    n_pixels : int
        Of a picture.
    n_pictures : int
        How many will come; more may.
    n_components : int
        How many are wanted, no more than can be.
    device : torch.device
        Where to compute.

    Attributes
    ----------
    is_exact : bool
        So many pictures are one block.
    """

    def __init__(self, n_pixels: int, n_pictures: int, n_components: int, device: torch.device):
        self.device = device
        self._n_components = n_components
        self._keep = int(np.ceil(_SPARE * n_components))
        fits = _BLOCK_BYTES // (4 * n_pixels)
        self.is_exact = n_pictures <= min(_EXACT, fits)
        length = n_pictures if self.is_exact else max(min(_BLOCK, fits), self._keep)
        self._shape = (max(1, length), n_pixels)
        self._n_pixels = n_pixels
        self._block: np.ndarray | None = None  # made when a picture comes
        self._filled = 0
        # One scatter for each power of two of blocks, as in a binary number.
        self._tree: dict[int, Scatter] = {}

    def add(self, pictures: np.ndarray) -> None:
        """Take pictures of shape (n, pixel), any numbers."""
        if self._block is None:
            self._block = np.empty(self._shape, np.float32)
        at = 0
        while at < len(pictures):
            if self._filled == len(self._block):
                self._reduce_block()
            part = pictures[at : at + len(self._block) - self._filled]
            self._block[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            at += len(part)

    def directions(self) -> Directions | None:
        """Directions of all pictures that came; None when they do not vary."""
        if self._block is not None and self._filled and not self._tree:
            pictures = self._block[: self._filled]
            self._filled = 0
            return self.directions_of(
                lambda part: torch.from_numpy(pictures[:, part].copy()), len(pictures)
            )
        scatter = self.scatter()
        if scatter is None or scatter.variance <= 0:
            return None
        basis, _ = basis_of(scatter.vectors[:, : self._n_components])
        return Directions(scatter.mean, scatter.variance, basis, None)

    def directions_of(self, columns: Columns, n: int) -> Directions | None:
        """Directions of `n` pictures that are at hand together, instead of those that came."""
        return exact_directions(
            lambda part: columns(part).to(self.device), n, self._n_pixels, self._n_components
        )

    def scatter(self) -> Scatter | None:
        """How all pictures so far vary; None when there were none."""
        if self._filled:
            self._reduce_block()
        whole = None
        for level in sorted(self._tree):
            part = self._tree[level]
            whole = part if whole is None else joined(whole, part, self._keep)
        return whole

    def _reduce_block(self) -> None:
        assert self._block is not None
        pictures = torch.from_numpy(self._block[: self._filled])
        scatter = scatter_of(pictures.to(self.device), self._keep)
        self._filled = 0
        level = 0
        while level in self._tree:
            scatter = joined(self._tree.pop(level), scatter, self._keep)
            level += 1
        self._tree[level] = scatter


def exact_directions(
    columns: Columns, n: int, n_pixels: int, n_components: int
) -> Directions | None:
    """Directions and scores of all pictures together.

    Parameters
    ----------
    columns : callable
        Gives some pixels of all pictures.
    n, n_pixels : int
        Pictures and their pixels.
    n_components : int
        How many are wanted, no more than can be.

    Returns
    -------
    Directions or None
        None when the pictures do not vary.
    """
    if n_pixels <= n:
        return _exact_of_few_pixels(columns(slice(0, n_pixels)), n_components)
    means: list[Tensor] = []
    inner: Tensor | None = None
    parts = [slice(at, min(at + _COLUMNS, n_pixels)) for at in range(0, n_pixels, _COLUMNS)]
    for part in parts:
        found = columns(part)
        means.append(_mean(found))
        inner = add_gram(inner, found.sub_(means[-1].float()))
    assert inner is not None  # there is a pixel
    inner = symmetric(inner)
    variance = float(inner.diagonal().double().sum())
    if not variance > 0:
        return None
    _, turn = largest(inner, n_components)
    # Made a second time, because keeping them takes more memory than making them takes time.
    vectors = [
        columns(part).sub_(mean.float()).T @ turn for part, mean in zip(parts, means, strict=True)
    ]
    basis, lengths = basis_of(torch.cat(vectors))
    # Scores by way of the Gram matrix, which is much smaller than the pictures.
    scores = inner @ turn[:, : len(lengths)]
    return Directions(
        torch.cat(means),
        variance,
        basis,
        torch.linalg.solve_triangular(lengths, scores, upper=True, left=False),
    )


def _exact_of_few_pixels(pictures: Tensor, n_components: int) -> Directions | None:
    mean = _mean(pictures)
    centred = pictures.sub_(mean.float())
    inner = gram(centred.T)
    variance = float(inner.diagonal().double().sum())
    if not variance > 0:
        return None
    values, turn = largest(inner, n_components)
    basis, _ = basis_of(turn * values.clamp(min=0).sqrt())
    return Directions(mean, variance, basis, centred @ basis)


def scatter_of(pictures: Tensor, keep: int) -> Scatter:
    """Reduce pictures of shape (n, pixel), float32, to `keep` vectors; overwrites them."""
    mean = _mean(pictures)
    centred = pictures.sub_(mean.float())
    flat = len(centred) < centred.shape[1]
    inner = gram(centred if flat else centred.T)
    values, vectors = largest(inner, keep)
    vectors = centred.T @ vectors if flat else vectors * values.clamp(min=0).sqrt()
    return Scatter(len(pictures), mean, vectors, float(inner.diagonal().double().sum()))


def _mean(pictures: Tensor) -> Tensor:
    # Float32 adds up a few quickly and well; float64 the rest.
    parts = [part.sum(0).double() for part in pictures.split(256)]
    return torch.stack(parts).sum(0) / len(pictures)


def joined(a: Scatter, b: Scatter, keep: int) -> Scatter:
    """The scatter of the pictures of both."""
    n = a.n + b.n
    apart = (a.mean - b.mean) * (a.n * b.n / n) ** 0.5
    vectors = torch.cat([a.vectors, b.vectors, apart.float()[:, None]], dim=1)
    _, turn = largest(gram(vectors.T), keep)
    mean = (a.n * a.mean + b.n * b.mean) / n
    variance = a.variance + b.variance + float(apart.square().sum())
    return Scatter(n, mean, vectors @ turn, variance)


def basis_of(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal directions of vectors of shape (pixel, component), the longest first.

    Returns
    -------
    basis : Tensor, shape (pixel, kept)
        Of the first ones; those that are too short have no direction.
    triangle : Tensor, shape (kept, kept)
        ``basis @ triangle`` are the vectors.
    """
    lengths = vectors.norm(dim=0)
    # What is nothing but rounding errors of float32, squared in a Gram matrix, has no direction.
    there = lengths > 1e-3 * lengths.max().clamp(min=1e-30)
    kept = len(there) if bool(there.all()) else int(there.int().argmin())
    vectors, lengths = vectors[:, :kept], lengths[:kept]
    # They are nearly orthogonal already, so that Cholesky's way is as good as any, and fast.
    unit = vectors / lengths
    inner = unit.T.double() @ unit.double()
    triangle, failed = torch.linalg.cholesky_ex(inner, upper=True)
    if failed:
        return torch.linalg.qr(vectors)
    triangle = triangle.to(vectors)
    basis = torch.linalg.solve_triangular(triangle, unit, upper=True, left=False)
    return basis, triangle * lengths


def turned(basis: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turn a basis so that scores on it are orthogonal over time, the longest first.

    Parameters
    ----------
    basis : Tensor of float32, shape (pixel, component)
        Orthonormal.
    scores : Tensor of float32, shape (time, component)
        Of centred pictures on it.

    Returns
    -------
    basis, scores : Tensor
        Turned. The number of largest magnitude in each column of the basis is positive.
    singular_values : Tensor of float64, shape (component,)
        Lengths of the scores' columns.
    """
    inner = torch.zeros(scores.shape[1], scores.shape[1], dtype=torch.float64)
    for part in scores.split(4096):
        inner += (part.T.double() @ part.double()).cpu()
    values, turn = torch.linalg.eigh(inner)
    values, turn = values.flip(0), turn.flip(1).to(basis)
    basis, scores = basis @ turn, scores @ turn
    largest_at = basis.abs().argmax(0, keepdim=True)
    sign = basis.gather(0, largest_at).sign()
    return basis * sign, scores * sign, values.clamp(min=0).sqrt()


def gram(rows: Tensor) -> Tensor:
    """Inner products of all pairs of rows."""
    if rows.device.type == "cpu":
        held = rows.numpy()
        # numpy sees that both sides are the same and computes one half.
        return torch.from_numpy(np.dot(held, held.T))
    return rows @ rows.T


def add_gram(inner: Tensor | None, rows: Tensor) -> Tensor:
    """Add inner products of all pairs of rows, of the lower half alone on a processor."""
    if rows.device.type != "cpu":
        products = rows @ rows.T
        return products if inner is None else inner.add_(products)
    if inner is None:
        inner = torch.zeros(len(rows), len(rows))
    # In Fortran's eyes the rows are columns, and the lower half is the upper.
    ssyrk(1.0, rows.numpy().T, beta=1.0, c=inner.numpy().T, trans=1, overwrite_c=1)
    return inner


def symmetric(inner: Tensor) -> Tensor:
    """Fill in the other half of what `add_gram` made; writes to it."""
    if inner.device.type != "cpu":
        return inner
    for start in range(0, len(inner), _TILE):
        stop = start + _TILE
        square = inner[start:stop, start:stop]
        square.copy_(square.tril() + square.tril(-1).T)
        inner[start:stop, stop:] = inner[stop:, start:stop].T
    return inner


def largest(symmetric: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Largest eigenvalues of a matrix that has none below 0, and their vectors in columns."""
    n = len(symmetric)
    keep = min(keep, n)
    if n <= _FULL or keep > n // 3:
        values, vectors = torch.linalg.eigh(symmetric)
        return values[-keep:].flip(0), vectors[:, -keep:].flip(1)
    chance = np.random.default_rng(0).standard_normal((n, keep + keep // 8 + 8), np.float32)
    space = torch.from_numpy(chance).to(symmetric)
    for _ in range(_POWERS):
        (space,) = _straightened(symmetric @ space)
    # Chebyshev's polynomial is small up to the least value in the space, and grows fast beyond.
    product = symmetric @ space
    least = float(torch.linalg.eigvalsh(_small(space, product))[0])
    earlier, space = space, product.mul_(2 / least).sub_(space)
    for _ in range(_DEGREE - 1):
        space, earlier = _straightened(space, earlier)
        earlier, space = space, (symmetric @ space).mul_(4 / least).sub_(2 * space).sub_(earlier)
    space = torch.linalg.qr(space)[0]
    values, turn = torch.linalg.eigh(_small(space, symmetric @ space))
    return values[-keep:].flip(0), space @ turn[:, -keep:].flip(1)


def _small(space: Tensor, product: Tensor) -> Tensor:
    """What a symmetric matrix is in a space, given its product with that."""
    found = space.T @ product
    return (found + found.T) / 2


def _straightened(space: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Vectors of the same space that are far from parallel; several times as fast as by QR.

    Others are mixed in the same way.
    """
    inner = space.T.double() @ space.double()
    inner.diagonal().add_(1e-13 * inner.diagonal().sum())
    triangle = torch.linalg.cholesky(inner, upper=True).to(space)
    return tuple(
        torch.linalg.solve_triangular(triangle, one, upper=True, left=False)
        for one in (space, *others)
    )
