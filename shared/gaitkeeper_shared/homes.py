"""Where a site or a coordinator keeps all that it has."""

from __future__ import annotations

import os
from pathlib import Path


def home_folder(option: Path | None, variable: str, name: str) -> Path:
    """The folder that was asked for: ``option``, or what the environment's ``variable`` holds, or ``name`` in the
    user's data folder. It need not exist."""
    if option is not None:
        return option.expanduser().absolute()
    if from_environment := os.environ.get(variable):
        return Path(from_environment).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("gaitkeeper") / name
