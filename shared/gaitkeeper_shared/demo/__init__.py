"""The demonstration: a consortium of three clinics on one machine, told as it goes, with the real commands."""
