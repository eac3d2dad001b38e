"""Membership inference: whether the canary was trained on, guessed from the finished model.

A far weaker adversary than the one who sees every update (Shokri et al. 2017, doi:10.1109/SP.2017.41; by the loss: Yeom
et al. 2018, doi:10.1109/CSF.2018.00027): what a hospital that is given the released model could try. Others are trained
on beside the canary, and the weights move from step to step as in a study.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from gaitkeeper_client.proof.canary import Target
from gaitkeeper_client.training import dpsgd


def guess_by_loss(attacked: Target, count: int, number: int, *, present: bool) -> float:
    """Minus the canary's loss under the model after ``count`` steps; the larger, the likelier it was trained on."""
    del number
    people = (*attacked.others, *((attacked.canary,) if present else ()))
    model = attacked.model
    parameters = list(model.private_parameters())
    start = [parameter.detach().clone() for parameter in parameters]
    steps = replace(attacked.steps, steps=count, learning_rate=attacked.study.training.learning_rate)
    dpsgd.train_private(model, people, steps)
    with torch.inference_mode():
        logits = model(torch.from_numpy(attacked.canary.windows))
        loss = float(-torch.log_softmax(logits.double(), dim=1)[:, attacked.canary.class_index].mean())
    with torch.no_grad():
        for parameter, value in zip(parameters, start, strict=True):
            parameter.copy_(value)
    return -loss
