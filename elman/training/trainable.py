"""What a task must give to be trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NotRequired, Protocol, TypedDict, TypeVar, runtime_checkable

from torch import Tensor, nn

B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)


class ParameterGroup(TypedDict):
    """Parameters that share a learning rate and a weight decay.

    `lr_scale` and `weight_decay_scale` multiply the settings' `lr` and weight decay; both are 1
    when left out. `elman.training.parameter_groups(model)` makes the usual two groups.
    """

    params: list[nn.Parameter]
    name: NotRequired[str]
    lr_scale: NotRequired[float]
    weight_decay_scale: NotRequired[float]


@runtime_checkable
class Batches(Protocol[B_co]):
    """One epoch's batches: a length, and the batch of an index, made when it is asked for.

    A list will do. Making batches lazily in `__getitem__` keeps memory small and lets a resumed
    run or another process skip batches without computing them.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> B_co: ...


class Trainable(Protocol[B]):
    """A model with its data and its loss, as `fit` needs them.

    Everything random outside of the model (order of the rows, augmentation) must depend only on
    the seed and the epoch. What uses torch's, numpy's or Python's global generators is
    reproduced too: `fit` seeds them and stores them in every checkpoint.

    With `devices > 1` the object is pickled and sent to the worker processes; it should be
    defined in a module, hold no open files and no lambdas.

    Optional attributes, used when present:
        `carried_state() -> dict[str, Tensor]` and `load_carried_state(dict[str, Tensor])` - tensors
        that go from batch to batch (the state of truncated backpropagation through time); they
        are stored in checkpoints.
        `sample() -> str` - what the model makes as it is, to show how it learns. Called behind
        `validate` and under the same conditions, some ten times a run; its own numbers must come
        from a seed of their own. The events and `metrics.jsonl` hold it.
    """

    @property
    def model(self) -> nn.Module:
        """The network. `fit` moves it to the device and trains it in place."""
        ...

    @property
    def monitor(self) -> str:
        """The metric, a key of what `validate` returns, by which the best weights are chosen."""
        ...

    @property
    def mode(self) -> Literal["max", "min"]:
        """Whether the monitored metric should be large or small."""
        ...

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The parameters to train, in groups. Parameters in no group stay as they are."""
        ...

    def batches(self, epoch: int) -> Batches[B]:
        """The batches of an epoch (1, 2, ...), in an order that depends only on seed and epoch."""
        ...

    def loss(self, batch: B) -> tuple[Tensor, float]:
        """The mean loss of a batch (a scalar tensor) and its weight (how many items it averages).

        The batch has already been moved to the model's device: by its own `to(device)` if it has
        one, else every tensor in nested dataclasses, named tuples, tuples, lists and dicts. Losses
        of accumulated batches and of several processes are averaged by weight, so that the result
        equals that of one large batch. Called with the model in training mode, under autocast
        when `precision` asks for it.
        """
        ...

    def validate(self) -> dict[str, float]:
        """The metrics on the validation part, `monitor` among them.

        Called without gradients, with the model in evaluation mode, on the model's device, with
        the averaged weights in place if there are any. With several processes only the first
        one calls it. The random generators are put back afterwards.
        """
        ...


def sample(trainable: Trainable[Any]) -> str | None:
    """What the model makes as it is, where the task can tell."""
    method = getattr(trainable, "sample", None)
    return None if method is None else method()


def carried_state(trainable: Trainable[Any]) -> dict[str, Tensor]:
    """The task's own tensors that go from batch to batch, or none."""
    method = getattr(trainable, "carried_state", None)
    return dict(method()) if method is not None else {}
