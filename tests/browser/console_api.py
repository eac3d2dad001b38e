"""The API against its own description: schemathesis asks what the description allows and what it does not."""
