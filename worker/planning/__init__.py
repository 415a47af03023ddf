"""The judgement: desired against observed, as pure functions over values.

The fence: no I/O, no clock, no chance; time is an argument. Everything here is tested as a table.
"""
