#!/usr/bin/env bash
# Resolve all dependencies anew, in a fresh environment, into requirements.lock.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --upgrade pip
"$work/venv/bin/python" -m pip install ".[dev]"
{
    echo "# Made by deploy/lock.sh: the set of packages that development and CI install."
    # A local build tag (+cpu) names a file of one machine, not a version of the index.
    "$work/venv/bin/python" -m pip freeze --exclude gaitkeeper | sed 's/+cpu$//'
} > requirements.lock.new
mv requirements.lock.new requirements.lock
