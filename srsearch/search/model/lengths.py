"""What a study with several lengths of training does next: a new design, or a longer training of a known one.

The model (`srsearch.analysis.fidelity`) predicts the PSNR of every design after the longest training, or, if there are
published networks in the space, as a paper would print it. The value of a
training is what its result is expected to add to the hypervolume of these predictions: with a result of the training
that lies z standard deviations above its prediction, the prediction of each design i moves by c_i z, where c_i is its
covariance with the result divided by the result's standard deviation, so

    value = E_z[V(m + c z)] - V(m),  z standard normal,

where V is the hypervolume of the designs with their costs; a new design belongs to them once it is trained. The
training with the largest value for its price is chosen. This is the knowledge gradient (Frazier, Powell, Dayanik: The
Knowledge-Gradient Policy for Correlated Normal Beliefs, INFORMS Journal on Computing 2009) of the hypervolume.

A price is the steps that a training has to do; under a time limit it is seconds, as measured trainings let expect them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from srsearch.analysis.fidelity import FidelityModel, Measured, Points, Whole
from srsearch.analysis.gaussian_process import Array
from srsearch.architecture.registry import OptionValue
from srsearch.objectives import COSTS, is_cost
from srsearch.search.model.features import Candidates, FeatureTable
from srsearch.space import Space
from srsearch.store import TrialRecord

LEAST = 8
"""Fewest finished designs before a model chooses; the first designs are spread over the range of costs."""

_ANCHORS = (0.9, 0.1, 0.5)
"""Positions of the first designs that are trained longest among the promising ones, ordered by cost: without a few such
trainings, the model has nothing but its priors to tell what longer trainings change."""

_ANCHORS_SHARE = 1 / 3
"""Largest share of what can be spent that goes into them."""

_MOST_SHORT = 240
"""Most short trainings that the model is fitted to."""

_MOST_NEW, _MOST_KNOWN = 192, 64
"""Most new designs, and most known ones, whose trainings are compared: those that could reach the front."""

_SAMPLES = 256
"""Costs at which the hypervolume is integrated."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()

_HOPE = 2.0
"""Standard deviations above its mean at which a prediction could still be true."""


@dataclass(frozen=True)
class Longer:
    """The decision for a longer training of a finished trial's design."""

    trial: int
    steps: int


@dataclass(frozen=True)
class Offer:
    """A longer training that is possible, with its price."""

    trial: int
    steps: int
    price: float


@dataclass(frozen=True)
class Seconds:
    """Seconds of a training: steps times a line over Mult-Adds, fitted to the trainings so far.

    Attributes:
        fixed: Seconds of a step whatever the design.
        slope: Seconds of a step for each of its Mult-Adds.
    """

    fixed: float
    slope: float

    @classmethod
    def of(cls, trainings: Sequence[tuple[TrialRecord, int]]) -> Seconds | None:
        """Fit the line to finished trials with their steps; None with fewer than three.

        The seconds of a training include those of a shorter one that it continued.
        """
        from scipy.optimize import nnls  # imported here because scipy takes long to import

        known = [
            (float(trial.mult_adds), trial.seconds / steps)
            for trial, steps in trainings
            if trial.state == "complete" and trial.seconds and trial.mult_adds and steps
        ]
        if len(known) < 3:
            return None
        costs, seconds = np.array(known).T
        scale = costs.max()
        rows = np.stack([np.ones_like(costs), costs / scale], axis=1) / seconds[:, None]
        (fixed, slope), _ = nnls(rows, np.ones(len(seconds)))
        return cls(float(fixed), float(slope / scale))

    def of_training(self, mult_adds: float, steps: float) -> float:
        """Seconds of a training."""
        return steps * (self.fixed + self.slope * mult_adds)


@dataclass(frozen=True)
class Offers:
    """What a study can do next besides trying a new design.

    Attributes:
        longer: The longer trainings that are possible.
        steps: Steps of the shortest training.
        total: What the study can spend in all, under a time limit what is left; None: without a limit.
        seconds: What prices are computed from under a time limit; None: prices are in shortest trainings.
    """

    longer: tuple[Offer, ...]
    steps: int
    total: float | None = None
    seconds: Seconds | None = None

    def price_of_new(self, mult_adds: Array) -> Array:
        """(n,) prices of new designs with (n,) Mult-Adds."""
        if self.seconds is None:
            return np.ones(len(mult_adds))
        return np.asarray(self.steps * (self.seconds.fixed + self.seconds.slope * mult_adds))


