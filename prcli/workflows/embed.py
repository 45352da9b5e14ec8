"""Small structures around single atoms of a large one, ranked by what they teach a model."""

from __future__ import annotations

import logging

from prcli.errors import RequestError
from prcli.records import Progress, no_progress
from prcli.workflows.embed_build import build_small, read_crystal
from prcli.workflows.embed_centres import find_centres
from prcli.workflows.embed_features import LargeFeatures, Model, make_model
from prcli.workflows.embed_judgement import judged
from prcli.workflows.embed_labels import inherited
from prcli.workflows.embed_request import EmbedRequest
from prcli.workflows.embedding import Embedding
from prcli.workflows.hessian_options import override
from prcli.workflows.inputs import load_hessian
from prcli.workflows.one_structure import OneStructure, read_one

logger = logging.getLogger(__name__)


def embed(request: EmbedRequest, progress: Progress = no_progress) -> Embedding:
    """Build small structures, and find out what they gain where there is a model.

    Parameters
    ----------
    request : EmbedRequest
    progress : callable

    Returns
    -------
    embedding : Embedding

    Raises
    ------
    RequestError
        If atoms, lengths or the crystal cannot be used as asked.
    MismatchError, FeatureError, FormatError, InputFileError
        If inputs cannot be used, or do not go together.
    """
    structure = read_one(request.structure, "the large structure")
    labels = inherited(structure, request.keep)
    crystal = None if request.crystal is None else read_crystal(request.crystal)
    model, cutoff = _model_and_cutoff(request, structure, crystal)
    geometry = request.geometry(cutoff)
    n_centres = len(set(request.atoms)) or request.lowest or 1
    _check_choice(request, n_centres)
    large = None if model is None else LargeFeatures(model, structure, cutoff, progress)
    separation = cutoff if request.separation is None else request.separation
    centres = find_centres(request, structure, large, separation)
    small = list(build_small(request, geometry, structure, crystal, centres, progress))
    embedding = Embedding(request, geometry, structure, crystal, centres, {}, labels, tuple(small))
    if model is None or large is None:
        return embedding
    return judged(embedding, model, large, progress)


def _model_and_cutoff(
    request: EmbedRequest, structure: OneStructure, crystal: OneStructure | None
) -> tuple[Model | None, float]:
    """Make the model where there is one, and settle how large an environment is."""
    if request.hessian is None:
        if request.cutoff is None:
            raise RequestError(
                "it is not known how large an environment is",
                where="--cutoff",
                expected="a radius in angstrom, as far as the model sees, or --featurizer",
            )
        return None, request.cutoff
    record = override(load_hessian(request.hessian), request.hessian_options)
    present = [structure] if crystal is None else [structure, crystal]
    model = make_model(record, request.inputs, present)
    reach, cutoff = model.reach, request.cutoff
    if cutoff is None and reach is None:
        raise RequestError(
            "the featurizer does not say how far it sees",
            where=f"--cutoff, {model.featurizer.name}",
            expected="a radius in angstrom",
        )
    if cutoff is not None and reach is not None and cutoff < reach:
        raise RequestError(
            "the environment is smaller than what the featurizer sees",
            where="--cutoff",
            expected=f"at least {reach:g} angstrom",
            got=f"{cutoff:g}",
        )
    if cutoff is None:
        logger.info("environments have the cutoff of the featurizer, %g angstrom", reach)
    return model, float(reach if cutoff is None else cutoff)  # type: ignore[arg-type]


def _check_choice(request: EmbedRequest, n_centres: int) -> None:
    """Refuse to choose more structures than there will be."""
    wanted, strategies = request.choice.n_to_choose, request.chosen_strategies
    n_each = sum(1 if strategy == "carve" else request.n_draws for strategy in strategies)
    n_small = n_centres * n_each + ("high-symmetry" in strategies)
    if wanted is not None and wanted > n_small:
        raise RequestError(
            "there are fewer structures than are to be chosen",
            where="--choose",
            expected=f"at most {n_small}",
            got=str(wanted),
            remedy="choose fewer, or draw more with -n",
        )
