"""The site's console: local pages and a REST API for the clinic's own people and programs."""
