"""Long short-term memory (Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735)."""

from __future__ import annotations

from torch import nn

from gaitkeeper_shared.models.recurrent import RecurrentEncoder
from gaitkeeper_shared.models.registry import register


@register("lstm")
class LstmEncoder(RecurrentEncoder):
    """Mean over time of an LSTM's outputs."""

    cells_of = nn.LSTM
