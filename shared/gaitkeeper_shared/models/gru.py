"""Gated recurrent unit (Cho et al. 2014, doi:10.3115/v1/D14-1179)."""

from __future__ import annotations

from torch import nn

from gaitkeeper_shared.models.recurrent import RecurrentEncoder
from gaitkeeper_shared.models.registry import register


@register("gru")
class GruEncoder(RecurrentEncoder):
    """Mean over time of a GRU's outputs."""

    cells_of = nn.GRU
