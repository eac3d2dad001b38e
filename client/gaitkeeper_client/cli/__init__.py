"""The clinic's commands. Modules here import heavy libraries inside functions: ``--help`` answers at once."""
