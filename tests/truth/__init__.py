"""Plumbline's claims on other people's repositories: each commit predicted, applied and verified on a real API server."""
