"""A complete study with every key explained, to start from. A test holds that it parses."""

from __future__ import annotations

EXAMPLE_STUDY = """\
# A Gaitkeeper study: what is learned, from what, and at what price in privacy.
# Its SHA-256 is its identity: once signed, it never changes. Try it first on data you may see:
#     gaitkeeper coordinator rehearse THIS_FILE --cohort COHORT.csv --sites 3
schema = "gaitkeeper.study/1"
name = "{name}"                 # lower-case letters, digits, hyphens
title = "Does this walk show a disorder of gait?"

[task]
kind = "classification"
labels = ["healthy", "disorder"]

[task.map]                      # labels of the sites -> labels above; whatever is in neither is left out
parkinsonian = "disorder"
hemiparetic = "disorder"
ataxic = "disorder"
antalgic = "disorder"

[input]                         # windows of feature channels of the walk
channels = [
    "hip_flexion_left", "hip_flexion_right",
    "knee_flexion_left", "knee_flexion_right",
    "ankle_dorsiflexion_left", "ankle_dorsiflexion_right",
    "foot_forward_left", "foot_forward_right",
    "hand_forward_left", "hand_forward_right",
    "trunk_lean",
]
rate_hz = 25.0                  # every recording is resampled to this
window_s = 2.0                  # length of a window: about two strides
hop_s = 0.5                     # from one window to the next
max_windows = 8                 # a patient counts with at most so many

[model]
kind = "lstm"
hidden = 16
layers = 1
seed = 0                        # of the initial weights

[training]
strategy = "fedavg"
rounds = 10
local_steps = 2                 # private steps at each site in a round
learning_rate = 0.5
momentum = 0.9

[privacy]                       # for each patient, over the whole study
unit = "patient"
epsilon = 8.0
delta = 0.01                    # well below 1 / patients of a site
clip_norm = 0.5                 # a patient's gradient is cut to this length
sample_rate = 0.5               # chance of a patient to be in a step; a public constant, as is the next
patients_per_site = 20          # nominal
trust = "local"                 # each update is private by itself; "distributed": only the masked sum of all is
colluding = 1                   # so many sites may work with the coordinator, or subtract their own noise

[evaluation]                    # noised counts over patients kept out of training
holdout = 0.25
epsilon = 4.0
every = 1                       # rounds

[federation]
quorum = 2                      # sites that must reply in a round
required = []                   # names of sites without which no round counts
deadline_s = 600.0              # for one round
grace_s = 15.0                  # for sites that are not connected, once quorum and required ones are there
policies = ["DiscardOnTimeout"] # or StopOnTimeout; StopOnDisconnect, StopOnError: what stops the run
combine = "mean"                # or "median", "trimmed-mean", "krum" against so many faulty sites (not under masks):
byzantine = 0
aggregation = "plain"           # "secure": nobody sees one site's update; the default from a quorum of 3 on

[audit]
groups = ["sex"]                # subgroups over which the model is checked
"""


def example_study(name: str) -> str:
    """The example as the text of a study file called ``name``."""
    return EXAMPLE_STUDY.replace("{name}", name)
