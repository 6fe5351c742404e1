"""Ensemble: several models of one text as one model file, whose logits are the weighted sum of theirs.

    ModelFile, ModelFile, … and a weight each ──combined──▶ ModelFile with `members`

A product of experts (Hinton 2002), or logarithmic opinion pool: p(c) ∝ Π pᵢ(c)^wᵢ, so Σ wᵢ · logitsᵢ are its logits, and the
normalizers cancel.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from letterwise.checkpoint.model_file import MAX_MEMBERS, MAX_SHARE, ModelFile, check_members, lead
from letterwise.errors import UserError, sentence
from letterwise.ngrams import Counts
from letterwise.ngrams.storage import to_arrays


def combined(files: Sequence[ModelFile], weights: Sequence[float]) -> ModelFile:
    """An ensemble of these models, whose logits have these `weights` in the sum. The members of ensembles become its own.

    What is there once, configuration and record, is that of the first with counts, or of the first. The history is empty: what
    was validated were the members.

    Raises `UserError` where they do not go together: another vocabulary or context, lines and none, or other counts.
    """
    if not files or len(files) != len(weights):
        raise UserError(f"an ensemble of {len(files)} models cannot have {len(weights)} weights: give each model one.")
    if unfit := [weight for weight in weights if not abs(weight) <= MAX_SHARE]:
        raise UserError(f"a member's weight cannot be {unfit[0]:g}: give a number from {-MAX_SHARE:g} to {MAX_SHARE:g}.")
    members = tuple(
        replace(network, weight=float(weight * network.weight))
        for file, weight in zip(files, weights, strict=True)
        for network in file.networks
    )
    if len(members) > MAX_MEMBERS:
        raise UserError(f"an ensemble has {MAX_MEMBERS} members at most, and these are {len(members)}: leave some out.")
    first = next((file for file in files if file.counts), files[0])
    for n, file in enumerate(files):
        if file.vocabulary != first.vocabulary:
            raise UserError(f"model {n} of this ensemble knows other characters than the others: train all on one text.")
        if file.config.data.lines != first.config.data.lines:
            raise UserError(
                f"model {n} of this ensemble reads lines, or the others do, but not all: train all with --lines, or none."
            )
        if file.counts and first.counts and not same_counts(file.counts, first.counts):
            raise UserError(
                f"model {n} of this ensemble has counts of another text or order than the others: train all on one text."
            )
    try:
        check_members(members)
    except UserError as error:
        raise UserError(
            f"these models make no ensemble: {sentence(error)} Train all with one --block_size and --counts_order."
        ) from error
    config = replace(first.config, model=lead(members).model)
    return replace(first, config=config, weights={}, members=members, history=[])


def same_counts(one: Counts, other: Counts) -> bool:
    """Do they say the same?"""
    if one is other:
        return True
    first, second = to_arrays(one), to_arrays(other)
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def require_single(file: ModelFile, purpose: str) -> None:
    """Raises `UserError` for an ensemble, where only a single model will do. `purpose` is for what: "attention"."""
    if file.members:
        raise no_ensemble(purpose)


def no_ensemble(purpose: str) -> UserError:
    """What is said where an ensemble was given."""
    return UserError(
        f"{purpose} takes a single model, and this is an ensemble: give one of its members (in OUT/member-1, …), or distil it "
        "into one with `letterwise train --teacher ENSEMBLE`."
    )
