"""A clinic's side of Gaitkeeper: everything that touches a patient's data. Never imports the server."""
