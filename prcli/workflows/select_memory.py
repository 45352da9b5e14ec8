"""What a selection may hold in memory, and what it will."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property
from typing import get_args

from prcli.data.shards import share_of_rank
from prcli.parallel.memory import available_memory, format_size
from prcli.parallel.node import node_share
from prcli.parallel.plan import SelectionPlan
from prcli.records import Communicator
from prcli.workflows.hessian import common_form
from prcli.workflows.select_inputs import SelectInputs
from prcli.workflows.select_options import SelectOptions, Strategy
from prcli.workflows.select_plan import Extent, counted_kinds, plan_selection
from prcli.workflows.select_request import SelectRequest

logger = logging.getLogger(__name__)


class SelectMemory:
    """Memory of this rank, and the plans that fit into it.

    Parameters
    ----------
    request : SelectRequest
    inputs : SelectInputs
    communicator : Communicator

    Attributes
    ----------
    plan : SelectionPlan
        That of the request.

    Raises
    ------
    RequestError
        If what is asked for does not fit, an audit's selections by other strategies included.
    """

    def __init__(
        self, request: SelectRequest, inputs: SelectInputs, communicator: Communicator
    ) -> None:
        self._request = request
        self._inputs = inputs
        self._communicator = communicator
        given = request.memory
        self._memory = available_memory() if given is None else given
        if given is None and communicator.size > 1:
            self._memory //= node_share(communicator).n_ranks
        self.plan = self.planned(request.options)
        logger.info("plan: %s, of %s", self.plan, format_size(self._memory))
        if request.audit:
            for strategy in get_args(Strategy):
                self.planned(replace(request.options, strategy=strategy))

    def planned(self, options: SelectOptions) -> SelectionPlan:
        """Choose what a selection by some options will hold."""
        inputs = self._inputs
        kinds = counted_kinds(self._request.hessian_options, inputs.train, inputs.records)
        share, _ = share_of_rank(inputs.pool, self._communicator)
        # A baseline is worked out by one rank.
        pool = inputs.pool if share is None or options.strategy != "pr" else share
        extent = replace(self._extent, n_all=inputs.pool.n_structures)
        plan = plan_selection(pool, inputs.target, options, kinds, self._width, extent)
        return plan.within(self._memory)

    @cached_property
    def _width(self) -> int:
        """Columns of a row, intercepts included."""
        inputs = self._inputs
        if self._request.hessian is not None:
            return inputs.records[0].n_columns
        form = common_form(inputs.train, inputs.records, self._request.hessian_options)
        return form.n_columns

    @cached_property
    def _extent(self) -> Extent:
        """What is asked for beside the picks of one search."""
        request = self._request
        constraints, loss = request.constraints, request.hessian_options.loss
        names = self._inputs.names | {quota.key for quota in constraints.quotas}
        return Extent(
            constraints=constraints,
            refine=request.refine,
            bound=request.bound,
            copies_frames=self._inputs.copies or bool(names),
            has_weights=loss is not None,
            n_names=len(names),
        )
