"""A text classifier as the training room wants it: batches, loss and validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from elman.data import Batch, EncodedTexts, TextConfig, bucketed, collate, shortened_lengths
from elman.tasks.blend import Scores, fit_blend, log_loss, share_right
from elman.tasks.classify_config import BatchConfig, ClassifyConfig, shapes_for, subwords_for
from elman.tasks.held_out import Owners, members_for
from elman.tasks.network import TextClassifier
from elman.tasks.transfer import rates, steps_a_layer, unfreeze
from elman.training import ParameterGroup, parameter_groups

_ROWS = 256  # rows scored at a time
_SHORT = (150, 250)  # what the default recipe keeps of a long text, in words, ...
_LETTERS = 5  # ... each of so many letters
_LONG_BATCH = 65_536  # tokens of a batch that is read letter by letter, at most


@dataclass(frozen=True)
class LazyBatches:
    """An epoch's batches, each put together when it is asked for."""

    texts: EncodedTexts
    plan: Sequence[Sequence[int]]
    config: TextConfig

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> Batch:
        config = self.config
        rows = self.plan[index]
        return collate(self.texts, rows, max_tokens=config.max_tokens, head_tail=config.head_tail)


@dataclass(frozen=True)
class FreeingBatches(LazyBatches):
    """The same over an encoder, whose layers are set free on the way.

    What is free follows from the number of the step alone, so that a resumed run has it too.

    Attributes:
        network: the classifier.
        before: steps before this epoch.
        each: steps after which one more layer is set free.
        width: batches of a step.
    """

    network: TextClassifier
    before: int
    each: int
    width: int

    def __getitem__(self, index: int) -> Batch:
        step = self.before + index // self.width
        unfreeze(self.network, self.network.layers, 1 + step // self.each)
        return super().__getitem__(index)


def lengths_of(texts: EncodedTexts, config: TextConfig) -> NDArray[np.int64]:
    """The steps of each row after shortening."""
    return shortened_lengths(texts.lengths, config.max_tokens, config.head_tail)


@torch.no_grad()
def network_scores(
    network: TextClassifier, texts: EncodedTexts, config: TextConfig, owners: Owners | None = None
) -> Scores:
    """`(rows, classes)` log-probabilities (logits with several labels), in evaluation mode.

    Args:
        owners: `(rows,)`, the one network that scores each row; by default all do, and their scores
            are averaged.
    """
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    count = len(texts.label_names)
    result = np.zeros((len(texts), count))
    plan = bucketed(lengths_of(texts, config), batch_size=_ROWS, token_budget=65536, shuffle=False)
    for batch in (LazyBatches(texts, plan, config)[k] for k in range(len(plan))):
        logits = network(batch.values.to(device), batch.lengths.to(device)).double()
        scores = log_scores(logits, texts.several_labels).cpu().numpy()
        rows = np.arange(len(batch.rows))
        alone = None if owners is None else scores[owners[batch.rows], rows]
        result[batch.rows] = scores.mean(axis=0) if alone is None else alone
    network.train(training)
    return result


def log_scores(logits: Tensor, several: bool) -> Tensor:
    """The network's outputs as one score a class: log-probabilities, or logits with several."""
    if several:
        return logits
    if logits.shape[-1] == 1:  # one output answers a yes/no question
        logits = torch.cat([-logits, logits], dim=-1) / 2
    return functional.log_softmax(logits, dim=-1)


class ClassifierTraining:
    """The `Trainable` of the text classifier.

    Args:
        network: what is trained.
        train, valid: the encoded parts; `valid` may be empty.
        owners: for both parts the network that leaves out a row (`held_out.owners_of`), and scores
            it in validation; None where the parts share no row.
        floor: `(valid rows, classes)` scores of the floor, if it is blended in.
        config: every setting.
    """

    monitor = "log_loss"
    mode: Literal["max", "min"] = "min"

    def __init__(
        self,
        network: TextClassifier,
        train: EncodedTexts,
        valid: EncodedTexts,
        floor: Scores | None,
        config: ClassifyConfig,
        owners: tuple[Owners, Owners] | None = None,
    ) -> None:
        self.model = network
        self._owners, self._own = owners or (None, None)
        self._train, self._valid = train, valid
        self._floor = floor
        self._config = config
        self._weights = class_weights(train) if config.batch.balance == "weights" else None
        self._targets = valid.targets(range(len(valid)))

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Weight decay on matrices only; none on the words' vectors."""
        model = self._config.model
        if self.model.layers:
            scales = rates(self.model, self.model.layers, model.slower)
            return parameter_groups(self.model, lr_scales=scales)
        return parameter_groups(self.model)

    def batches(self, epoch: int) -> LazyBatches:
        """The batches of an epoch; their order depends on the seed and the epoch only."""
        config = self._config
        passes = config.batch.passes
        numbers = range((epoch - 1) * passes + 1, epoch * passes + 1)
        plan = [batch for number in numbers for batch in self._one_pass(number)]
        if self.model.layers and config.model.unfreeze:
            return self._freeing(plan, epoch)
        return LazyBatches(self._train, plan, config.data)

    def _freeing(self, plan: list[list[int]], epoch: int) -> FreeingBatches:
        """The batches of an epoch, during which layers may be set free."""
        config, training = self._config.data, self._config.training
        width = training.accumulate * training.devices
        steps = -(-len(plan) // width)
        tokens = float(lengths_of(self._train, config).sum()) * self._config.batch.passes / steps
        layers = self.model.layers
        each = steps_a_layer(training.epochs * steps, layers, training.minutes, tokens)
        before = (epoch - 1) * steps
        return FreeingBatches(self._train, plan, config, self.model, before, each, width)

    def _one_pass(self, number: int) -> list[list[int]]:
        """The rows of each batch of a pass over the training part."""
        config = self._config
        rows, seed = None, config.training.seed
        if config.batch.balance == "sampler":
            rows = balanced_rows(self._train, seed, number)
        lengths = lengths_of(self._train, config.data)
        plan = bucketed(
            lengths if rows is None else lengths[rows],
            batch_size=batch_rows(config.batch, len(self._train)),
            token_budget=config.batch.tokens,
            seed=seed,
            epoch=number,
        )
        if rows is not None:
            plan = [[int(rows[place]) for place in batch] for batch in plan]
        return plan

    def loss(self, batch: Batch) -> tuple[Tensor, float]:
        """Cross-entropy: over classes, or of each label alone when there may be several.

        The networks of an ensemble learn apart: Adam does not mind the mean of their losses.
        """
        members = self.model(batch.values, batch.lengths)
        losses = [self._loss(*self._learnt(k, logits, batch)) for k, logits in enumerate(members)]
        return torch.stack(losses).mean(), float(len(batch.rows))

    def _learnt(self, member: int, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scores and targets of the rows that a network does not leave out."""
        if self._owners is None:
            return logits, batch.targets
        kept = torch.from_numpy(self._owners[batch.rows] != member).to(logits.device)
        return logits[kept], batch.targets[kept]

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        if not len(logits):  # the network leaves out every row of the batch
            return logits.sum()
        weights = None if self._weights is None else self._weights.to(logits)
        smoothing = self._config.model.label_smoothing
        if self._train.several_labels:
            target = targets.to(logits)
            return functional.binary_cross_entropy_with_logits(logits, target, pos_weight=weights)
        if logits.shape[1] == 1:
            target = targets.to(logits)[:, None]
            factor = None if weights is None else weights[targets][:, None]
            soft = target * (1 - smoothing) + smoothing / 2
            return functional.binary_cross_entropy_with_logits(logits, soft, weight=factor)
        return functional.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing)

    def validate(self) -> dict[str, float]:
        """Loss and accuracy on the validation part, calibrated and blended as in the end."""
        scores = network_scores(self.model, self._valid, self._config.data, self._own)
        several = self._valid.several_labels
        blend = fit_blend(scores, self._floor, self._targets, several=several)
        mixed = blend.scores(scores, self._floor) / blend.temperature
        found = {"log_loss": log_loss(mixed, self._targets, several)}
        found["accuracy"] = share_right(mixed, self._targets, several)
        if self._floor is not None:
            found["network_accuracy"] = share_right(scores, self._targets, several)
        return found


def settled(
    config: ClassifyConfig, rows: int, level: str, networks: int | None = None
) -> ClassifyConfig:
    """The settings with what they leave to the number of rows and the kind of pieces decided.

    Args:
        config: the settings.
        rows: of the training part.
        level: of the tokeniser's pieces.
        networks: how many answer together, where the rows that were split off went by it.
    """
    batch, model, training = config.batch, config.model, config.training
    if "epochs" not in training.model_fields_set:
        training = training.model_copy(update={"epochs": epochs_for(rows)})
        if "passes" not in batch.model_fields_set:
            batch = batch.model_copy(update={"passes": passes_for(batch, rows)})
    if model.members is None:
        model = model.model_copy(update={"members": networks or members_for(model, rows)})
    if model.pooling == "last" and "segment" not in model.model_fields_set:
        model = model.model_copy(update={"segment": 0})  # the last step has to have read them all
    words = {"subwords": subwords_for(model, rows, level), "shapes": shapes_for(model, rows, level)}
    model = model.model_copy(update=words)
    made = config.model_copy(update={"batch": batch, "model": model, "training": training})
    return made if model.encoder is None else _over_encoder(made, level)


def _over_encoder(config: ClassifyConfig, level: str) -> ClassifyConfig:
    """The settings of a classifier that goes on from a language model, where they are left open."""
    batch, data, training = config.batch, config.data, config.training
    if "precision" not in training.model_fields_set:  # as the language model was trained
        training = training.model_copy(update={"precision": "auto"})
    if level in ("char", "byte") and data.head_tail == _SHORT:
        head, tail = _SHORT
        data = data.model_copy(update={"head_tail": (_LETTERS * head, _LETTERS * tail)})
        batch = batch.model_copy(update={"tokens": batch.tokens or _LONG_BATCH})
    return config.model_copy(update={"batch": batch, "data": data, "training": training})


def passes_for(config: BatchConfig, rows: int) -> int:
    """Passes between two validations: so many that a handful of rows gives some 20 steps."""
    size = batch_rows(config, rows)
    return 1 if size is None else max(1, round(20 * size / max(1, rows)))


def epochs_for(rows: int) -> int:
    """Passes over a training part of so many rows: some 100 000 texts are seen in all."""
    return int(min(15, max(4, round(100_000 / max(1, rows)))))


def batch_rows(config: BatchConfig, rows: int) -> int | None:
    """Rows in a batch: small sets take smaller batches, so that an epoch has some 50 steps."""
    if config.size is None:
        return None
    return max(8, min(config.size, rows // 50))


def class_weights(texts: EncodedTexts) -> Tensor:
    """One weight a class, so that every class weighs the same in the loss.

    With several labels: how much a positive counts for, negatives over positives, at most 20.
    """
    counts = np.bincount(texts.label_ids, minlength=len(texts.label_names)).clip(min=1)
    if texts.several_labels:
        return torch.tensor(((len(texts) - counts) / counts).clip(0.05, 20), dtype=torch.float32)
    return torch.tensor(len(texts) / (len(counts) * counts), dtype=torch.float32)


def balanced_rows(texts: EncodedTexts, seed: int, epoch: int) -> NDArray[np.int64]:
    """As many rows as the set has, drawn so that every class comes up equally often."""
    random = np.random.default_rng([seed, epoch, 0xBA1A])
    counts = np.bincount(texts.label_ids, minlength=len(texts.label_names)).clip(min=1)
    weight = np.array([max((1 / counts[k] for k in label), default=0.0) for label in texts.labels])
    if weight.sum() == 0:
        return np.arange(len(texts))
    return random.choice(len(texts), size=len(texts), p=weight / weight.sum())