class LengthChooser:
    """Chooses between new designs and longer trainings. Its answers depend on its arguments alone.

    Args:
        space: The space, under the study's budget.
        lengths: Training steps, ascending.
        seed: Seed of the candidates.
        reference: Reference PSNR in dB of the study's hypervolume; by default just below the worst so far.
        printed: Published networks in the space: their values on the axes, and the PSNR in dB that a paper prints. If
            there are any, it is the printed PSNR that the model predicts and that counts.
    """

    def __init__(
        self,
        space: Space,
        lengths: Sequence[int],
        seed: int,
        reference: float | None = None,
        printed: Sequence[tuple[Mapping[str, OptionValue], float]] = (),
    ) -> None:
        self._lengths = tuple(lengths)
        self._seed = seed
        self._reference = reference
        self._table = FeatureTable(space)
        (cost,) = (name for name in space.objectives if is_cost(name))
        self._cost = self._table.costs.index(cost)
        self._mult_adds = self._table.costs.index("mult_adds")
        positions = self._table.stacked([self._table.find(axes) for axes, _ in printed])
        self._printed = self._points(self._table.rows(positions)), np.array([psnr for _, psnr in printed])

    def choose(
        self, number: int, known: Sequence[TrialRecord], longer: Sequence[TrialRecord], offers: Offers
    ) -> Longer | Mapping[str, OptionValue] | None:
        """Choose what to train next.

        Args:
            number: Number of the next trial, part of the random seed.
            known: The proposals so far.
            longer: The longer trainings so far.
            offers: The longer trainings that are possible, and prices.

        Returns:
            A longer training; the values of a new design on the axes; or None: the study's sampler chooses, because too
            few designs are finished, or no other design is left.
        """
        trials = [trial for trial in known if trial.state in ("complete", "running", "stopped") and trial.key]
        if sum(trial.state == "complete" for trial in trials) < LEAST:
            return None
        rng = np.random.default_rng([self._seed, number])
        designs = self._table.rows(self._table.stacked([self._table.find(trial.axes) for trial in trials]))
        rows = {trial.number: row for row, trial in enumerate(trials)}
        points = self._points(designs)
        model = self._model(trials, longer, rows, points, rng)
        top = model.top
        means, deviations = model.predict(points, top)
        ground = self._ground(means, model.predict(points, 0)[0])
        choices = _Choices(model, top, points, means, ground, self._sampled_costs(designs))
        front = choices.promising(means + _HOPE * deviations, _MOST_KNOWN)
        choices = choices.of(front)
        anchor = self._anchor(longer, offers, [trials[row] for row in front], points.take(front))
        if anchor is not None:
            return anchor
        best: tuple[float, Longer | Mapping[str, OptionValue] | None] = (-np.inf, None)
        offered = [offer for offer in offers.longer if rows[offer.trial] in set(front.tolist())]
        if offered:
            levels = np.array([self._lengths.index(offer.steps) for offer in offered])
            places = np.array([rows[offer.trial] for offer in offered])
            values = choices.values_of_known(points.take(places), levels)
            rates = values / np.array([offer.price for offer in offered])
            chosen = offered[int(np.argmax(rates))]
            best = float(rates.max()), Longer(chosen.trial, chosen.steps)
        candidates = self._table.candidates(rng, designs.positions, designs.positions[front])
        if len(candidates):
            values, prices = self._new_designs(candidates, choices, offers)
            rates = values / prices
            if rates.max() >= best[0]:
                return self._table.axes(candidates.positions[int(np.argmax(rates))].tolist())
        return best[1]

    def _anchor(
        self, longer: Sequence[TrialRecord], offers: Offers, promising: Sequence[TrialRecord], points: Points
    ) -> Longer | None:
        """One of the first trainings of the longest length; None if there are enough, or none can be paid."""
        longest = self._lengths[-1]
        begun = sum(trial.steps == longest and trial.state in ("complete", "running") for trial in longer)
        if begun >= len(_ANCHORS):
            return None
        room = np.inf if offers.total is None else _ANCHORS_SHARE * offers.total / (begun + 1)
        possible = {offer.trial for offer in offers.longer if offer.steps == longest and offer.price <= room}
        order = [place for place in np.argsort(points.costs, kind="stable") if promising[place].number in possible]
        if not order:
            return None
        return Longer(promising[order[round(_ANCHORS[begun] * (len(order) - 1))]].number, longest)

    def _new_designs(self, candidates: Candidates, choices: _Choices, offers: Offers) -> tuple[Array, Array]:
        """(n,) values and (n,) prices of trying candidates; 0 for those that cannot reach the front."""
        points = self._points(candidates)
        means, deviations = choices.model.predict(points, choices.top)
        hopes = choices.gains(points, means + _HOPE * deviations)
        prices = offers.price_of_new(10 ** candidates.costs[:, self._mult_adds])
        compared = np.argsort(-hopes / prices, kind="stable")[:_MOST_NEW]
        values = np.zeros(len(points))
        values[compared] = choices.values_of_new(points.take(compared), means[compared])
        return values, prices

    def _points(self, designs: Candidates) -> Points:
        return Points(designs.features, designs.costs[:, self._cost])

    def _ground(self, means: Array, short: Array) -> float:
        """The PSNR from which the hypervolume counts; printed PSNR is on other photos, and shifted by their level."""
        if self._reference is None:
            return float(means.min()) - 1e-3
        return self._reference + (float((means - short).mean()) if len(self._printed[1]) else 0.0)

    def _sampled_costs(self, designs: Candidates) -> Array:
        """(s,) costs up to the limit at which the hypervolume is integrated, and as the last one the limit."""
        low = float(designs.costs[:, self._cost].min())
        if self._cost < len(COSTS):
            low = min(low, float(self._table.span[0][self._cost]))
        return np.linspace(low, float(self._table.limits[self._cost]), _SAMPLES)

    def _model(
        self,
        trials: Sequence[TrialRecord],
        longer: Sequence[TrialRecord],
        rows: Mapping[int, int],
        points: Points,
        rng: np.random.Generator,
    ) -> FidelityModel:
        """The model of all results, with predictions in the place of results that are not there yet."""
        places: list[int] = []
        levels: list[int] = []
        values: list[float] = []
        running: list[tuple[int, int]] = []
        trained = {trial.replicate_of for trial in longer}
        short = [i for i, trial in enumerate(trials) if trial.state == "complete" and trial.psnr is not None]
        if len(short) > _MOST_SHORT:
            always = [i for i in short if trials[i].number in trained]
            others = np.array([i for i in short if trials[i].number not in trained])
            drawn = rng.choice(others, size=min(len(others), max(0, _MOST_SHORT - len(always))), replace=False)
            short = sorted({*always, *drawn.tolist()})
        for i in short:
            psnr = trials[i].psnr
            assert psnr is not None
            places, levels, values = [*places, i], [*levels, 0], [*values, psnr]
        running += [(i, 0) for i, trial in enumerate(trials) if trial.state == "running"]
        for trial in longer:
            place = None if trial.replicate_of is None else rows.get(trial.replicate_of)
            if trial.steps not in self._lengths or place is None:
                continue
            level = self._lengths.index(trial.steps)
            if trial.state == "complete" and trial.psnr is not None:
                places, levels, values = [*places, place], [*levels, level], [*values, trial.psnr]
            elif trial.state == "running":
                running.append((place, level))
        observed = Measured(points.take(places), np.array(levels, dtype=np.int64), np.array(values))
        networks, printed = self._printed
        observed = observed.followed_by(networks, np.full(len(printed), len(self._lengths)), printed)
        model = FidelityModel.fit(observed, self._table.groups, self._lengths, printed=bool(len(printed)))
        waiting = np.array(running, dtype=np.int64).reshape(-1, 2)
        return model.fantasize(points.take(waiting[:, 0]), waiting[:, 1])


