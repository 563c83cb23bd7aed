"""Several corpora in one run: how often each is read."""

from __future__ import annotations

from collections.abc import Mapping

from fathom.data.corpus.mixture import MixtureSampler
from fathom.data.sequences import Sequences
from fathom.errors import ConfigError
from fathom.recipe import Recipe


def mix(
    weights: Mapping[str, float], windows: Mapping[str, Sequences], recipe: Recipe
) -> tuple[MixtureSampler | None, list[str]]:
    """Return the sampler of several sources (None of one), and what an epoch takes of each.

    Args:
        weights: Passes over each source in an epoch.
        windows: Of each source.
        recipe: Of the run.

    Raises:
        ConfigError: A weight is so small that no window of its source is ever read.
    """
    if len(weights) < 2:
        return None, []
    for source, weight in weights.items():
        size = len(windows[source])
        if not round(weight * size):
            raise ConfigError(
                f"{weight:g} of the {size:,} windows of {source} is none: it would never be read",
                where=f"data.mixture.{source}",
                mend=f"write at least {0.6 / size:.2g}, or leave it out",
            )
    sizes = tuple(len(windows[source]) for source in weights)
    sampler = MixtureSampler(sizes, tuple(weights.values()), recipe.training.batch_size, recipe.training.seed)
    taken = ", ".join(f"{count:,} of {source}" for source, count in zip(weights, sampler.counts, strict=True))
    return sampler, [f"an epoch is {sampler.size:,} windows: {taken}"]
