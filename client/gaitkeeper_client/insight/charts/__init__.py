"""Inline SVG charts of the report: no script, no external asset, colours from the page's style sheet."""
