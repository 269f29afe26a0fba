"""Random training patches, cut from photos in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from srsearch.data.pairs import Pair

_TURNS = {"dihedral": 7, "flip": 2, "none": 0}
"""Which bits of a number from 0 to 7 each augmentation uses; see `_turned`."""


class Place(NamedTuple):
    """Where a patch is cut from.

    Attributes:
        photo: Number of the photo.
        row: First row of the patch in the LR image.
        column: Its first column.
        turn: Number of its flip or rotation, from 0 to 7.
    """

    photo: int
    row: int
    column: int
    turn: int


class PatchSampler:
    """Draws random batches of LR and HR patches without end; equal seeds give equal batches.

    Every position in every photo is equally likely, and so is each of the eight flips and rotations. The photos stay in
    memory as uint8. A batch of 8 takes about a millisecond, so that data loader processes would not help.

    Args:
        pairs: Photos to cut patches from.
        patch: Side of an LR patch in pixels; at most the shortest LR side.
        batch: Number of patches in a batch.
        scale: HR pixels per LR pixel along a side.
        seed: Seed of the sampler's own generator.
        device: Device of the batches.
        augmentation: ``dihedral``, all eight flips and rotations; ``flip``, left to right only; or ``none``.
        part: Number of a process and of all processes that share each batch: the first gets the patches that come
            first. All of them draw the same batch.

    Raises:
        ValueError: There are no pairs, or one is smaller than a patch.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        patch: int,
        batch: int,
        scale: int,
        seed: int,
        device: str | torch.device = "cpu",
        *,
        augmentation: str = "dihedral",
        part: tuple[int, int] = (0, 1),
    ) -> None:
        if not pairs:
            raise ValueError("no photos to cut patches from")
        for pair in pairs:
            if min(pair.lr.shape[:2]) < patch:
                raise ValueError(f"the LR image of {pair.name} is smaller than a patch of {patch}x{patch}")
        self._photos = [(torch.from_numpy(pair.lr), torch.from_numpy(pair.hr)) for pair in pairs]
        # A number drawn below the sum of all photos' patch positions identifies a photo and a position in it.
        self._columns = [pair.lr.shape[1] - patch + 1 for pair in pairs]
        counts = [(pair.lr.shape[0] - patch + 1) * columns for pair, columns in zip(pairs, self._columns, strict=True)]
        self._ends = torch.tensor(counts).cumsum(0)
        self._patch, self._batch, self._scale = patch, batch, scale
        self._device = torch.device(device)
        self._turns = _TURNS[augmentation]
        number, count = part
        self._own = slice(number * batch // count, (number + 1) * batch // count)
        self._generator = torch.Generator().manual_seed(seed)

    @property
    def state(self) -> Tensor:
        """The state of the generator, which determines the next batches; set it to resume there."""
        return self._generator.get_state()

    @state.setter
    def state(self, state: Tensor) -> None:
        self._generator.set_state(state)

    def next(self) -> tuple[Tensor, Tensor]:
        """The next batch.

        Returns:
            LR (n, 3, p, p) and HR (n, 3, scale * p, scale * p): float32, 0..1, channels-last in memory.
        """
        cuts = [self._cut(place) for place in self._drawn()]
        return self._stack([lr for lr, _ in cuts]), self._stack([hr for _, hr in cuts])

    def _drawn(self) -> list[Place]:
        """The places of the next batch, those of this process."""
        drawn = torch.randint(int(self._ends[-1]), (self._batch,), generator=self._generator)
        turns = torch.randint(8, (self._batch,), generator=self._generator).tolist()
        photos = torch.searchsorted(self._ends, drawn, right=True).tolist()
        # All processes look at the whole batch, so that they agree on what can be used.
        places = [
            self._place(photo, position, turn & self._turns)
            for photo, position, turn in zip(photos, drawn.tolist(), turns, strict=True)
        ]
        return places[self._own]

    def _place(self, photo: int, drawn: int, turn: int) -> Place:
        """The photo to cut a patch from, and where."""
        row, column = divmod(drawn - self._first(photo), self._columns[photo])
        return Place(photo, row, column, turn)

    def _first(self, photo: int) -> int:
        """The number of a photo's first position."""
        return int(self._ends[photo - 1]) if photo else 0

    def _cut(self, place: Place) -> tuple[Tensor, Tensor]:
        lr, hr = self._photos[place.photo]
        side, scale, row, column = self._patch, self._scale, place.row, place.column
        lr = lr[row : row + side, column : column + side]
        hr = hr[row * scale : (row + side) * scale, column * scale : (column + side) * scale]
        return _turned(lr, place.turn), _turned(hr, place.turn)

    def _stack(self, patches: list[Tensor]) -> Tensor:
        """n patches uint8 (h, w, 3) to float32 (n, 3, h, w) without moving the channels in memory."""
        return torch.stack(patches).to(self._device).permute(0, 3, 1, 2).float().div_(255)


def _turned(patch: Tensor, turn: int) -> Tensor:
    """One of the eight flips and rotations of a square (h, w, 3)."""
    if turn & 4:
        patch = patch.transpose(0, 1)
    flips = [axis for axis in (0, 1) if turn & (1 << axis)]
    return patch.flip(flips) if flips else patch
