"""The coordinator's side of Gaitkeeper: rounds, versions, releases. Never imports the client."""
