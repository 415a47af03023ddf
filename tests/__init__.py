"""Plumbline's tests; they mirror the packages."""