@dataclass(frozen=True)
class _Choices:
    """The designs that could be on the front, and what another training would tell of them.

    Attributes:
        model: The model.
        top: Its level of the longest training.
        points: (n,) the designs.
        means: (n,) their predicted PSNR in dB after the longest training.
        ground: The PSNR in dB from which the hypervolume counts.
        costs: (s,) logarithms of costs at which it is integrated, evenly spaced up to the limit.
    """

    model: FidelityModel
    top: int
    points: Points
    means: Array
    ground: float
    costs: Array

    def of(self, rows: Whole) -> _Choices:
        """Some of the designs."""
        return _Choices(self.model, self.top, self.points.take(rows), self.means[rows], self.ground, self.costs)

    def promising(self, hopes: Array, most: int) -> Whole:
        """Positions of the designs whose ``hopes`` (n,) reach above the front; at most ``most``, the nearest ones."""
        reached = self._reached(self.points.costs, self.means)
        at = np.searchsorted(self.costs, self.points.costs).clip(0, len(self.costs) - 1)
        above = hopes - reached[at]
        order = np.argsort(-above, kind="stable")
        chosen = [i for i in order.tolist() if above[i] >= -1e-9][:most]
        return np.array(sorted(chosen or order[:1].tolist()), dtype=np.int64)

    def gains(self, points: Points, values: Array) -> Array:
        """(m,) hypervolume that designs would add with the PSNR ``values`` (m,)."""
        reached = self._reached(self.points.costs, self.means)
        higher = np.maximum(values[:, None] - reached[None], 0.0)
        return np.asarray((higher * (self.costs[None] >= points.costs[:, None])).mean(axis=1))

    def values_of_known(self, points: Points, levels: Whole) -> Array:
        """(m,) expected gains of longer trainings of known designs at (m,) levels."""
        values = np.zeros(len(points))
        for level in np.unique(levels).tolist():
            rows = np.flatnonzero(levels == level)
            moves = self._moves(points.take(rows), level)
            for row, move in zip(rows.tolist(), moves.T, strict=True):
                values[row] = self._expected(self.points.costs, self.means, move)
        return np.asarray(values - self._volume(self.means[None])[0])

    def values_of_new(self, points: Points, means: Array) -> Array:
        """(m,) expected gains of short trainings of new designs, whose predictions are (m,) ``means``."""
        moves = self._moves(points, 0)
        own = self._own_moves(points)
        values = np.zeros(len(points))
        for i in range(len(points)):
            costs = np.append(self.points.costs, points.costs[i])
            values[i] = self._expected(costs, np.append(self.means, means[i]), np.append(moves[:, i], own[i]))
        return np.asarray(values - self._volume(self.means[None])[0])

    def _moves(self, points: Points, level: int) -> Array:
        """(n, m) changes of the predictions for a result of m trainings one standard deviation above its prediction."""
        _, deviations = self.model.predict(points, level)
        spread = np.sqrt(deviations**2 + self.model.noises[level] ** 2)
        return np.asarray(self.model.covariance(self.points, self.top, points, level) / spread[None])

    def _own_moves(self, points: Points) -> Array:
        """(m,) the same for the trained designs themselves, after short trainings."""
        _, deviations = self.model.predict(points, 0)
        spread = np.sqrt(deviations**2 + self.model.noises[0] ** 2)
        return np.asarray(self.model.covariance_of_each(points, self.top, 0) / spread)

    def _expected(self, costs: Array, means: Array, moves: Array) -> float:
        """The expected hypervolume of designs with (n,) costs and means that move together."""
        return float(_WEIGHTS @ self._volume(means[None] + _NODES[:, None] * moves[None], costs))

    def _volume(self, values: Array, costs: Array | None = None) -> Array:
        """(k,) hypervolumes, divided by the range of costs, of designs with PSNR ``values`` (k, n)."""
        reached = self._reached(self.points.costs if costs is None else costs, values)
        return np.asarray((reached - self.ground).mean(axis=-1))

    def _reached(self, costs: Array, values: Array) -> Array:
        """(..., s) the highest PSNR among designs within each of the sampled costs, at least the ground."""
        at = np.searchsorted(self.costs, costs - 1e-12)  # the first sampled cost within which a design lies
        inside = at < len(self.costs)
        heights = np.full((*values.shape[:-1], len(self.costs)), self.ground)
        for place in np.flatnonzero(inside).tolist():
            heights[..., at[place]] = np.maximum(heights[..., at[place]], values[..., place])
        return np.asarray(np.maximum.accumulate(heights, axis=-1))
