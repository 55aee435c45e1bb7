"""The resources of the service, a file each, listed in ``ROUTERS`` of ``app.py``."""
