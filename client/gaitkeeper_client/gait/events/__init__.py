"""Foot strikes and foot offs: one method per file behind one interface."""
