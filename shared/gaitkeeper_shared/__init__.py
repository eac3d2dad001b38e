"""What a clinic and a coordinator both speak. Imports neither side."""

__version__ = "0.1.0"
