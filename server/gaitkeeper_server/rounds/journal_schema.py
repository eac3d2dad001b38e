"""The tables of the journal."""

from __future__ import annotations

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, study_name TEXT NOT NULL, study_hash TEXT NOT NULL, study BLOB NOT NULL,
    state TEXT NOT NULL, detail TEXT NOT NULL, wish TEXT NOT NULL, rounds INTEGER NOT NULL, sites TEXT NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, model_version INTEGER,
    published INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS rounds (
    run TEXT NOT NULL REFERENCES runs, number INTEGER NOT NULL, state TEXT NOT NULL,
    started_at TEXT NOT NULL, finished_at TEXT, weights_sha256 TEXT, PRIMARY KEY (run, number)
) STRICT;
CREATE TABLE IF NOT EXISTS outcomes (
    run TEXT NOT NULL, number INTEGER NOT NULL, site TEXT NOT NULL, outcome TEXT NOT NULL, code TEXT NOT NULL,
    message TEXT NOT NULL, epsilon_spent REAL NOT NULL, delta REAL NOT NULL, seconds REAL NOT NULL,
    metrics TEXT NOT NULL, PRIMARY KEY (run, number, site), FOREIGN KEY (run, number) REFERENCES rounds
) STRICT;
CREATE TABLE IF NOT EXISTS replies (
    run TEXT NOT NULL, number INTEGER NOT NULL, site TEXT NOT NULL, sha256 TEXT NOT NULL, weights BLOB NOT NULL,
    received_at TEXT NOT NULL, PRIMARY KEY (run, number, site), FOREIGN KEY (run, number) REFERENCES rounds
) STRICT;
CREATE TABLE IF NOT EXISTS weights (
    run TEXT NOT NULL REFERENCES runs, number INTEGER NOT NULL, sha256 TEXT NOT NULL, weights BLOB NOT NULL,
    PRIMARY KEY (run, number)
) STRICT;
CREATE TABLE IF NOT EXISTS optimiser (
    run TEXT PRIMARY KEY REFERENCES runs, number INTEGER NOT NULL, sha256 TEXT NOT NULL, weights BLOB NOT NULL
) STRICT;
"""
STATEMENTS = tuple(statement for statement in _SCHEMA.split(";\n") if statement.strip())
