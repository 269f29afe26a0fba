"""An Optuna storage that holds a study rebuilt from srsearch's records, for one proposal.

Optuna's in-memory storage copies every trial that is added to it, which takes seconds for ten thousand trials, at every
proposal. This storage serves the given trials without a copy, since samplers only read them, and records what the
sampler writes.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

STUDY_NAME = "rebuilt"
_STUDY_ID = 0


class RebuiltStorage(BaseStorage):
    """One study with finished and running trials, which cannot change, and one new trial.

    Args:
        directions: Directions of the objectives.
        trials: The trials in order; the number and identifier of each has to be its position.
        attributes: The study's system attributes, which a sampler wrote at earlier proposals.
    """

    def __init__(
        self, directions: Sequence[StudyDirection], trials: Sequence[FrozenTrial], attributes: Mapping[str, Any]
    ) -> None:
        self._directions = list(directions)
        self._trials = list(trials)
        self._given = len(trials)
        self._attributes = dict(attributes)
        self.written: dict[str, Any] = {}
        """System attributes that the sampler has written since, by name."""

    @property
    def asked(self) -> FrozenTrial:
        """The new trial."""
        return self._trials[self._given]

    def get_study_id_from_name(self, study_name: str) -> int:
        return _STUDY_ID

    def get_study_name_from_id(self, study_id: int) -> str:
        return STUDY_NAME

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._attributes | self.written

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self.written[key] = value

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        number = len(self._trials)
        if number != self._given or template_trial is not None:
            _refuse()
        trial = FrozenTrial(
            number=number,
            trial_id=number,
            state=TrialState.RUNNING,
            value=None,
            datetime_start=datetime.now(),
            datetime_complete=None,
            params={},
            distributions={},
            user_attrs={},
            system_attrs={},
            intermediate_values={},
        )
        self._trials.append(trial)
        return number

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        trial = self._changeable(trial_id)
        trial.params = trial.params | {param_name: distribution.to_external_repr(param_value_internal)}
        trial.distributions = trial.distributions | {param_name: distribution}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        trial = self._changeable(trial_id)
        trial.system_attrs = trial.system_attrs | {key: value}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._trials[trial_id]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = [trial for trial in self._trials if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def _changeable(self, trial_id: int) -> FrozenTrial:
        """Replace the new trial by a copy and return that, so that references to the old one do not change."""
        if trial_id != self._given:
            _refuse()
        self._trials[trial_id] = copy.copy(self._trials[trial_id])
        return self._trials[trial_id]

    # Samplers do none of the following.

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> NoReturn:
        _refuse()

    def delete_study(self, study_id: int) -> NoReturn:
        _refuse()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> NoReturn:
        _refuse()

    def get_all_studies(self) -> NoReturn:
        _refuse()

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> NoReturn:
        _refuse()

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> NoReturn:
        _refuse()

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> NoReturn:
        _refuse()


def _refuse() -> NoReturn:
    raise NotImplementedError("a rebuilt study accepts one new trial and no other change")
